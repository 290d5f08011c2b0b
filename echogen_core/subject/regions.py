"""Where a subject is: boxes, what a detector says of them, and which one is meant.

Boxes are (left, top, right, bottom) in pixels of the picture, right and bottom excluded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

_ROUNDING = 1e-3  # pixels; error of scaling a box down and up again

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Detection:
    """One hit: its box in pixels, the detector's confidence (0..1), and the words it answers to."""

    box_xyxy: Box
    score: float
    phrase: str

    @property
    def area(self) -> float:
        """Square pixels."""
        left, top, right, bottom = self.box_xyxy
        return (right - left) * (bottom - top)

    @property
    def scored(self) -> bool:
        """Whether a detector gave the score: a box that is given counts as 1, one that stands in as 0."""
        return bool(self.phrase) or 0 < self.score < 1


class Pick(str, Enum):
    """Which of several subjects is meant."""

    BEST = "best score"
    LARGEST = "largest"


def choose(detections: Sequence[Detection], pick: Pick = Pick.BEST) -> Detection | None:
    """The detection that is meant, the first of equals; None where there is none."""
    if not detections:
        return None
    return max(detections, key=lambda hit: hit.score if Pick(pick) is Pick.BEST else hit.area)


def check_box(box_xyxy: Sequence[float], height: int, width: int) -> Box:
    """The box within a picture of that size: what hangs over the picture's edge is cut off.

    Raises ValueError (expected, got, what to do) for other than four finite numbers, and for a box of no
    area or beside the picture.
    """
    if len(box_xyxy) != 4 or not all(math.isfinite(value) for value in box_xyxy):
        raise ValueError(
            f"A box must be four finite numbers (left, top, right, bottom in pixels), got {list(box_xyxy)}."
        )
    left, top, right, bottom = (float(value) for value in box_xyxy)
    inside = (max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height)))
    if inside[2] - inside[0] <= 0 or inside[3] - inside[1] <= 0:
        raise ValueError(
            f"The box {[left, top, right, bottom]} marks nothing in the {width}×{height} px picture: "
            "expected left < right and top < bottom within it. Use the box that belongs to this picture."
        )
    return inside


def whole_pixels(box_xyxy: Box) -> tuple[int, int, int, int]:
    """The box rounded outwards to whole pixels, at least one on each side."""
    left, top, right, bottom = box_xyxy
    x, y = math.floor(left + _ROUNDING), math.floor(top + _ROUNDING)
    return x, y, max(x + 1, math.ceil(right - _ROUNDING)), max(y + 1, math.ceil(bottom - _ROUNDING))


def rectangles(hits: Sequence[Detection], height: int, width: int) -> Tensor:
    """[height, width] with 1 inside the boxes."""
    mask_HW = torch.zeros(height, width)
    for hit in hits:
        left, top, right, bottom = whole_pixels(hit.box_xyxy)
        mask_HW[top:bottom, left:right] = 1
    return mask_HW


def extent(inside_HW: Tensor) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of all that is true, the last two outside of it; None where nothing is."""
    rows, columns = (inside_HW.any(dim=dim).nonzero()[:, 0] for dim in (1, 0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def box_of(mask_HW: Tensor) -> Box:
    """The smallest box that holds a mask that is not empty."""
    found = extent(mask_HW > mask_HW.max() / 2)
    assert found is not None
    left, top, right, bottom = map(float, found)
    return left, top, right, bottom
