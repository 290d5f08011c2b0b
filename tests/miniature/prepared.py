"""A tiny prepared folder, as the `prepare` stage writes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

SIZE = 128
"""Side of its pictures."""


def write_prepared(folder: Path, scenes: Sequence[str] = ("wood", "town"), size: int = SIZE) -> Path:
    """Random coloured squares: two subjects a split, and scenes of these names. size: the pictures' side."""
    rng = np.random.default_rng(0)
    rows = []
    for name in ("subjects", "icons", "scenes"):
        (folder / name).mkdir()
    for split in ("train", "heldout"):
        views = np.zeros((2, 24, 96, 96, 4), dtype=np.uint8)
        views[:, :, 20:80, 30:70, 3] = 255
        views[..., :3] = rng.integers(0, 255, (2, 1, 1, 1, 3))
        np.save(folder / "subjects" / f"{split}_views.npy", views)
        rows += [
            {"name": f"{split} {i}", "split": split, "row": i, "source": "s", "creator": "c", "licence": "l"}
            for i in range(2)
        ]
    (folder / "subjects" / "subjects.json").write_text(json.dumps(rows))
    np.save(folder / "icons" / "train_views.npy", np.full((2, 1, 96, 96, 4), 255, dtype=np.uint8))
    typical = ([0, 1], [2, 0])
    records = [
        {"name": name, "phrases": [f"in a {name}"], "typical": typical[number % 2], "split": "train"}
        for number, name in enumerate(scenes)
    ]
    for name in scenes:
        crops = np.full((3, size, size, 3), rng.integers(0, 255), dtype=np.uint8)
        np.save(folder / "scenes" / f"{name}.npy", crops)
    (folder / "scenes" / "scenes.json").write_text(json.dumps(records))
    return folder
