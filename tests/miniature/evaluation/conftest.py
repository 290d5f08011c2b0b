"""Prepared data with several subjects and scenes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three subjects a split and four scenes, small and different from each other."""
    rng = np.random.default_rng(0)
    (tmp_path / "subjects").mkdir()
    (tmp_path / "scenes").mkdir()
    records = []
    for split in ("train", "heldout"):
        views_NVHW4 = np.zeros((3, 24, 96, 96, 4), np.uint8)
        views_NVHW4[:, :, 20:80, 30:70, :3] = rng.integers(0, 255, (3, 1, 1, 1, 3))
        views_NVHW4[:, :, 20:80, 30:70, 3] = 255
        np.save(tmp_path / "subjects" / f"{split}_views.npy", views_NVHW4)
        records += [{"name": f"{split} {row}", "split": split, "row": row} for row in range(3)]
    (tmp_path / "subjects" / "subjects.json").write_text(json.dumps(records))
    scenes = []
    for number in range(4):
        crops_KHW3 = np.full((5, 128, 128, 3), number * 60, np.uint8)
        np.save(tmp_path / "scenes" / f"s{number}.npy", crops_KHW3)
        phrases = [f"in scene {number} said {way}" for way in "abc"]
        scenes.append({"name": f"s{number}", "phrases": phrases, "split": "train"})
    (tmp_path / "scenes" / "scenes.json").write_text(json.dumps(scenes))
    return tmp_path
