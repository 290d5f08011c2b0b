"""Pictures as tensors: the check that all pass before anything is done with them, and Pillow's form.

Shape suffixes: B pictures, C channels, H height, W width. Values 0..1.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

SMALLEST_SIDE = 8
"""Pixels. Below this there is no subject to see, and the encoders' first convolutions have nothing to do."""

LARGEST_WORKING_SIDE = 2048
"""Pixels. Encoders look at 512 px at most: a larger picture is reduced before anything else copies it."""

_INTEGER_RANGES = {torch.uint8: 255, torch.uint16: 65535}  # type -> the value that stands for 1
_FORMS = {1: "1 of grey", 3: "3 (RGB)", 4: "4 (RGB and alpha)"}


def check_pictures(
    images_BCHW: Tensor,
    what: str = "picture",
    channels: Collection[int] = (1, 3, 4),
    smallest_side: int = SMALLEST_SIDE,
) -> Tensor:
    """The pictures as float32 in 0..1 on the CPU, after checks whose messages name `what`.

    On the CPU, because all that follows works with Pillow and numpy.

    images_BCHW: one channel (grey) becomes three. Values a little outside 0..1, as resampling leaves them,
    are clamped; unsigned integers (8 and 16 bits) are scaled by their range. channels: the counts allowed.
    Raises ValueError for a wrong shape, no picture, a side below `smallest_side` px, NaN or infinity.
    """
    _check_shape(list(images_BCHW.shape), what, channels, smallest_side)
    images_BCHW = images_BCHW.cpu()
    broken = int((~torch.isfinite(images_BCHW)).sum())
    if broken:
        raise ValueError(
            f"The {what} holds {broken} values that are not numbers (NaN or infinity): expected 0 to 1. "
            "The node before it went wrong; a VAE in half precision often does this: run it in fp32 or bf16."
        )
    largest = _INTEGER_RANGES.get(images_BCHW.dtype)
    images_BCHW = images_BCHW.float() if largest is None else images_BCHW.float() / largest
    if images_BCHW.shape[1] == 1:
        images_BCHW = images_BCHW.expand(-1, 3, -1, -1)
    return images_BCHW.clamp(0, 1)


def _check_shape(shape: list[int], what: str, channels: Collection[int], smallest_side: int) -> None:
    if len(shape) != 4:
        raise ValueError(
            f"The {what} must be pictures of shape [batch, channels, height, width], got {shape}. "
            "Add the batch axis, and put the channels second."
        )
    if shape[1] not in channels:
        forms = ", or ".join(_FORMS[count] for count in channels)
        raise ValueError(f"The {what} has the wrong number of channels: expected {forms}, got {shape[1]}.")
    height, width = shape[2:]
    if 0 in shape:
        raise ValueError(
            f"The {what} holds no picture (shape {shape}): expected at least one picture with pixels. "
            "Check the node that feeds it."
        )
    if min(height, width) < smallest_side:
        raise ValueError(
            f"The {what} is {width}×{height} px: at least {smallest_side} px on each side are needed. "
            "Load a larger picture, or check the crop before it."
        )


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


def from_pil(image: Image.Image) -> Tensor:
    """[channels of the picture's mode, H, W] in 0..1 of an 8-bit picture (L, RGB or RGBA)."""
    pixels_HWC = np.asarray(image, dtype=np.float32) / 255
    return torch.from_numpy(pixels_HWC.reshape(*pixels_HWC.shape[:2], -1)).permute(2, 0, 1)
