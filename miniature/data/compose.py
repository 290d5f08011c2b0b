"""Composes sprites into pictures: moved, scaled, lit, with a shadow. Nothing here is random.

Shape suffixes: B pictures, H and W pixels; sprites are RGBA with straight alpha, on any device.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .colour import RGB_TO_YIQ, over_white, premultiplied
from .prompt_words import ReferenceBoxes

_SUPERSAMPLE = 2
_SHADOW_SIDE = 64
"""Side of a picture in which the shadow's lengths are pixels; in a larger one they scale with it."""

NIGHT_LIGHT = (0.30, 0.37, 0.56)
"""Factors of red, green and blue at night."""


class Placement(NamedTuple):
    """Where sprites are placed, as fractions of the frame: size, centre x and bottom y, [B] each."""

    scale_B: Tensor
    x_B: Tensor
    bottom_B: Tensor

    @classmethod
    def in_boxes(cls, boxes: ReferenceBoxes, share_B: Tensor) -> Placement:
        """Centred in boxes, at `share_B` of their side; `bottom_B` is the bottom of the sprite's frame."""
        scale_B = boxes.side_B * share_B
        bottom_B = boxes.top_B + (boxes.side_B + scale_B) / 2
        return cls(scale_B, boxes.left_B + boxes.side_B / 2, bottom_B)


class MaskedImages(NamedTuple):
    """Pictures [B, 3, H, W] and the subject's share of each pixel, 0..1."""

    images_B3HW: Tensor
    subject_B1HW: Tensor


def compose(sprites_B4HW: Tensor, backgrounds_B3HW: Tensor, placement: Placement) -> Tensor:
    """Sprites in front of backgrounds, [B, 3, H, W]; see `compose_masked`."""
    return compose_masked(sprites_B4HW, backgrounds_B3HW, placement).images_B3HW


def compose_masked(
    sprites_B4HW: Tensor, backgrounds_B3HW: Tensor, placement: Placement, on_feet: bool = True
) -> MaskedImages:
    """Sprites in front of backgrounds, with a contact shadow and a tint of the scene's light.

    The sprite's frame is scaled to `placement.scale_B` of the picture and moved so that its lowest opaque row
    (on_feet=False: the bottom of its frame) is at `placement.bottom_B`. Both inputs are 0..1.
    """
    rgb_B3HW, alpha_B1HW = _place(sprites_B4HW, placement, backgrounds_B3HW.shape[-1], on_feet)
    shadow_B1HW = _shadow(alpha_B1HW)
    tint_B311 = backgrounds_B3HW.mean((2, 3), keepdim=True)
    tint_B311 = tint_B311 / tint_B311.mean(1, keepdim=True).clamp_min(0.05)
    lit = rgb_B3HW * torch.lerp(torch.ones_like(tint_B311), tint_B311, 0.25)
    ground = backgrounds_B3HW * (1 - 0.45 * shadow_B1HW)
    return MaskedImages((lit + ground * (1 - alpha_B1HW)).clamp(0, 1), alpha_B1HW)


def on_white(sprites_B4HW: Tensor, placement: Placement, size: int) -> Tensor:
    """Sprites on white, without shadow, [B, 3, size, size]: what Cut Out Subject gives."""
    rgb_B3HW, alpha_B1HW = _place(sprites_B4HW, placement, size, on_feet=False)
    return over_white(rgb_B3HW, alpha_B1HW)


def rotate_hue(rgb_B3HW: Tensor, angle_B: Tensor) -> Tensor:
    """Rotates hues by angles [B] in radians (on the CPU) in YIQ: luma and greys stay."""
    to_yiq = torch.tensor(RGB_TO_YIQ)
    cos_B, sin_B = angle_B.cos(), angle_B.sin()
    turn_B33 = torch.zeros(len(angle_B), 3, 3)
    turn_B33[:, 0, 0] = 1
    turn_B33[:, 1, 1], turn_B33[:, 1, 2] = cos_B, -sin_B
    turn_B33[:, 2, 1], turn_B33[:, 2, 2] = sin_B, cos_B
    matrix_B33 = (torch.linalg.inv(to_yiq) @ turn_B33 @ to_yiq).to(rgb_B3HW.device)
    return torch.einsum("bij,bjhw->bihw", matrix_B33, rgb_B3HW).clamp(0, 1)


def at_night(images_B3HW: Tensor, night_B: Tensor) -> Tensor:
    """Pictures [B, 3, H, W], darkened and bluish where `night_B` (bool [B])."""
    light_1311 = images_B3HW.new_tensor(NIGHT_LIGHT).view(1, 3, 1, 1)
    return torch.where(
        night_B.to(images_B3HW.device).view(-1, 1, 1, 1), images_B3HW * light_1311, images_B3HW
    )


def _place(sprites_B4HW: Tensor, placement: Placement, size: int, on_feet: bool) -> tuple[Tensor, Tensor]:
    """Premultiplied colour [B, 3, size, size] and alpha of sprites moved into the frame, antialiased."""
    alpha_B1HW = sprites_B4HW[:, 3:]
    height, device = sprites_B4HW.shape[-2], sprites_B4HW.device
    placement = Placement(*(values_B.to(device) for values_B in placement))
    lowest_B = torch.full((len(sprites_B4HW),), 1.0, device=device)
    if on_feet:
        opaque_BH = (alpha_B1HW[:, 0] > 0.5).any(-1)
        rows = torch.arange(1, height + 1, device=device)
        lowest_B = (opaque_BH * rows).amax(1).clamp_min(1) / height
    # frame coordinates -1..1 to sprite coordinates: inverse of scaling and shifting
    centre_y_B = placement.bottom_B - (lowest_B - 0.5) * placement.scale_B
    theta_B23 = torch.zeros(len(sprites_B4HW), 2, 3, device=device)
    theta_B23[:, 0, 0] = theta_B23[:, 1, 1] = 1 / placement.scale_B
    theta_B23[:, 0, 2] = -(2 * placement.x_B - 1) / placement.scale_B
    theta_B23[:, 1, 2] = -(2 * centre_y_B - 1) / placement.scale_B
    side = size * _SUPERSAMPLE
    grid = F.affine_grid(theta_B23, [len(sprites_B4HW), 4, side, side], align_corners=False)
    placed = F.avg_pool2d(F.grid_sample(premultiplied(sprites_B4HW), grid, align_corners=False), _SUPERSAMPLE)
    return placed[:, :3], placed[:, 3:]


def _shadow(alpha_B1HW: Tensor) -> Tensor:
    """A flat blurred ellipse under the feet: the subject's lowest rows, blurred."""
    opaque_BH = (alpha_B1HW[:, 0] > 0.5).any(-1)
    grown = alpha_B1HW.shape[-2] / _SHADOW_SIDE
    reach = round(2 * grown)
    rows_H = torch.arange(alpha_B1HW.shape[-2], device=alpha_B1HW.device)
    lowest_B = (opaque_BH * rows_H).amax(1)
    near_BH = ((lowest_B[:, None] - rows_H).clamp_min(0) < 6 * grown) & (rows_H <= lowest_B[:, None])
    width_B1W = (alpha_B1HW[:, 0] * near_BH[:, :, None]).amax(1, keepdim=True)
    depth_BH1 = torch.exp(-(((rows_H - lowest_B[:, None]) / (2.5 * grown)) ** 2))[:, :, None]
    return F.avg_pool2d((width_B1W * depth_BH1)[:, None], 2 * reach + 1, stride=1, padding=reach)
