"""Super-resolution of decoded pictures, by what the decoder knew when it drew them.

Not in the paper, and no published tokenizer has it. A residual on the bicubic enlargement (Kim et al. 2016,
arXiv:1511.04587), computed at low resolution and shuffled into pixels (Shi et al. 2016, arXiv:1609.05158), by
residual blocks without norms (Lim et al. 2017, arXiv:1707.02921).

Shape suffixes: B pictures, C channels, F the decoder's last features, H W pixels of the decoded picture, h w
cells of its features.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from ..config import TokenizerConfig
from ..layers import LayerFactory

WIDTH = 48
BLOCKS = 2


class PlainBlock(nn.Module):
    """3x3 convolution, SiLU, 3x3 convolution, added to the input: what it does is the same in a crop."""

    def __init__(self, make: LayerFactory, width: int) -> None:
        super().__init__()
        self.conv1 = make.convolution(width, width)
        self.conv2 = make.convolution(width, width)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """[B, width, H, W] to the same."""
        refined_BCHW: Tensor = x_BCHW + self.conv2(F.silu(self.conv1(x_BCHW)))
        return refined_BCHW


class SuperResolution(nn.Module):
    """Pictures at `config.super_resolution` times their size, from them and from what they were drawn from.

    It works on cells of half a feature's size, or of a pixel where features have that size.
    """

    def __init__(self, config: TokenizerConfig, make: LayerFactory) -> None:
        super().__init__()
        self.times = config.super_resolution
        self.cell = max(1, config.unshuffle // 2)  # pixels of the decoded picture a side
        self.cells = config.unshuffle // self.cell  # a feature's, a side
        features = config.base_channels * config.channel_multipliers[0]
        self.from_features = make.convolution(features, WIDTH * self.cells**2, 1)
        self.from_picture = make.convolution(3 * self.cell**2, WIDTH)
        self.blocks = nn.Sequential(*(PlainBlock(make, WIDTH) for _ in range(BLOCKS)))
        self.conv_out = make.convolution(WIDTH, 3 * (self.cell * self.times) ** 2)

    def forward(self, picture_B3HW: Tensor, features_BFhw: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] and features [B, F, H/unshuffle, W/unshuffle] to [B, 3, times*H, times*W]."""
        x_BCHW: Any = F.pixel_shuffle(self.from_features(features_BFhw), self.cells)
        x_BCHW = x_BCHW + self.from_picture(F.pixel_unshuffle(picture_B3HW, self.cell))
        residual_BCHW = self.conv_out(F.silu(self.blocks(x_BCHW)))
        return enlarged(picture_B3HW, self.times) + F.pixel_shuffle(residual_BCHW, self.cell * self.times)


def enlarged(picture_B3HW: Tensor, times: int) -> Tensor:
    """The bicubic enlargement [B, 3, times*H, times*W], which may exceed the picture's range a little."""
    return F.interpolate(picture_B3HW, scale_factor=times, mode="bicubic")
