"""The plain ground that a subject stands on, found from the picture's border.

Shape suffixes: C channels, H height, W width, N pixels of the border. Values 0..1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

TOLERANCE = 0.06
"""Largest channel difference within a plain ground."""
PLAIN_SHARE = 0.9
"""Share of the border that must be alike for it to be taken for the ground."""

Mask = npt.NDArray[np.bool_]


def border_of(image_CHW: Tensor) -> Tensor:
    """[C, N]: the outermost pixels, each once."""
    return torch.cat(
        [image_CHW[:, 0], image_CHW[:, -1], image_CHW[:, 1:-1, 0], image_CHW[:, 1:-1, -1]], dim=1
    )


def is_one_colour(colours_CN: Tensor, tolerance: float) -> bool:
    """Whether all pixels are alike, to within `tolerance` in every channel. At least one is needed."""
    return bool((colours_CN.amax(dim=1) - colours_CN.amin(dim=1) < tolerance).all())


def find_ground(image_CHW: Tensor) -> Tensor | None:
    """[H, W] bool: the plain ground that reaches in from the border, or None when the border is not plain.

    Plain: nine tenths of the border lie within a small distance of the border's median colour. Only ground
    that is connected to the border counts, so a white patch inside the subject stays.
    """
    colours_CHW = image_CHW[:3]
    border_CN = border_of(colours_CHW)
    ground_C11 = border_CN.median(dim=1).values[:, None, None]
    distance_HW = (colours_CHW - ground_C11).abs().amax(dim=0)
    # Averaged over 3×3 pixels, so that a speck of compression noise does not count as subject.
    smooth_HW = F.avg_pool2d(distance_HW[None], 3, stride=1, padding=1, count_include_pad=False)[0]
    alike_HW = smooth_HW < TOLERANCE
    border_alike = (border_CN - ground_C11[..., 0]).abs().amax(dim=0) < TOLERANCE
    if float(border_alike.float().mean()) < PLAIN_SHARE:
        return None
    return torch.from_numpy(_flood_from_border(alike_HW.cpu().numpy()))


def _flood_from_border(open_HW: Mask) -> Mask:
    """Open pixels that are 4-connected to the border through open pixels."""
    reached_HW: Mask = open_HW.copy()
    reached_HW[1:-1, 1:-1] = False
    before = -1
    while (size := int(reached_HW.sum())) != before:
        before = size
        reached_HW = _spread_along_rows(reached_HW, open_HW)
        reached_HW = _spread_along_rows(reached_HW.T, open_HW.T).T
    return reached_HW


def _spread_along_rows(reached_HW: Mask, open_HW: Mask) -> Mask:
    """Every unbroken run of open pixels in a row becomes reached when one of its pixels is."""
    height, width = open_HW.shape
    run_HW = np.cumsum(~open_HW, axis=1) + np.arange(height)[:, None] * (width + 1)
    hit = np.zeros(height * (width + 1) + 1, dtype=np.bool_)
    hit[run_HW[reached_HW]] = True
    spread_HW: Mask = open_HW & hit[run_HW]
    return spread_HW
