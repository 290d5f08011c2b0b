"""Baselines that keep a subject's colours and lose its form: how far does colour alone get?

Shapes: B subjects, H and W sprite pixels; sprites are RGBA in 0..1 with straight alpha.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.colour import premultiplied


def reduce_to_cells(sprites_B4HW: Tensor, cells: int) -> Tensor:
    """Each subject's own bounding square as cells x cells averages, drawn back at its place, [B, 4, H, W].

    Colours are averaged with their opacity, opacities too; between the cells' centres both are interpolated,
    which scores higher than hard squares and so is the stronger baseline.
    """
    results = []
    for sprite_4HW in sprites_B4HW:
        top, left, side = bounding_square(sprite_4HW[3])
        padded_4HW = F.pad(premultiplied(sprite_4HW), (side, side, side, side))
        window_4HW = padded_4HW[:, top + side : top + 2 * side, left + side : left + 2 * side]
        small_14HW = F.adaptive_avg_pool2d(window_4HW[None], cells)
        window_4HW = F.interpolate(small_14HW, (side, side), mode="bilinear", align_corners=False)[0]
        drawn_4HW = torch.zeros_like(padded_4HW)
        drawn_4HW[:, top + side : top + 2 * side, left + side : left + 2 * side] = window_4HW
        results.append(_straight(drawn_4HW[:, side:-side, side:-side]))
    return torch.stack(results)


def disc_of_mean_colour(sprites_B4HW: Tensor) -> Tensor:
    """A disc with the subject's mean colour, area and middle, [B, 4, H, W], antialiased."""
    height, width = sprites_B4HW.shape[-2:]
    rows_H1 = torch.arange(height)[:, None] + 0.5
    columns_1W = torch.arange(width)[None] + 0.5
    results = []
    for sprite_4HW in sprites_B4HW:
        alpha_HW = sprite_4HW[3]
        area = alpha_HW.sum().clamp_min(1e-6)
        color_3 = (sprite_4HW[:3] * alpha_HW).sum((1, 2)) / area
        row, column = (alpha_HW * rows_H1).sum() / area, (alpha_HW * columns_1W).sum() / area
        distance_HW = ((rows_H1 - row) ** 2 + (columns_1W - column) ** 2).sqrt()
        disc_HW = ((area / torch.pi).sqrt() - distance_HW + 0.5).clamp(0, 1)
        results.append(torch.cat((color_3[:, None, None].expand(3, height, width), disc_HW[None])))
    return torch.stack(results)


def bounding_square(alpha_HW: Tensor) -> tuple[int, int, int]:
    """(top, left, side) of the square around the visible part; it may extend beyond the frame."""
    rows = (alpha_HW > 0.03).any(1).nonzero()[:, 0]
    columns = (alpha_HW > 0.03).any(0).nonzero()[:, 0]
    if not len(rows):
        raise ValueError("Expected a sprite with a visible subject, got a fully transparent one.")
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    left, right = int(columns[0]), int(columns[-1]) + 1
    side = max(bottom - top, right - left)
    return (top + bottom - side) // 2, (left + right - side) // 2, side


def _straight(premultiplied_4HW: Tensor) -> Tensor:
    alpha_1HW = premultiplied_4HW[3:]
    return torch.cat(((premultiplied_4HW[:3] / alpha_1HW.clamp_min(1e-4)).clamp(0, 1), alpha_1HW))
