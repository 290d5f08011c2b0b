"""Photographs and drawings that no training may see: Tux Paint's stamps (GPL-2+), to measure with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from .composites import tight

KINDS = ("animals", "clothes", "food", "household", "plants", "sports", "vehicles")
SMALLEST_SIDE = 200  # pixels


def read_stamps(folder: Path) -> list[tuple[str, Tensor]]:
    """Name and sprite [4, h, w], as `tight` makes it, of every stamp that is large enough.

    folder: `stamps` of Debian's tuxpaint-stamps-default.
    """
    stamps = []
    for kind in KINDS:
        for path in sorted((folder / kind).rglob("*.png")):
            with Image.open(path) as picture:
                usable = picture.mode in ("RGBA", "LA", "P") and min(picture.size) >= SMALLEST_SIDE
                rgba_HW4 = np.asarray(picture.convert("RGBA")) if usable else None
            if rgba_HW4 is not None and 0.05 < (rgba_HW4[..., 3] > 127).mean() < 0.95:
                stamps.append((path.stem, tight(rgba_HW4)))
    return stamps
