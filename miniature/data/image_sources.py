"""Where the tokenizer's training pictures come from.

Shapes: B batch, H W pixels or tokens, D bits per token.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from .compose import MaskedImages
from .dataset import Compositor, Mix


class CodedImages(NamedTuple):
    """Pictures, the subject's share of each pixel, and codes [B, D, H, W] to decode them from."""

    images_B3HW: Tensor
    subject_B1HW: Tensor
    codes_BDHW: Tensor


class ImageSource(Protocol):
    """Draws training pictures."""

    def draw(self, count: int) -> MaskedImages | CodedImages:
        """float32 pictures [count, 3, H, W] in 0..1 with subject masks, and codes unless the encoder's."""
        ...


class CompositeSource:
    """A Compositor's targets, every fourth replaced by its reference: what the transformer will see."""

    def __init__(
        self, data: Path, split: str, seed: int, device: torch.device, mix: Mix | None = None
    ) -> None:
        self._mix = mix or Mix()
        self._compositor = Compositor(data, split, seed, device=device)

    def draw(self, count: int) -> MaskedImages:
        """float32 pictures [count, 3, H, W] in 0..1 with their subjects' masks."""
        batch = self._compositor.batch(count, self._mix)
        pictures_B3HW, subject_B1HW = batch.targets_B3HW.clone(), batch.subject_masks_B1HW.clone()
        pictures_B3HW[::4] = batch.references_B3HW[::4]
        subject_B1HW[::4] = (batch.references_B3HW[::4].amin(1, keepdim=True) < 0.98).float()
        return MaskedImages(pictures_B3HW, subject_B1HW)
