"""The encoder half of the FLUX VAE: picture in, posterior mode out (no shift, no scaling factor).

Shape suffixes: B pictures (V as views of one subject), C channels, H and W pixels or cells.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..features import ContentFeatures
from ..layers import LayerFactory, ResidualBlock, downsample
from .reference import reference_picture
from .sizes import ContentEncoderConfig


class CellAttention(nn.Module):
    """One head over all cells, residual."""

    def __init__(self, channels: int, make: LayerFactory) -> None:
        super().__init__()
        self.norm = make.group_norm(channels)
        self.q = make.convolution(channels, channels, 1)
        self.k = make.convolution(channels, channels, 1)
        self.v = make.convolution(channels, channels, 1)
        self.out = make.convolution(channels, channels, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """[B, C, H, W] to [B, C, H, W]."""
        normal_BCHW = self.norm(x_BCHW)
        q_B1LC, k_B1LC, v_B1LC = (
            layer(normal_BCHW).flatten(2).transpose(1, 2).unsqueeze(1) for layer in (self.q, self.k, self.v)
        )
        mixed_B1LC = F.scaled_dot_product_attention(q_B1LC, k_B1LC, v_B1LC)
        mixed_BCHW: Tensor = self.out(mixed_B1LC.squeeze(1).transpose(1, 2).reshape(x_BCHW.shape))
        return x_BCHW + mixed_BCHW


class Downsample(nn.Module):
    """Half the size, in a module of its own for the checkpoint's names."""

    def __init__(self, channels: int, make: LayerFactory) -> None:
        super().__init__()
        self.conv = make.convolution(channels, channels, stride=2, padding=0)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """[B, C, H, W] to [B, C, H/2, W/2]."""
        return downsample(self.conv, x_BCHW)


class ContentEncoder(nn.Module):
    """Four levels of residual blocks, attention in the middle, mean and log-variance at the end."""

    def __init__(
        self,
        config: ContentEncoderConfig,
        operations: Any = torch.nn,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        make, channels = LayerFactory(operations, dtype, device, config.norm_groups), config.base_channels
        self.conv_in = make.convolution(3, channels)
        self.levels: Any = nn.ModuleList()
        for index, multiplier in enumerate(config.channel_multipliers):
            level = nn.ModuleDict()
            width = config.base_channels * multiplier
            inputs = [channels] + [width] * (config.res_blocks - 1)
            level["blocks"] = nn.Sequential(*(ResidualBlock(make, count, width) for count in inputs))
            channels = width
            if index + 1 < len(config.channel_multipliers):
                level["downsample"] = Downsample(channels, make)
            self.levels.append(level)
        self.middle = nn.Sequential(
            ResidualBlock(make, channels, channels),
            CellAttention(channels, make),
            ResidualBlock(make, channels, channels),
        )
        self.norm_out = make.group_norm(channels)
        self.conv_out = make.convolution(channels, 2 * config.latent_channels)

    def forward(self, images_B3HW: Tensor) -> Tensor:
        """Posterior mode [B, latent_channels, H/8, W/8] of pictures in 0..1, differentiable."""
        x_BCHW = self.conv_in((images_B3HW * 2 - 1).to(self.conv_in.weight.dtype))
        for level in self.levels:
            for stage in level.values():  # blocks, then downsample
                x_BCHW = stage(x_BCHW)
        moments_BCHW: Tensor = self.conv_out(F.silu(self.norm_out(self.middle(x_BCHW))))
        # The second half is the log-variance: the mode of a Gaussian does not depend on it.
        return moments_BCHW[:, : self.config.latent_channels]

    @torch.no_grad()
    def encode(self, images_B3HW: Tensor, device: torch.device | str | None = None) -> ContentFeatures:
        """Float32 latents of pictures of one subject, any size; ValueError as `check_pictures`.

        device: where to compute (None: where the weights are, which must then all be there).
        """
        pictures_B3HW = reference_picture(images_B3HW, self.config.reference_size)
        return ContentFeatures(self(pictures_B3HW.to(device or self.conv_in.weight.device)).float())
