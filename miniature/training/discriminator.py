"""Which of two pictures is real: the adversary of the decoder's training.

It looks at pixels and, like a projected GAN (Sauer et al. 2021, arXiv:2111.01007), at the frozen features of
the network that the perceptual loss compares. Hinge losses (Lim and Ye 2017, arXiv:1705.02894), spectral
norms (Miyato et al. 2018, arXiv:1802.05957).
Shapes: B crops, H W pixels; C h w a feature's channels and cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

PIXEL_WIDTHS = (48, 64, 96, 96)
FEATURE_WIDTH = 64


class Discriminator(nn.Module):
    """Maps of how real a picture's parts look, by pixels and by each of several features.

    channels: those of the features.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        first, second, third, fourth = PIXEL_WIDTHS
        self.pixels = nn.Sequential(
            *_layer(12, first, 3), *_layer(first, second, 4, 2), *_layer(second, third, 4, 2),
            *_layer(third, fourth, 3), spectral_norm(nn.Conv2d(fourth, 1, 3, padding=1)),
        )  # fmt: skip
        self.features = nn.ModuleList(
            nn.Sequential(
                *_layer(width, FEATURE_WIDTH, 1), *_layer(FEATURE_WIDTH, FEATURE_WIDTH, 3),
                spectral_norm(nn.Conv2d(FEATURE_WIDTH, 1, 3, padding=1)),
            )
            for width in channels
        )  # fmt: skip

    def forward(self, pictures_B3HW: Tensor, features: Sequence[Tensor]) -> list[Tensor]:
        """Pictures in 0..1 and their features [B, C, h, w], normalised over channels, to maps [B, 1, ...]."""
        pixels = self.pixels(F.pixel_unshuffle(2 * pictures_B3HW - 1, 2))
        heads = zip(self.features, features, strict=True)
        return [pixels, *(head(feature * math.sqrt(feature.shape[1])) for head, feature in heads)]


def _layer(inputs: int, outputs: int, kernel: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=(kernel - 1) // 2)
    return spectral_norm(convolution), nn.LeakyReLU(0.2)


def generator_loss(maps: Sequence[Tensor]) -> Tensor:
    """How little real the decoder's pictures look, a scalar."""
    return -torch.stack([each.mean() for each in maps]).mean()


def discriminator_loss(real: Sequence[Tensor], made: Sequence[Tensor]) -> Tensor:
    """Hinge loss, a scalar: 2 where the two are not told apart, 0 where they are with a margin of 1."""
    losses = [F.relu(1 - a).mean() + F.relu(1 + b).mean() for a, b in zip(real, made, strict=True)]
    return torch.stack(losses).mean()
