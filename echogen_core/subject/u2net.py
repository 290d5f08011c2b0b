"""U²-Netp: nested U-shaped blocks that mark the most conspicuous object of a picture.

Qin et al. 2020, "U²-Net: Going deeper with nested U-structure for salient object detection"; the small
variant, with its batch norms folded into the convolutions.
Shape suffixes: B pictures, C channels, H height, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MIDDLE, WIDTH = 16, 64  # channels inside a block and between blocks
HEIGHTS = (7, 6, 5, 4)  # convolutions down each block's own U, from the finest stage on
DILATIONS = (1, 2, 4, 8)  # of the two coarsest stages, which widen their view in place of pooling


class ConvReLU(nn.Sequential):
    """3×3 convolution, then ReLU; the size stays."""

    def __init__(self, inputs: int, outputs: int, dilation: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation), nn.ReLU(inplace=True)
        )


class ResidualU(nn.Module):
    """A U inside the U: what it finds at several scales is added to its input's features.

    height: convolutions on the way down. pooled: the way down halves the size at each but the first and
    last; otherwise the size stays and the dilation doubles.
    """

    def __init__(self, inputs: int, height: int, pooled: bool = True) -> None:
        super().__init__()
        self.pooled = pooled
        down = [1] * (height - 1) + [2] if pooled else list(DILATIONS)
        up = [1] * (height - 1) if pooled else list(DILATIONS[-2::-1])
        self.enter = ConvReLU(inputs, WIDTH)
        self.down = nn.ModuleList(
            ConvReLU(MIDDLE if i else WIDTH, MIDDLE, dilation) for i, dilation in enumerate(down)
        )
        self.up = nn.ModuleList(
            ConvReLU(2 * MIDDLE, MIDDLE if i < len(up) - 1 else WIDTH, dilation)
            for i, dilation in enumerate(up)
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, WIDTH, H, W]."""
        entered_BCHW = self.enter(x_BCHW)
        levels = [self.down[0](entered_BCHW)]
        for conv in list(self.down)[1:-1]:
            levels.append(conv(_halve(levels[-1]) if self.pooled else levels[-1]))
        y_BCHW = self.down[-1](levels[-1])
        for conv, level_BCHW in zip(self.up, reversed(levels), strict=True):
            y_BCHW = conv(torch.cat((_fit(y_BCHW, level_BCHW), level_BCHW), dim=1))
        return y_BCHW + entered_BCHW


class U2Netp(nn.Module):
    """Saliency of normalised pictures: six stages down, five up, a side map from each, all six merged."""

    def __init__(self) -> None:
        super().__init__()
        sizes = [(height, True) for height in HEIGHTS] + [(len(DILATIONS), False)] * 2
        self.down = nn.ModuleList(ResidualU(WIDTH if i else 3, *size) for i, size in enumerate(sizes))
        self.up = nn.ModuleList(ResidualU(2 * WIDTH, *size) for size in reversed(sizes[:-1]))
        self.side = nn.ModuleList(nn.Conv2d(WIDTH, 1, 3, padding=1) for _ in sizes)
        self.merge = nn.Conv2d(len(sizes), 1, 1)

    def forward(self, x_B3HW: Tensor) -> Tensor:
        """Logits [B, 1, H, W] of ImageNet-normalised pictures; meant for 320 px squares."""
        # Channels last in memory: a fifth faster on a CPU.
        x_B3HW = x_B3HW.contiguous(memory_format=torch.channels_last)
        levels = [self.down[0](x_B3HW)]
        for stage in list(self.down)[1:]:
            levels.append(stage(_halve(levels[-1])))
        stages = [levels.pop()]
        for stage in self.up:
            level_BCHW = levels.pop()
            stages.append(stage(torch.cat((_fit(stages[-1], level_BCHW), level_BCHW), dim=1)))
        sides = [side(stage) for side, stage in zip(self.side, reversed(stages), strict=True)]
        return self.merge(torch.cat([_fit(side_B1HW, x_B3HW) for side_B1HW in sides], dim=1))


def _halve(x_BCHW: Tensor) -> Tensor:
    return F.max_pool2d(x_BCHW, 2, stride=2, ceil_mode=True)


def _fit(x_BCHW: Tensor, like_BCHW: Tensor) -> Tensor:
    return F.interpolate(x_BCHW, size=like_BCHW.shape[-2:], mode="bilinear")
