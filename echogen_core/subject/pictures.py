"""What a picture must be before anything is done with it, and what is said when it is not.

Shape suffixes: B pictures, C channels, H height, W width. Values 0..1.
"""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

SMALLEST_SIDE = 8
"""Pixels. Below this there is no subject to see, and the encoders' first convolutions have nothing to do."""

LARGEST_WORKING_SIDE = 2048
"""Pixels. Encoders look at 512 px at most: a larger picture is reduced before anything else copies it."""

_WHOLE = {torch.uint8: 255, torch.uint16: 65535}  # what stands for 1


def check_picture(images_BCHW: Tensor, what: str = "picture") -> Tensor:
    """The pictures as float32 in 0..1 on the CPU, after checks whose messages name `what`.

    On the CPU, because all that follows works with Pillow and numpy.

    images_BCHW: [B, 3 or 4, H, W]; one channel (grey) becomes three. Values a little outside 0..1, as some
    upscalers leave them, are clamped; unsigned integers (8 and 16 bits) are scaled by their range.
    Raises ValueError (expected, got, what to do) for a wrong shape, no picture, too few pixels, NaN or
    infinity.
    """
    if images_BCHW.ndim != 4 or images_BCHW.shape[1] not in (1, 3, 4):
        raise ValueError(
            f"The {what} must be pictures of shape [B, 3, H, W] (or 4 channels with alpha, or 1 of grey), "
            f"got {list(images_BCHW.shape)}."
        )
    count, _, height, width = images_BCHW.shape
    if count == 0:
        raise ValueError(f"The {what} holds no picture: expected at least one. Check the node that feeds it.")
    if min(height, width) < SMALLEST_SIDE:
        raise ValueError(
            f"The {what} is {width}×{height} px: at least {SMALLEST_SIDE} px on each side are needed. "
            "Load a larger picture, or check the crop before it."
        )
    images_BCHW = images_BCHW.cpu()
    broken = int((~torch.isfinite(images_BCHW)).sum())
    if broken:
        raise ValueError(
            f"The {what} holds {broken} values that are not numbers (NaN or infinity): expected 0 to 1. "
            "The node before it went wrong; a VAE in half precision often does this: run it in fp32 or bf16."
        )
    whole = _WHOLE.get(images_BCHW.dtype)
    images_BCHW = images_BCHW.float() if whole is None else images_BCHW.float() / whole
    if images_BCHW.shape[1] == 1:
        images_BCHW = images_BCHW.expand(-1, 3, -1, -1)
    return images_BCHW.clamp(0, 1)


def check_single(images_BCHW: Tensor, what: str = "picture") -> Tensor:
    """The same tensor when it holds one picture. Raises ValueError when it is a batch."""
    if images_BCHW.shape[0] != 1:
        raise ValueError(
            f"The {what} must be one picture, got a batch of {images_BCHW.shape[0]}. "
            "Pick one, for example with the node 'ImageFromBatch'."
        )
    return images_BCHW


def flatten_alpha(images_BCHW: Tensor, background: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Tensor:
    """[B, 3, H, W]: pictures with a fourth channel laid over the background, others as they are."""
    if images_BCHW.shape[1] == 3:
        return images_BCHW
    alpha_B1HW = images_BCHW[:, 3:]
    ground_1C11 = images_BCHW.new_tensor(background).view(1, 3, 1, 1)
    return images_BCHW[:, :3] * alpha_B1HW + ground_1C11 * (1 - alpha_B1HW)


def fit_within(images_BCHW: Tensor, side: int = LARGEST_WORKING_SIDE) -> Tensor:
    """The pictures, reduced (antialiased, proportions kept) until the longer side has at most `side` px."""
    height, width = images_BCHW.shape[-2:]
    longer = max(height, width)
    if longer <= side:
        return images_BCHW
    size = (max(1, round(height * side / longer)), max(1, round(width * side / longer)))
    return F.interpolate(images_BCHW, size, mode="bilinear", antialias=True)


def to_pil(image_3HW: Tensor) -> Image.Image:
    """One picture as 8-bit RGB, as the libraries' processors take it."""
    pixels_HW3 = (image_3HW.clamp(0, 1) * 255).round().to(torch.uint8).movedim(0, -1).cpu().numpy()
    return Image.fromarray(pixels_HW3)
