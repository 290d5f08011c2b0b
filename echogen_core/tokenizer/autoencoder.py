"""Convolutional encoder and decoder of the BSQ tokenizer.

Level 0 is full resolution, divided by the pixel unshuffle before the first convolution; each further level
halves it. Level i has base_channels * channel_multipliers[i] channels.
Shapes: B batch, C channels, H W size at a level, D bits per token (latent channels).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import TokenizerConfig
from ..layers import LayerFactory, ResidualBlock, downsample
from .convolution import fast_layers
from .super_resolution import SuperResolution


def _blocks(make: LayerFactory, inputs: int, outputs: int, count: int) -> nn.ModuleList:
    widths = [inputs, *[outputs] * (count - 1)]
    return nn.ModuleList(ResidualBlock(make, width, outputs) for width in widths)


class DownLevel(nn.Module):
    """Residual blocks, then (except at the coarsest level) a stride-2 convolution padded right and below."""

    def __init__(self, make: LayerFactory, inputs: int, outputs: int, blocks: int, last: bool) -> None:
        super().__init__()
        self.blocks = _blocks(make, inputs, outputs, blocks)
        self.downsample = None if last else make.convolution(outputs, outputs, stride=2, padding=0)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, H/2, W/2] (H, W at the coarsest level)."""
        for block in self.blocks:
            x_BCHW = block(x_BCHW)
        if self.downsample is not None:
            x_BCHW = downsample(self.downsample, x_BCHW)
        return x_BCHW


class UpLevel(nn.Module):
    """Residual blocks, then (except at full resolution) nearest x2 and a convolution, in one layer."""

    def __init__(self, make: LayerFactory, inputs: int, outputs: int, blocks: int, last: bool) -> None:
        super().__init__()
        self.blocks = _blocks(make, inputs, outputs, blocks)
        self.upsample = None if last else make.convolution(outputs, outputs, doubled=True)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, 2H, 2W] (H, W at full resolution)."""
        for block in self.blocks:
            x_BCHW = block(x_BCHW)
        if self.upsample is not None:
            x_BCHW = self.upsample(x_BCHW)
        return x_BCHW


class Encoder(nn.Module):
    """Pictures -1..1 [B, 3, H, W] to latents [B, D, H/patch, W/patch]."""

    def __init__(
        self,
        config: TokenizerConfig,
        operations: Any = nn,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        make = LayerFactory(operations, dtype, device, config.norm_groups)
        widths = [config.base_channels * multiplier for multiplier in config.channel_multipliers]
        inputs = [config.base_channels, *widths[:-1]]
        self.unshuffle = config.unshuffle
        self.conv_in = make.convolution(3 * config.unshuffle**2, config.base_channels)
        self.levels = nn.ModuleList(
            DownLevel(make, before, width, config.res_blocks, last=index == len(widths) - 1)
            for index, (before, width) in enumerate(zip(inputs, widths, strict=True))
        )
        self.middle = nn.Sequential(*(ResidualBlock(make, widths[-1], widths[-1]) for _ in range(2)))
        self.norm_out = make.group_norm(widths[-1])
        self.conv_out = make.convolution(widths[-1], config.bits)

    def forward(self, images_B3HW: Tensor) -> Tensor:
        """[B, 3, H, W] in -1..1 to [B, D, H/patch, W/patch]."""
        x_BCHW: Tensor = self.conv_in(F.pixel_unshuffle(images_B3HW, self.unshuffle))
        for level in self.levels:
            x_BCHW = level(x_BCHW)
        x_BCHW = self.norm_out(self.middle(x_BCHW))
        latent_BDHW: Tensor = self.conv_out(F.silu(x_BCHW))
        return latent_BDHW


class Decoder(nn.Module):
    """Codes [B, D, H/patch, W/patch] to pictures around -1..1 [B, 3, H, W], not clamped.

    With super-resolution, pictures are that many times larger than those that have been encoded.
    """

    def __init__(
        self,
        config: TokenizerConfig,
        operations: Any = nn,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        make = LayerFactory(fast_layers(operations), dtype, device, config.norm_groups)
        widths = [config.base_channels * multiplier for multiplier in config.channel_multipliers]
        inputs = [*widths[1:], widths[-1]]
        self.unshuffle = config.unshuffle
        self.conv_in = make.convolution(config.bits, widths[-1])
        self.middle = nn.Sequential(*(ResidualBlock(make, widths[-1], widths[-1]) for _ in range(2)))
        # Index = level, as in the encoder; run from the coarsest (last) to full resolution (0).
        self.levels = nn.ModuleList(
            UpLevel(make, before, width, config.res_blocks + 1, last=index == 0)
            for index, (before, width) in enumerate(zip(inputs, widths, strict=True))
        )
        self.norm_out = make.group_norm(widths[0])
        self.conv_out = make.convolution(widths[0], 3 * config.unshuffle**2)
        self.super_resolution = SuperResolution(config, make) if config.super_resolution > 1 else None

    def features(self, codes_BDHW: Tensor) -> Tensor:
        """[B, D, H, W] to what pictures are drawn from: level 0's channels, a cell for unshuffle² pixels."""
        x_BCHW: Tensor = self.middle(self.conv_in(codes_BDHW))
        for level in reversed(self.levels):
            x_BCHW = level(x_BCHW)
        return F.silu(self.norm_out(x_BCHW))

    def picture(self, features_BCHW: Tensor) -> Tensor:
        """Features to pictures [B, 3, H*unshuffle, W*unshuffle] of the encoded size."""
        return F.pixel_shuffle(self.conv_out(features_BCHW), self.unshuffle)

    def forward(self, codes_BDHW: Tensor) -> Tensor:
        """[B, D, H, W] to [B, 3, H*drawn_patch, W*drawn_patch] around -1..1."""
        features_BCHW = self.features(codes_BDHW)
        picture_B3HW = self.picture(features_BCHW)
        if self.super_resolution is None:
            return picture_B3HW
        larger_B3HW: Tensor = self.super_resolution(picture_B3HW, features_BCHW)
        return larger_B3HW
