"""The command line: stages, missing data, folders in use, help."""

from __future__ import annotations

from pathlib import Path

import pytest

from echogen_core.checkpoints import ASSETS
from echogen_core.utils.locks import exclusive_lock
from miniature.__main__ import STAGES, main


@pytest.mark.parametrize("stage", ["tokenizer", "semantic"])
def test_a_stage_without_data_says_what_makes_them(
    stage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([stage, "--data", str(tmp_path / "none"), "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert stage in said and "miniature prepare" in said and "Traceback" not in said


NANO = ASSETS / "nano"


INPUT = {
    "prepare": [],
    "pack": ["--data", "x"],
    "enlarge": ["--start", NANO, "--tokenizer", "x"],
    "tokenizer": ["--data", "x"],
    "semantic": ["--data", "x"],
    "content": ["--data", "x", "--tokenizer", "x"],
    "transformer": ["--data", "x", "--start", NANO],
    "null-features": ["--data", "x", "--start", NANO],
    "decoder": ["--data", "x", "--start", NANO],
    "all": ["--packed", "x", "--perceptual", "0"],
    "cut": ["--start", "x", "--npm", "x", "--icons", "x", "--textures", "x"],
    "evaluate": ["--data", "x"],
    "editing": ["--data", "x"],
}


@pytest.mark.parametrize("stage", STAGES)
def test_two_commands_do_not_work_in_one_folder(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("echogen_core.utils.locks.WAITING_REPORT_SECONDS", 0.1)
    with exclusive_lock(tmp_path / ".lock"):
        assert main([stage, *map(str, INPUT[stage]), "--out", str(tmp_path)]) != 0
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    said = capsys.readouterr().err
    assert f"{tmp_path} is in use by another run: wait until it ends" in said


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_says_how_it_is_called(stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([stage, "--help"])
    said = capsys.readouterr().out
    assert f"usage: python -m miniature {stage}" in said
    assert f"training.{stage}" not in said


def test_the_help_lists_every_stage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {stage} " in text for stage in STAGES)


@pytest.mark.parametrize(("arguments", "got"), [([], "none"), (["nothing"], "'nothing'")])
def test_a_stage_that_does_not_exist_is_named(
    arguments: list[str], got: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert f"expected a stage, got {got}." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "unused"),
    [
        ("evaluate --baselines --sheet s.png", "--sheet"),
        ("evaluate --baselines --weights w", "--weights"),
        ("evaluate --baselines --blind s.png", "--blind"),
        ("evaluate --baselines --sweep-prompts 3", "--sweep-prompts"),
        ("evaluate --tokenizer t", "--tokenizer"),
        ("evaluate --sheet-only", "--sheet-only"),
        ("evaluate --sheet s.png --sheet-only --seeds 5", "--seeds"),
        ("evaluate --sheet s.png --sheet-only --prompts 5", "--prompts"),
        ("evaluate --sheet-subjects Bench", "--sheet-subjects"),
        ("transformer --export --minutes 3", "--minutes"),
        ("transformer --export --at-most 3", "--at-most"),
        ("transformer --export --compile inductor", "--compile"),
    ],
)
def test_options_without_effect_are_refused(
    options: str, unused: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage, *words = options.split()
    assert main([stage, "--data", "x", "--out", str(tmp_path), *words]) == 2
    said = capsys.readouterr().err
    assert (
        said.startswith(f"python -m miniature {stage}: {unused} has no effect with") and said.count("\n") == 1
    )
