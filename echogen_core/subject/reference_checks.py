"""Whether a reference picture shows a subject at all, and whether the subject was cut out.

Shape suffixes: C channels, H height, W width, S side of a square. Values 0..1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import notes
from .ground import PLAIN_SHARE, TOLERANCE, border_of, is_one_colour
from .masks import PRESENT

_STRONG, _STRONG_SHARE = 0.5, 0.15
"""Mask value from which the subject outweighs the background, and the least share of the subject that has
it. The packaged samples' masks at 128 px have 0.21 and more, softened by 32 px."""
_SEEN, _APART = 0.25, 0.03
"""Mask value and difference to the background, in the largest channel, from which a pixel is seen."""
_SMALLEST_SHARE = 0.015
"""Of the subject's own square. Thin subjects have more, drawn at 96 to 1024 px: a fork 0.026, glasses of wire
0.029, a chair of thin legs 0.09, a needle of 1:50 0.020; a column of 1 px in a picture of 72 px has 0.014."""
_SHORTEST, _NARROWEST = 8, 2
"""Pixels of the subject's longer and shorter side: less is a few pixels, not a shape."""
_CORNER = 2  # pixels
_FRAMED_LINE, _FRAMED_EDGE, _FRAMED_AREA = 0.02, 0.9, 0.4
"""A framed photo: the least share of a row or column that is not the frame's colour (JPEG noise is less), of
the photo's own edge that is not, and of the square that the photo covers. A subject touches the edge of its
box in places only."""
_LEAST_BORDER = 0.5  # share of the border that the ground has where a subject without margin touches the rest


def shows_hardly(image_3HW: Tensor, alpha_HW: Tensor, background: tuple[float, float, float]) -> str:
    """A note where the picture's subject, laid on the background, shows hardly anything; '' otherwise.

    alpha_HW: 1 on the subject, not empty. The margin around the subject plays no part.
    """
    marked_HW = alpha_HW > PRESENT
    if float((alpha_HW[marked_HW] >= _STRONG).float().mean()) < _STRONG_SHARE:
        return notes.FAINT
    rows, columns = (marked_HW.any(dim=dim).nonzero()[:, 0] for dim in (1, 0))
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
    if is_one_colour(square_3SS.flatten(1), _APART):
        return notes.BLANK_REFERENCE
    ground_3 = _plain_border(square_3SS)
    return notes.NOT_CUT_OUT if ground_3 is None or _framed(square_3SS, ground_3) else ""


def _plain_border(square_3SS: Tensor) -> Tensor | None:
    """The border's one colour, but for where a subject without margin touches it; None for several."""
    border_3N = border_of(square_3SS)
    colour_3 = border_3N.median(dim=1).values
    if _share_like(border_3N, colour_3) >= PLAIN_SHARE:
        return colour_3
    ends = [slice(0, _CORNER), slice(-_CORNER, None)]
    corners_3N = torch.cat([square_3SS[:, y, x].flatten(1) for y in ends for x in ends], dim=1)
    colour_3 = corners_3N.median(dim=1).values
    plain = _share_like(corners_3N, colour_3) == 1 and _share_like(border_3N, colour_3) >= _LEAST_BORDER
    return colour_3 if plain else None


def _framed(square_3SS: Tensor, ground_3: Tensor) -> bool:
    """Whether what stands on the ground is a photo in a frame or between bars: a large, busy rectangle."""
    apart_SS = (square_3SS - ground_3[:, None, None]).abs().amax(dim=0) >= TOLERANCE
    rows, columns = ((apart_SS.float().mean(dim=dim) > _FRAMED_LINE).nonzero()[:, 0] for dim in (1, 0))
    if not len(rows) or not len(columns):
        return False
    inner_3hw = square_3SS[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if inner_3hw[0].numel() < _FRAMED_AREA * square_3SS[0].numel() or min(inner_3hw.shape[1:]) < _SHORTEST:
        return False
    edge_3N = border_of(inner_3hw)
    busy = _share_like(edge_3N, edge_3N.median(dim=1).values) < PLAIN_SHARE
    return busy and _share_like(edge_3N, ground_3) <= 1 - _FRAMED_EDGE


def _share_like(pixels_3N: Tensor, colour_3: Tensor) -> float:
    away_N = (pixels_3N - colour_3[:, None]).abs().amax(dim=0)
    return float((away_N < TOLERANCE).float().mean())
