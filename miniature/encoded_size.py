"""Pictures at the size that a tokenizer encodes, where it draws larger ones.

Shapes: B pictures, H W any size, h w that of a schedule.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor
from torch.nn import functional as F

from echogen_core.scales import ScaleSchedule
from echogen_core.tokenizer import BitTokenizer

SUPER_RESOLUTION = "decoder.super_resolution."
"""Where the names of its weights begin."""


def at_encoded_size(images_B3HW: Tensor, schedule: ScaleSchedule) -> Tensor:
    """Pictures at a schedule's size, [B, 3, h, w]: the mean of each pixel's area. Of that size they stay."""
    if tuple(images_B3HW.shape[-2:]) == schedule.pixels_hw:
        return images_B3HW
    return F.interpolate(images_B3HW, schedule.pixels_hw, mode="area")


def without_super_resolution(tokenizer: BitTokenizer) -> BitTokenizer:
    """The tokenizer that draws pictures of the size that it encodes; the same one where it does already."""
    if tokenizer.config.super_resolution == 1:
        return tokenizer
    plain = BitTokenizer(replace(tokenizer.config, super_resolution=1))
    state = tokenizer.state_dict().items()
    plain.load_state_dict({name: t for name, t in state if not name.startswith(SUPER_RESOLUTION)})
    return plain.to(next(tokenizer.parameters()).device).eval()
