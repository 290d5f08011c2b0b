"""The square reference picture that the encoders see.

Shape suffixes: B pictures, 3 colour channels (RGB, 0..1), H and W pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..pictures import check_pictures


def reference_picture(images_B3HW: Tensor, size: int) -> Tensor:
    """Square pictures [B, 3, size, size]: scaled to cover the square (LANCZOS), centre-cropped.

    As the official script prepares its reference (golden README, 22), through 8-bit colours like there.
    Pictures of the right size come back as they are. Raises ValueError as `pictures.check_pictures`; grey
    and transparent pictures are refused.
    """
    device = images_B3HW.device
    images_B3HW = check_pictures(images_B3HW, channels=(3,), smallest_side=1)
    if images_B3HW.shape[-2:] == (size, size):
        return images_B3HW.to(device)
    images_BHW3 = (images_B3HW * 255).round().byte().permute(0, 2, 3, 1).numpy()
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
