"""A whole training from packed data: everything once, cut off, gone on with."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from echogen_core.checkpoints import load_bundle
from echogen_core.config import PRESETS
from miniature.__main__ import main
from miniature.training import side_by_side
from miniature.training.all_stages import steps

from ..evaluation.random_nano import NARROW
from ..small_packages import EndedStage, small_packages, small_sizes, stages_in_this_process

SMALL = ["--device", "cpu", "--batch-share", "0.01"]


def summary(out: Path) -> dict[str, dict[str, Any]]:
    read: dict[str, dict[str, Any]] = json.loads((out / "summary.json").read_text())
    return read


def test_a_run_that_is_cut_off_goes_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(PRESETS, NARROW.name, NARROW)
    command = ["all", "--packed", "none", "--data", str(data), "--out", str(tmp_path), *SMALL]
    begun: list[str] = []

    class Cut(EndedStage):
        """A stage that ends, until the transformer's: there the power goes."""

        def __init__(self, stage: str, arguments: Sequence[str], output: Path, end: float | None) -> None:
            begun.append(stage)
            if len(begun) == 4:
                raise KeyboardInterrupt
            super().__init__(stage, arguments, output, end)

    with small_packages(), small_sizes(), stages_in_this_process():
        with monkeypatch.context() as patch:
            patch.setattr(side_by_side, "start", Cut)
            assert main([*command, "--minutes", "60"]) == 130
        assert begun == ["tokenizer", "semantic", "content", "transformer"], "each when it has what it needs"
        assert main([*command, "--minutes", "60"]) == 0
    assert "complete" in capsys.readouterr().out
    rows = summary(tmp_path)
    assert list(rows) == [*begun, "decoder"], "which had time left"
    assert all(row["finished"] and row["steps"] == 1 for row in rows.values())
    drawn, decoded = (load_bundle("nano", tmp_path / name) for name in ("bundle", "decoder/bundle"))
    for kind, module in decoded.parts().items():
        state = drawn.parts()[kind].state_dict()
        assert all(torch.equal(tensor, state[name]) for name, tensor in module.state_dict().items()), kind
    assert (tmp_path / "bundle/ATTRIBUTION.md").exists()


def test_a_stage_that_fails_ends_the_run_and_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with stages_in_this_process():
        words = ["--packed", str(tmp_path / "none"), "--out", str(tmp_path / "run"), "--perceptual", "0"]
        assert main(["all", *words]) == 2
    said = capsys.readouterr().err
    assert "Expected 1 part in" in said and "pack ended with exit status 2: status 2" in said
    assert not summary(tmp_path / "run")["pack"]["finished"]


def test_without_the_perceptual_loss_nothing_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    assert main(["all", "--packed", "none", "--out", str(tmp_path)]) == 2
    assert "--perceptual 0 trains without" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_the_log_tells_how_many_steps(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    assert steps(log) == {}
    log.write_text('{"step": 10, "minutes": 0.5}\n{"step": 40, "seconds": 20.0}\n{"note": 1}\n')
    assert steps(log) == {"steps": 40, "steps_per_second": 2.0}
