"""The editing stage as a whole, with a random nano and coarse pixels in the place of the judge."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kept_looks import small_looks
from PIL import Image

from miniature.evaluation import evaluator, sheet
from miniature.evaluation.editing import half_judge, insertion, keeping, negative, pairs, stage
from miniature.evaluation.editing.questions import build_insertion

from ..pixel_judge import PixelJudge
from ..random_nano import random_bundle


def test_every_table_and_the_sheet_come_out_of_one_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(evaluator, "EXAMPLES_PER_SCENE", 4)
    monkeypatch.setattr(half_judge, "EXAMPLES_PER_SCENE", 4)
    monkeypatch.setattr(stage, "Judge", PixelJudge)
    monkeypatch.setattr(stage, "load_bundle", lambda *_, **__: random_bundle())
    out = tmp_path / "out"
    options = ["--data", str(data), "--out", str(out), "--subjects", "2", "--seeds", "1", "--device", "cpu"]
    shown = ["--sheet", str(tmp_path / "s.png"), "--sheet-subjects", "heldout 1"]
    with small_looks():
        assert stage.main([*options, *shown]) == 0
    said = capsys.readouterr().out
    assert (out / "editing.md").read_text(encoding="utf-8") == said
    found = json.loads((out / "editing.json").read_text(encoding="utf-8"))
    tables = {
        table["title"]: {row["name"]: row["measures"] for row in table["rows"]} for table in found["tables"]
    }
    assert list(tables) == [insertion.TITLE, pairs.TITLE, keeping.TITLE, negative.TITLE]
    assert len(found["gates"]) == 9 + 4 + 4
    inserted = tables[insertion.TITLE]
    assert inserted[insertion.REDRAW]["changed"]["pictures"] == [0, 0], "outside, pixels stay"
    assert inserted[insertion.PLACE]["changed"]["pictures"] == [0, 0]
    kept = tables[keeping.TITLE]
    everything, nothing = (kept[f"keep_scales {scales}"]["db"]["value"] for scales in (5, 0))
    assert everything > nothing, "with all scales kept it is the old picture"
    with Image.open(tmp_path / "s.png") as picture:
        assert picture.height == sheet.LABEL_HEIGHT + sheet.TILE + sheet.GAP


def test_data_without_unseen_scenes_are_refused(data: Path, tmp_path: Path) -> None:
    records = data / "scenes" / "scenes.json"
    records.write_text(json.dumps([s for s in json.loads(records.read_text()) if s["split"] == "train"]))
    with pytest.raises(ValueError, match="no training saw"):
        build_insertion(data, 2, 0)
