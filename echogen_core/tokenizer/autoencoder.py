"""Convolutional encoder and decoder of the BSQ tokenizer.

Level 0 is full resolution, or that of squares of fold x fold pixels taken together as channels; each further
level halves it. Level i has base_channels * channel_multipliers[i] channels.
Shapes: B batch, C channels, H W size at the level at hand, D bits per token (latent channels).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import TokenizerConfig

NORM_EPS = 1e-6


class _Factory:
    """Builds the layers of one model from the caller's layer classes, at one dtype and device."""

    def __init__(
        self,
        config: TokenizerConfig,
        operations: Any,
        dtype: torch.dtype | None,
        device: torch.device | str | None,
    ) -> None:
        self._norm_groups = config.norm_groups
        self._operations = operations
        self._where: dict[str, Any] = {"dtype": dtype, "device": device}

    def conv(self, inputs: int, outputs: int, size: int = 3, **options: int) -> nn.Module:
        options.setdefault("padding", size // 2)
        layer: nn.Module = self._operations.Conv2d(inputs, outputs, size, **options, **self._where)
        return layer

    def norm(self, channels: int) -> nn.Module:
        groups = self._norm_groups
        layer: nn.Module = self._operations.GroupNorm(groups, channels, eps=NORM_EPS, **self._where)
        return layer


class ResidualBlock(nn.Module):
    """Twice norm, SiLU, 3x3 convolution, beside a shortcut (1x1 where the channels change)."""

    def __init__(self, make: _Factory, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1 = make.norm(inputs)
        self.conv1 = make.conv(inputs, outputs)
        self.norm2 = make.norm(outputs)
        self.conv2 = make.conv(outputs, outputs)
        self.shortcut = make.conv(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x_BCHW: Tensor) -> Tensor:
        h_BCHW = self.conv1(F.silu(self.norm1(x_BCHW)))
        h_BCHW = self.conv2(F.silu(self.norm2(h_BCHW)))
        skip_BCHW: Tensor = x_BCHW if self.shortcut is None else self.shortcut(x_BCHW)
        summed_BCHW: Tensor = skip_BCHW + h_BCHW
        return summed_BCHW


def _blocks(make: _Factory, inputs: int, outputs: int, count: int) -> nn.ModuleList:
    return nn.ModuleList(ResidualBlock(make, outputs if i else inputs, outputs) for i in range(count))


class DownLevel(nn.Module):
    """Residual blocks, then (except at the coarsest level) a stride-2 convolution padded right and below."""

    def __init__(self, make: _Factory, inputs: int, outputs: int, blocks: int, last: bool) -> None:
        super().__init__()
        self.blocks = _blocks(make, inputs, outputs, blocks)
        self.downsample = None if last else make.conv(outputs, outputs, stride=2, padding=0)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        for block in self.blocks:
            x_BCHW = block(x_BCHW)
        if self.downsample is not None:
            x_BCHW = self.downsample(F.pad(x_BCHW, (0, 1, 0, 1)))
        return x_BCHW


class UpLevel(nn.Module):
    """Residual blocks, then (except at full resolution) nearest x2 and a convolution."""

    def __init__(self, make: _Factory, inputs: int, outputs: int, blocks: int, last: bool) -> None:
        super().__init__()
        self.blocks = _blocks(make, inputs, outputs, blocks)
        self.upsample = None if last else make.conv(outputs, outputs)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        for block in self.blocks:
            x_BCHW = block(x_BCHW)
        if self.upsample is not None:
            x_BCHW = self.upsample(F.interpolate(x_BCHW, scale_factor=2.0, mode="nearest"))
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
        make = _Factory(config, operations, dtype, device)
        widths = [config.base_channels * multiplier for multiplier in config.channel_multipliers]
        inputs = [config.base_channels, *widths[:-1]]
        self.fold = config.fold
        self.conv_in = make.conv(3 * config.fold**2, config.base_channels)
        self.levels = nn.ModuleList(
            DownLevel(make, before, width, config.res_blocks, last=index == len(widths) - 1)
            for index, (before, width) in enumerate(zip(inputs, widths, strict=True))
        )
        self.middle = nn.Sequential(*(ResidualBlock(make, widths[-1], widths[-1]) for _ in range(2)))
        self.norm_out = make.norm(widths[-1])
        self.conv_out = make.conv(widths[-1], config.bits)

    def forward(self, images_B3HW: Tensor) -> Tensor:
        x_BCHW: Tensor = self.conv_in(F.pixel_unshuffle(images_B3HW, self.fold))
        for level in self.levels:
            x_BCHW = level(x_BCHW)
        x_BCHW = self.norm_out(self.middle(x_BCHW))
        latent_BDHW: Tensor = self.conv_out(F.silu(x_BCHW))
        return latent_BDHW


class Decoder(nn.Module):
    """Codes [B, D, H/patch, W/patch] to pictures around -1..1 [B, 3, H, W], not clamped."""

    def __init__(
        self,
        config: TokenizerConfig,
        operations: Any = nn,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        make = _Factory(config, operations, dtype, device)
        widths = [config.base_channels * multiplier for multiplier in config.channel_multipliers]
        inputs = [*widths[1:], widths[-1]]
        self.fold = config.fold
        self.conv_in = make.conv(config.bits, widths[-1])
        self.middle = nn.Sequential(*(ResidualBlock(make, widths[-1], widths[-1]) for _ in range(2)))
        # Index = level, as in the encoder; run from the coarsest (last) to full resolution (0).
        self.levels = nn.ModuleList(
            UpLevel(make, before, width, config.res_blocks + 1, last=index == 0)
            for index, (before, width) in enumerate(zip(inputs, widths, strict=True))
        )
        self.norm_out = make.norm(widths[0])
        self.conv_out = make.conv(widths[0], 3 * config.fold**2)

    def forward(self, codes_BDHW: Tensor) -> Tensor:
        x_BCHW: Tensor = self.middle(self.conv_in(codes_BDHW))
        for level in reversed(self.levels):
            x_BCHW = level(x_BCHW)
        return F.pixel_shuffle(self.conv_out(F.silu(self.norm_out(x_BCHW))), self.fold)
