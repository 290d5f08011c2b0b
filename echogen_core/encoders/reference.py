"""The square reference picture that the encoders see.

Shape suffixes: B pictures, 3 colour channels (RGB, 0..1), H and W pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..pictures import check_pictures, cover_crop


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
    squares_BHW3 = np.stack(
        [np.asarray(cover_crop(Image.fromarray(image_HW3), (size, size))) for image_HW3 in images_BHW3]
    )
    return torch.from_numpy(squares_BHW3).to(device).permute(0, 3, 1, 2).float() / 255
