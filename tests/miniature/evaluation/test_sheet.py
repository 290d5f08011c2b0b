"""The contact sheets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from echogen_core.pictures import to_pil
from miniature.data.dataset import Compositor
from miniature.evaluation import (
    protocol,
    sheet,
)
from miniature.evaluation.generation import Miniature

from .random_nano import random_bundle


def test_the_sheet_holds_a_labelled_tile_for_every_picture(data: Path) -> None:
    held = Compositor(data, "heldout", icons=False)
    assert sheet.rows_of(held, ["heldout 2", "heldout 0"]) == [2, 0]
    with pytest.raises(ValueError, match=r"held-out subjects, got cat\. Choose from"):
        sheet.rows_of(held, ["cat"])
    green_S3HW = torch.tensor([0.0, 1.0, 0.0])[None, :, None, None].expand(2, 3, 64, 64)
    picture = sheet.draw(["a", "a longer name here"], [sheet.Column("one\ntwo", green_S3HW)] * 3)
    side = sheet.TILE + sheet.GAP
    assert picture.size == (sheet.NAME_WIDTH + 3 * side, sheet.LABEL_HEIGHT + 2 * side)
    corner = (sheet.NAME_WIDTH + 2 * side + 5, sheet.LABEL_HEIGHT + side + 5)
    assert picture.getpixel(corner) == (0, 255, 0)


def test_the_blind_sheet_shows_every_subject_once(data: Path, tmp_path: Path) -> None:
    scenes = json.loads((data / "scenes" / "scenes.json").read_text())
    for scene, name in zip(scenes, sheet.BLIND_SCENES, strict=False):
        (data / "scenes" / f"{scene['name']}.npy").rename(data / "scenes" / f"{name}.npy")
        scene["name"] = name
    (data / "scenes" / "scenes.json").write_text(json.dumps(scenes))
    miniature = Miniature(random_bundle())
    picture, names = sheet.blind_sheet(data, miniature, seed=4)
    assert sorted(names) == ["heldout 0", "heldout 1", "heldout 2"]
    side = sheet.TILE + sheet.GAP
    step = sheet.NUMBER_WIDTH + 3 * side + sheet.BLIND_GAP
    assert picture.size == (3 * step - sheet.BLIND_GAP, sheet.LABEL_HEIGHT + side)
    held = Compositor(data, "heldout", icons=False)
    scene = [known.name for known in held.scenes].index("sea")
    rows = torch.tensor([int(name[-1]) for name in names])
    task = protocol.make_task(held, rows, torch.full_like(rows, scene), 4)
    for number, image_3HW in enumerate(miniature.generate(task, miniature.preset)):
        left = number * step + sheet.NUMBER_WIDTH + side
        tile = picture.crop((left, sheet.LABEL_HEIGHT, left + sheet.TILE, sheet.LABEL_HEIGHT + sheet.TILE))
        assert tile.tobytes() == to_pil(image_3HW).tobytes(), "the picture of the subject with this number"
