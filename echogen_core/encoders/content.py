"""The encoder half of the FLUX VAE: picture in, posterior mode out (no shift, no scaling factor).

Shape suffixes: B pictures (V as views of one subject), C channels, H and W pixels or cells.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..features import ContentFeatures
from .config import ContentEncoderConfig
from .pictures import reference_picture


class ResBlock(nn.Module):
    """GroupNorm, SiLU, 3x3 convolution, twice; a 1x1 convolution carries the input when widths differ."""

    def __init__(self, inputs: int, outputs: int, groups: int, operations: Any, **place: Any) -> None:
        super().__init__()
        self.norm1 = operations.GroupNorm(groups, inputs, eps=1e-6, **place)
        self.conv1 = operations.Conv2d(inputs, outputs, 3, padding=1, **place)
        self.norm2 = operations.GroupNorm(groups, outputs, eps=1e-6, **place)
        self.conv2 = operations.Conv2d(outputs, outputs, 3, padding=1, **place)
        self.shortcut = operations.Conv2d(inputs, outputs, 1, **place) if inputs != outputs else nn.Identity()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        inner_BCHW = self.conv1(F.silu(self.norm1(x_BCHW)))
        inner_BCHW = self.conv2(F.silu(self.norm2(inner_BCHW)))
        sum_BCHW: Tensor = self.shortcut(x_BCHW) + inner_BCHW
        return sum_BCHW


class Attention(nn.Module):
    """One head over all cells, residual."""

    def __init__(self, channels: int, groups: int, operations: Any, **place: Any) -> None:
        super().__init__()
        self.norm = operations.GroupNorm(groups, channels, eps=1e-6, **place)
        self.q = operations.Conv2d(channels, channels, 1, **place)
        self.k = operations.Conv2d(channels, channels, 1, **place)
        self.v = operations.Conv2d(channels, channels, 1, **place)
        self.out = operations.Conv2d(channels, channels, 1, **place)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        normal_BCHW = self.norm(x_BCHW)
        q_B1LC, k_B1LC, v_B1LC = (
            layer(normal_BCHW).flatten(2).transpose(1, 2).unsqueeze(1) for layer in (self.q, self.k, self.v)
        )
        mixed_B1LC = F.scaled_dot_product_attention(q_B1LC, k_B1LC, v_B1LC)
        mixed_BCHW: Tensor = self.out(mixed_B1LC.squeeze(1).transpose(1, 2).reshape(x_BCHW.shape))
        return x_BCHW + mixed_BCHW


class Downsample(nn.Module):
    """Stride-2 convolution padded on the right and at the bottom only, as LDM does."""

    def __init__(self, channels: int, operations: Any, **place: Any) -> None:
        super().__init__()
        self.conv = operations.Conv2d(channels, channels, 3, stride=2, **place)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        halved_BCHW: Tensor = self.conv(F.pad(x_BCHW, (0, 1, 0, 1)))
        return halved_BCHW


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
        place: dict[str, Any] = {"dtype": dtype, "device": device}
        groups, channels = config.norm_groups, config.base_channels
        self.conv_in = operations.Conv2d(3, channels, 3, padding=1, **place)
        self.levels: Any = nn.ModuleList()
        for index, multiplier in enumerate(config.channel_multipliers):
            level = nn.ModuleDict()
            width = config.base_channels * multiplier
            inputs = [channels] + [width] * (config.res_blocks - 1)
            level["blocks"] = nn.Sequential(
                *(ResBlock(count, width, groups, operations, **place) for count in inputs)
            )
            channels = width
            if index + 1 < len(config.channel_multipliers):
                level["downsample"] = Downsample(channels, operations, **place)
            self.levels.append(level)
        self.middle = nn.Sequential(
            ResBlock(channels, channels, groups, operations, **place),
            Attention(channels, groups, operations, **place),
            ResBlock(channels, channels, groups, operations, **place),
        )
        self.norm_out = operations.GroupNorm(groups, channels, eps=1e-6, **place)
        self.conv_out = operations.Conv2d(channels, 2 * config.latent_channels, 3, padding=1, **place)

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
