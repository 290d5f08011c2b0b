"""The evaluate stage, with coarse pixels in the place of the judge, whose weights are an optional package."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from miniature.evaluation import (
    evaluate,
    evaluator,
    places,
)
from miniature.evaluation.generation import Miniature

from .pixel_judge import PixelJudge
from .random_nano import random_bundle


def test_every_row_the_sweeps_and_the_places_come_out_of_one_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluator, "SWEEP", (0.0, 4.0))
    monkeypatch.setattr(evaluator, "TEXT_SWEEP", (0.0, 4.0))
    monkeypatch.setattr(evaluator, "EXAMPLES_PER_SCENE", 8)
    monkeypatch.setattr(evaluate, "Judge", PixelJudge)
    options = ["--subjects", "2", "--prompts", "1", "--sweep-prompts", "1", "--seeds", "2", "--device", "cpu"]
    args = evaluate.make_parser().parse_args(["--data", str(data), "--out", str(tmp_path), *options])
    text = evaluate.evaluate(args, Miniature(random_bundle()))
    found = json.loads((tmp_path / "nano.json").read_text(encoding="utf-8"))
    assert len({row["name"] for row in found["rows"]}) == 11
    assert all(len(row["retrieved"]) == 4 for row in found["rows"]), "two subjects, two seeds"
    assert all(0 <= row["hard_negative"]["value"] <= 1 for row in found["rows"])
    assert [(p["conditions"], p["gamma"]) for p in found["sweep"]] == [
        ("both", 0), ("both", 4), ("semantic", 0), ("semantic", 4), ("content", 0), ("content", 4),
        ("γ_I 1", 0), ("γ_I 1", 4), ("γ_I 2.5", 0), ("γ_I 2.5", 4),
    ]  # fmt: skip
    assert found["sweep"][0]["similarity"] == found["sweep"][2]["similarity"]
    assert [row["name"] for row in found["places"]] == [places.REAL, places.TOKENIZER, places.NANO]
    assert (len(found["gates"]), len(found["targets"])) == (6, 8)
    assert found["about"]["seeds"] == [1000, 1000 + evaluate.SEED_STEP] and "γ_t 4" in text


def test_the_command_line_knows_one_model() -> None:
    args = evaluate.make_parser().parse_args(["--data", "d", "--out", "o", "--subjects", "5"])
    assert (args.subjects, args.prompts) == (5, 4)
    with pytest.raises(SystemExit):
        evaluate.make_parser().parse_args(["echogen-2b", "--data", "d", "--out", "o"])
