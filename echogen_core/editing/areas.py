"""Where regions lie: areas by name, and what to say of masks that cover nothing or each other.

Shape suffixes: H W size of a mask, h w size of a scale.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..sampling.region_guidance import cover
from ..scales import ScaleSchedule

AREAS: dict[str, tuple[float, float, float, float]] = {
    "left half": (0, 0, 0.5, 1),
    "right half": (0.5, 0, 1, 1),
    "top half": (0, 0, 1, 0.5),
    "bottom half": (0, 0.5, 1, 1),
    "left third": (0, 0, 1 / 3, 1),
    "middle third": (1 / 3, 0, 2 / 3, 1),
    "right third": (2 / 3, 0, 1, 1),
    "everywhere": (0, 0, 1, 1),
}
"""Names -> left, top, right and bottom as shares of the picture."""
SIDE = 384
"""Pixels of an area's mask: a multiple of 6, so that thirds and halves are exact."""

_OVERLAP = 0.02  # share of the picture from which an overlap is worth a word


def area_mask(area: str) -> Tensor:
    """[384, 384]: 1 in one of AREAS, 0 outside. Raises KeyError for another name."""
    left, top, right, bottom = (round(share * SIDE) for share in AREAS[area])
    mask_HW = torch.zeros(SIDE, SIDE)
    mask_HW[top:bottom, left:right] = 1
    return mask_HW


def region_notes(masks: Sequence[Tensor], schedule: ScaleSchedule) -> list[str]:
    """What to say of regions that cover nothing, or each other.

    masks: [H, W], each stretched over the picture.
    """
    covers = [cover(mask_HW[None].cpu(), schedule.scales[-1])[0] for mask_HW in masks]
    said = [
        f"Region {number} covers nothing of the picture: it has no effect."
        for number, cover_hw in enumerate(covers, 1)
        if not bool(cover_hw.any())
    ]
    overlap = float((sum(covers, torch.zeros(())) - 1).clamp(0, 1).mean()) if covers else 0.0
    if overlap > _OVERLAP:
        said.append(f"The regions overlap in {overlap:.0%} of the picture: there each counts in proportion.")
    return said
