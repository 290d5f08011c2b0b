"""Pictures of two colours, and a tokenizer's config that learns them in seconds."""

from __future__ import annotations

import torch

from echogen_core.config import TokenizerConfig
from miniature.data.compose import MaskedImages

CONFIG = TokenizerConfig(
    bits=8, base_channels=8, channel_multipliers=(1, 2), res_blocks=1, unshuffle=2, norm_groups=4
)


class TwoColours:
    """Pictures 8x8 of one colour above another."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, count: int) -> MaskedImages:
        colours = torch.rand(count, 3, 2, 1, generator=self.generator)
        images_B3HW = colours.repeat_interleave(4, 2).expand(-1, -1, -1, 8).contiguous()
        subject_B1HW = torch.zeros(count, 1, 8, 8)
        subject_B1HW[..., :4, :] = 1
        return MaskedImages(images_B3HW, subject_B1HW)
