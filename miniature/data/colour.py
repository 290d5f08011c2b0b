"""Colour and alpha arithmetic that several stages share.

Shapes: leading axes of any kind, then 4 (RGB and alpha, 0..1) or 3 channels, H and W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

RGB_TO_YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))
"""NTSC's luma and two chroma axes: rotating the chroma changes the hue and keeps the luma."""


def premultiplied(rgba: Tensor) -> Tensor:
    """Straight alpha [..., 4, H, W] to premultiplied, which may be resampled without dark rims."""
    alpha = rgba[..., 3:, :, :]
    return torch.cat((rgba[..., :3, :, :] * alpha, alpha), dim=-3)


def over_white(colours: Tensor, alpha: Tensor) -> Tensor:
    """Premultiplied colours [..., 3, H, W] with their alpha [..., 1, H, W] on white, clamped to 0..1."""
    return (colours + 1 - alpha).clamp(0, 1)
