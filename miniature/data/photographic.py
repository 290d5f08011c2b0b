"""Sprites that look more like photographs: other textures, and light as a photographer meets it.

Nothing here is random. Shape suffixes: B sprites, H and W pixels; sprites are RGBA with straight alpha, 0..1,
on any device.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .colour import RGB_TO_YIQ

SMALLEST_LUMA = 0.05
"""Lower bound of the mean luma that shading is relative to: black subjects would become white noise."""


class Crops(NamedTuple):
    """Parts of texture pictures, [B] each, as fractions of the picture.

    scale: side of the part, more than 1 for several mirrored copies. x, y: its centre, -1..1. angle: radians.
    """

    scale_B: Tensor
    x_B: Tensor
    y_B: Tensor
    angle_B: Tensor

    @classmethod
    def drawn(cls, uniform_4B: Tensor) -> Crops:
        """Of random numbers in 0..1: from two thirds of the picture to two and a half copies of it."""
        scale_B = (math.log(0.67) + (math.log(2.5) - math.log(0.67)) * uniform_4B[0]).exp()
        return cls(scale_B, 2 * uniform_4B[1] - 1, 2 * uniform_4B[2] - 1, 2 * math.pi * uniform_4B[3])


class Light(NamedTuple):
    """Light on sprites, [B] each.

    gamma: exponent of the colours. warmth: red over blue, 0 for neither. slope, slope_angle: change of the
    logarithm of the light from the middle to an edge, and its direction in radians. shadow: share of the
    light that a cast shadow takes; shadow_angle, shadow_edge: where it begins, -1..1. highlight, highlight_x,
    highlight_y: strength and place of a soft reflection.
    """

    gamma_B: Tensor
    warmth_B: Tensor
    slope_B: Tensor
    slope_angle_B: Tensor
    shadow_B: Tensor
    shadow_angle_B: Tensor
    shadow_edge_B: Tensor
    highlight_B: Tensor
    highlight_x_B: Tensor
    highlight_y_B: Tensor

    @classmethod
    def drawn(cls, uniform_KB: Tensor) -> Light:
        """Of random numbers in 0..1, [10, B]: two in five sprites have a shadow, as many a highlight."""
        u = uniform_KB
        turn = 2 * math.pi
        return cls(
            gamma_B=(1.1 * u[0] - 0.5).exp(),
            warmth_B=0.4 * u[1] - 0.2,
            slope_B=0.8 * u[2],
            slope_angle_B=turn * u[3],
            shadow_B=1.5 * (u[4] - 0.6).clamp_min(0),
            shadow_angle_B=turn * u[5],
            shadow_edge_B=u[6] - 0.5,
            highlight_B=1.5 * (u[7] - 0.6).clamp_min(0),
            highlight_x_B=u[8] - 0.5,
            highlight_y_B=u[9] - 0.7,
        )


def textured(sprites_B4HW: Tensor, textures_B3HW: Tensor, crops: Crops, share_B: Tensor) -> Tensor:
    """Sprites whose colours are `share_B` (0..1) those of a part of a texture, shaded as they were.

    Shading is a pixel's luma over the sprite's mean, so that form and drawn detail remain visible.
    """
    rgb_B3HW, alpha_B1HW = sprites_B4HW.split((3, 1), dim=1)
    part_B3HW = _cut_out(textures_B3HW, crops, sprites_B4HW.shape[-1])
    luma_B1HW = _luma(rgb_B3HW)
    area_B111 = alpha_B1HW.sum((2, 3), keepdim=True).clamp_min(1)
    mean_B111 = (luma_B1HW * alpha_B1HW).sum((2, 3), keepdim=True) / area_B111
    painted_B3HW = (part_B3HW * luma_B1HW / mean_B111.clamp_min(SMALLEST_LUMA)).clamp(0, 1)
    mixed_B3HW = torch.lerp(rgb_B3HW, painted_B3HW, _per_sprite(share_B, sprites_B4HW))
    return torch.cat((mixed_B3HW, alpha_B1HW), dim=1)


def relit(sprites_B4HW: Tensor, light: Light) -> Tensor:
    """Sprites in another light, each with its own."""
    light = Light(*(_per_sprite(values_B, sprites_B4HW) for values_B in light))
    axis = torch.linspace(-1, 1, sprites_B4HW.shape[-1], device=sprites_B4HW.device)
    y_H1, x_1W = axis[:, None], axis[None]

    def along(angle_B111: Tensor) -> Tensor:
        return angle_B111.cos() * x_1W + angle_B111.sin() * y_H1

    strength_B1HW = (light.slope_B * along(light.slope_angle_B)).exp()
    in_shadow_B1HW = (12 * (along(light.shadow_angle_B) - light.shadow_edge_B)).sigmoid()
    strength_B1HW = strength_B1HW * (1 - light.shadow_B * in_shadow_B1HW)
    distance_B1HW = (x_1W - light.highlight_x_B).square() + (y_H1 - light.highlight_y_B).square()
    highlight_B1HW = light.highlight_B * (-distance_B1HW / 0.08).exp()
    tint_B311 = (light.warmth_B * axis.new_tensor((1.0, 0.0, -1.0)).view(3, 1, 1)).exp()
    rgb_B3HW, alpha_B1HW = sprites_B4HW.split((3, 1), dim=1)
    lit_B3HW = rgb_B3HW.pow(light.gamma_B) * strength_B1HW * tint_B311 + highlight_B1HW
    return torch.cat((lit_B3HW.clamp(0, 1), alpha_B1HW), dim=1)


def _cut_out(textures_B3HW: Tensor, crops: Crops, size: int) -> Tensor:
    """The parts at the sprites' size, [B, 3, size, size]; beyond its edges a texture is mirrored."""
    device = textures_B3HW.device
    scale_B, x_B, y_B, angle_B = (values_B.to(device) for values_B in crops)
    cos_B, sin_B = scale_B * angle_B.cos(), scale_B * angle_B.sin()
    theta_B23 = torch.stack((cos_B, -sin_B, x_B, sin_B, cos_B, y_B), dim=1).view(-1, 2, 3)
    grid = F.affine_grid(theta_B23, [len(theta_B23), 3, size, size], align_corners=False)
    return F.grid_sample(textures_B3HW, grid, padding_mode="reflection", align_corners=False)


def _luma(rgb_B3HW: Tensor) -> Tensor:
    return (rgb_B3HW * rgb_B3HW.new_tensor(RGB_TO_YIQ[0]).view(3, 1, 1)).sum(1, keepdim=True)


def _per_sprite(values_B: Tensor, sprites_B4HW: Tensor) -> Tensor:
    return values_B.to(sprites_B4HW.device).view(-1, 1, 1, 1)
