"""Whether a reference picture shows a subject at all, and whether the subject was cut out.

Shape suffixes: C channels, H height, W width, S side of a square. Values 0..1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import notes
from .ground import PLAIN_SHARE, TOLERANCE, border_of
from .masks import PRESENT

_FAINTEST = 0.5
"""Highest mask value below which the background outweighs the subject everywhere."""
_SEEN, _APART = 0.25, 0.03
"""Mask value and difference to the background, in the largest channel, from which a pixel is seen."""
_SMALLEST_SHARE = 0.015
"""Of the subject's own square. Thin subjects have more, drawn at 96 to 1024 px: a fork 0.026, glasses of wire
0.029, a chair of thin legs 0.09, a needle of 1:50 0.020; a column of 1 px in a picture of 72 px has 0.014."""
_SHORTEST, _NARROWEST = 8, 2
"""Pixels of the subject's longer and shorter side: less is a few pixels, not a shape."""
_CORNER = 2  # pixels
_LEAST_BORDER = 0.5  # share of the border that the ground has where a subject without margin touches the rest


def shows_hardly(image_3HW: Tensor, alpha_HW: Tensor, background: tuple[float, float, float]) -> str:
    """A note where the picture's subject, laid on the background, shows hardly anything; '' otherwise.

    alpha_HW: 1 on the subject, not empty. The margin around the subject plays no part.
    """
    highest = float(alpha_HW.max())
    if highest < _FAINTEST:
        return notes.FAINT_MASK.format(percent=max(1, round(100 * highest)))
    rows, columns = ((alpha_HW > PRESENT).any(dim=dim).nonzero()[:, 0] for dim in (1, 0))
    height, width = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
    if max(height, width) < _SHORTEST or min(height, width) < _NARROWEST:
        return notes.HARDLY_SHOWS
    away_HW = (image_3HW - image_3HW.new_tensor(background).view(3, 1, 1)).abs().amax(dim=0) * alpha_HW
    seen = int(((alpha_HW > _SEEN) & (away_HW > _APART)).sum())
    return notes.HARDLY_SHOWS if seen < _SMALLEST_SHARE * max(height, width) ** 2 else ""


def reference_note(image_3HW: Tensor) -> str:
    """A note where a reference shows nothing, or doesn't look cut out, as the encoders see it; '' otherwise.

    Looked at is the middle square, which is all that the encoders see.
    """
    height, width = image_3HW.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square_3SS = image_3HW[:, top : top + side, left : left + side]
    if bool((square_3SS.flatten(1).amax(dim=1) - square_3SS.flatten(1).amin(dim=1) < _APART).all()):
        return notes.BLANK_REFERENCE
    return "" if _plain_border(square_3SS) else notes.NOT_CUT_OUT


def _plain_border(square_3SS: Tensor) -> bool:
    """Whether the border is of one colour but for where a subject cut out without margin touches it."""
    border_3N = border_of(square_3SS)
    if _share_like(border_3N, border_3N.median(dim=1).values) >= PLAIN_SHARE:
        return True
    ends = [slice(0, _CORNER), slice(-_CORNER, None)]
    corners_3N = torch.cat([square_3SS[:, y, x].flatten(1) for y in ends for x in ends], dim=1)
    colour_3 = corners_3N.median(dim=1).values
    return _share_like(corners_3N, colour_3) == 1 and _share_like(border_3N, colour_3) >= _LEAST_BORDER


def _share_like(pixels_3N: Tensor, colour_3: Tensor) -> float:
    away_N = (pixels_3N - colour_3[:, None]).abs().amax(dim=0)
    return float((away_N < TOLERANCE).float().mean())
