"""The ways in which DreamBench asks a model: paths off, a grid of γ, other encoders than its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow.parquet as parquet
import pytest
import torch

from echogen_core.checkpoints import ASSETS, load_part, save_part
from echogen_core.config import PRESETS
from echogen_core.encoders import SemanticEncoder
from echogen_core.evaluation.__main__ import main
from echogen_core.evaluation.variants import Loader, Model, Swap, Variant, ablation_variants

from .small_scorers import small_options, write_dreambench, write_networks

pytestmark = pytest.mark.usefixtures("small_looks")


@pytest.fixture(scope="module")
def options(short_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("ablations")
    networks = small_options(write_dreambench(folder / "data"), *write_networks(folder))
    return [*networks, "--weights", str(short_weights)]


def _other_encoder(folder: Path, seed: int, **sizes: Any) -> Path:
    """A semantic encoder with random numbers, of the miniature's sizes but for `sizes`."""
    config = replace(load_part(ASSETS / "nano" / "semantic.safetensors", "semantic").config, **sizes)
    torch.manual_seed(seed)
    save_part(folder / "semantic.safetensors", "semantic", SemanticEncoder(config), config, None)
    return folder


def test_another_encoder_is_known_by_its_numbers(short_weights: Path, tmp_path: Path) -> None:
    loader = Loader(Model("nano", (short_weights,), "fp32", torch.device("cpu")))
    folder = _other_encoder(tmp_path / "other", 1)
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "semantic.safetensors").write_bytes((folder / "semantic.safetensors").read_bytes())
    first, copy = (loader.identified(Swap("semantic", tmp_path / name)) for name in ("other", "copy"))
    replaced = loader.identified(Swap("semantic", _other_encoder(folder, 2)))
    own = Variant(2, 3)
    assert replaced.folder == first.folder and replaced.fingerprint != first.fingerprint
    assert replace(own, swap=replaced).key != replace(own, swap=first).key == replace(own, swap=copy).key
    assert len(ablation_variants(own, [], [], [first, copy, replaced])) == 3 + 2


def test_an_unfit_encoder_is_refused_before_any_work(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = _other_encoder(tmp_path / "small", 1, width=32, heads=2)
    cases = {f"semantic={small}": "channels", f"content={tmp_path / 'none'}": "content.safetensors not found"}
    for swap, reason in cases.items():
        out = tmp_path / "out"
        assert main(["ablations", *options, "--out", str(out), "--swap", swap]) == 2
        err = capsys.readouterr().err
        assert f"--swap {swap} can't be used" in err and reason in err
        assert not list(out.rglob("*.png"))


def test_arms_of_the_ablations_come_once_each(tmp_path: Path) -> None:
    own = Variant(2.5, 2.5)
    variants = ablation_variants(own, [1, 2.5], [0, 2.5], [Swap("semantic", tmp_path)])
    assert [variant.conditions for variant in variants[:3]] == ["semantic only", "content only", "both"]
    assert len(variants) == 3 + 1 + 4 - 1  # the grid holds the own variant again
    assert len({variant.key for variant in variants}) == len(variants)
    assert variants[3].label == f"both, γ_t 2.5, γ_I 2.5, semantic encoder {tmp_path.name}"


def test_ablations_end_in_a_page_with_the_curve(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [*options, "--out", str(tmp_path), "--subjects", "2", "--prompts", "1", "--pictures", "1"]
    preset, other = PRESETS["nano"], _other_encoder(tmp_path / "other", 1)
    asked += ["--grid-i", "0", f"{preset.gamma_i:g}", "--swap", f"semantic={other}"]
    assert main(["ablations", *asked]) == 0
    variants = ["semantic_only", "content_only", "both", "both", "both"]
    rows = parquet.read_table(tmp_path / "ablations.parquet").to_pylist()
    assert [row["variant"].split("_gt")[0] for row in rows] == [name for name in variants for _ in range(2)]
    scores = {row["variant"]: [r["dino"] for r in rows if r["variant"] == row["variant"]] for row in rows}
    gammas = f"gt{preset.gamma_t:g}_gi{preset.gamma_i:g}"
    own = f"both_{gammas}"
    swapped = next(variant for variant in scores if "_semantic_" in variant)
    for swapped_score, own_score in zip(scores[swapped], scores[own], strict=True):
        assert swapped_score != own_score, "another encoder, another picture"
    assert scores[f"both_gt{preset.gamma_t:g}_gi0"] != scores[own] != scores[f"semantic_only_{gammas}"]
    text = (tmp_path / "ablations.html").read_text(encoding="utf-8")
    assert "semantic encoder other" in text and f"numbers {swapped.rpartition('_')[2]}" in text
    page = ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>"))
    (picture,) = page.iter("svg")
    assert len(list(picture.iter("polyline"))) == 1 and len(list(picture.iter("circle"))) == 2
    assert len(list(picture.iter("rect"))) == 1 + 3  # the frame; semantic only, content only, the swap
    words = f"γ_t {preset.gamma_t:g}, γ_I {preset.gamma_i:g}"
    assert f"semantic only, {words}, all (2 subjects)" in capsys.readouterr().out
