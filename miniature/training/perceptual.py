"""A perceptual loss after LPIPS (Zhang et al. 2018): distance of EfficientNet-Lite0's inner features.

Lite0, not Lite2, which judges in the evaluation: nothing may be optimised for the judge.
Shapes: B pictures, H and W pixels, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from echogen_core.pictures import imagenet_normalized

from ..efficientnet import efficientnet_lite

SMALLEST = 128
"""Side that smaller pictures are upscaled to; the network was trained on larger ones."""

LITE0_DEPTHS = (2, 4, 10)
"""Blocks of Lite0 whose output is compared: 1/4, 1/8 and 1/16 of the side."""


class Perceptual:
    """Distance of pictures in features that are normalised over channels at every position, like LPIPS.

    Args:
        stem, blocks: the network's first layers and the blocks after them.
        depths: indices of the blocks whose output is compared.
    """

    def __init__(self, stem: nn.Module, blocks: Sequence[nn.Module], depths: Sequence[int]) -> None:
        self._stem = stem
        self._blocks = blocks[: depths[-1] + 1]
        self._depths = depths

    @classmethod
    def lite0(cls, device: torch.device) -> Perceptual:
        """EfficientNet-Lite0. Raises ModuleNotFoundError, saying what to install, when it is absent."""
        whole = efficientnet_lite(0, "The perceptual loss (--perceptual 0 trains without)", device)
        stem = nn.Sequential(whole._conv_stem, whole._bn0, nn.ReLU6())
        return cls(stem, list(whole._blocks), LITE0_DEPTHS)

    @property
    def channels(self) -> list[int]:
        """Channels of the compared features."""
        device = next(self._stem.parameters()).device
        return [feature.shape[1] for feature in self.features(torch.zeros(1, 3, 32, 32, device=device))]

    def distance(self, output_B3HW: Tensor, target_B3HW: Tensor) -> Tensor:
        """Mean squared difference of normalised features over all depths, a scalar; pictures are in 0..1.

        Gradients flow into `output_B3HW` alone.
        """
        with torch.no_grad():
            wanted = self.features(target_B3HW)
        return self.between(self.features(output_B3HW), wanted)

    @staticmethod
    def between(features: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
        """The distance of two pictures' features, a scalar."""
        pairs = zip(features, others, strict=True)
        return torch.stack([(a - b).square().sum(1).mean() for a, b in pairs]).mean()

    def features(self, images_B3HW: Tensor) -> list[Tensor]:
        """Features of every depth, [B, C, h, w], normalised over their channels; pictures are in 0..1."""
        input_B3HW = imagenet_normalized(images_B3HW)
        side = max(SMALLEST, *images_B3HW.shape[-2:])
        if images_B3HW.shape[-2:] != (side, side):
            input_B3HW = F.interpolate(input_B3HW, (side, side), mode="bilinear")
        x_BCHW = self._stem(input_B3HW.contiguous(memory_format=torch.channels_last))
        found = []
        for depth, block in enumerate(self._blocks):
            x_BCHW = block(x_BCHW)
            if depth in self._depths:
                found.append(F.normalize(x_BCHW.float(), dim=1, eps=1e-3))
        return found
