"""Prepared data with a scene that no training saw."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def data(data: Path) -> Path:
    """Beside the others, a scene of stripes."""
    records = data / "scenes" / "scenes.json"
    scenes = json.loads(records.read_text())
    crops_KHW3 = np.zeros((5, 128, 128, 3), np.uint8)
    crops_KHW3[:, ::16] = 255
    np.save(data / "scenes" / "unseen.npy", crops_KHW3)
    scenes.append({"name": "unseen", "phrases": ["among stripes"], "split": "heldout"})
    records.write_text(json.dumps(scenes))
    return data
