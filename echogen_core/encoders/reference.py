"""Pictures on their way into an encoder: checks, and the square reference picture.

Shape suffixes: B pictures, 3 colour channels (RGB, 0..1), H and W pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def check_pictures(images_B3HW: Tensor) -> Tensor:
    """The pictures as float32 in 0..1.

    Values outside 0..1 are clamped (resampling overshoots). ValueError for anything that is not a
    non-empty batch of finite three-channel pictures.
    """
    if images_B3HW.ndim != 4:
        raise ValueError(
            f"Expected pictures [batch, 3, height, width], got a tensor of shape {tuple(images_B3HW.shape)}. "
            "Add the batch axis, and put the channels second."
        )
    batch, channels, height, width = images_B3HW.shape
    if batch == 0 or height == 0 or width == 0:
        raise ValueError(
            f"Expected at least one picture with pixels, got shape {tuple(images_B3HW.shape)}. "
            "Connect a picture."
        )
    if channels != 3:
        raise ValueError(
            f"Expected pictures with 3 colour channels (RGB), got {channels}. "
            "Drop the alpha channel, or repeat a grey one three times."
        )
    images_B3HW = images_B3HW.float()
    if not bool(torch.isfinite(images_B3HW).all()):
        raise ValueError(
            "Expected finite pixel values, got NaN or infinity in the picture. "
            "Check the step before it: a half-precision decoder often produces them."
        )
    return images_B3HW.clamp(0, 1)


def reference_picture(images_B3HW: Tensor, size: int) -> Tensor:
    """Square pictures [B, 3, size, size]: scaled to cover the square (LANCZOS), centre-cropped.

    As the official script prepares its reference (golden README, 22), through 8-bit colours like there.
    Pictures of the right size come back as they are. ValueError as in `check_pictures`.
    """
    images_B3HW = check_pictures(images_B3HW)
    if images_B3HW.shape[-2:] == (size, size):
        return images_B3HW
    device = images_B3HW.device
    images_BHW3 = (images_B3HW * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    squares_BHW3 = np.stack([_cover(Image.fromarray(image_HW3), size) for image_HW3 in images_BHW3])
    return torch.from_numpy(squares_BHW3).to(device).permute(0, 3, 1, 2).float() / 255


def _cover(image: Image.Image, size: int) -> np.ndarray:
    """One picture scaled so that its shorter side is `size`, then centre-cropped: uint8 [size, size, 3]."""
    width, height = image.size
    scale = size / min(width, height)
    # Never below `size`: rounding down would leave a strip without pixels.
    scaled_wh = (max(size, int(width * scale)), max(size, int(height * scale)))
    if max(scaled_wh) > 64 * size:
        # An extreme strip: the crop keeps only its middle, so the rest need not be scaled at all.
        image, scaled_wh = _middle(image), (size, size)
    pixels_HW3 = np.asarray(image.resize(scaled_wh, Image.Resampling.LANCZOS))
    top, left = (pixels_HW3.shape[0] - size) // 2, (pixels_HW3.shape[1] - size) // 2
    return np.ascontiguousarray(pixels_HW3[top : top + size, left : left + size])


def _middle(image: Image.Image) -> Image.Image:
    """The largest centred square."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))
