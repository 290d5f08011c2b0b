"""Pictures that the tokenizer learns from, and where they come from.

Shapes: B batch, H W pixels or tokens, D bits per token.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from .compose import Masked
from .dataset import Compositor


class Coded(NamedTuple):
    """Pictures [B, 3, H, W], the subject's share of each pixel, and codes [B, D, H, W] to decode to them."""

    images_B3HW: Tensor
    subject_B1HW: Tensor
    codes_BDHW: Tensor


class PictureSource(Protocol):
    """Where training pictures come from."""

    def pictures(self, count: int) -> Masked | Coded:
        """fp32 [count, 3, H, W], RGB 0..1, and where their subjects are; codes, where not the true ones."""
        ...


class CompositorPictures:
    """Composites and, every fourth, the subject on white, as the transformer will see them."""

    def __init__(self, data: Path, split: str, seed: int, device: torch.device) -> None:
        self._compositor = Compositor(data, split, seed, device=device)

    def pictures(self, count: int) -> Masked:
        batch = self._compositor.batch(count)
        pictures_B3HW, subject_B1HW = batch.targets_B3HW.clone(), batch.subject_masks_B1HW.clone()
        pictures_B3HW[::4] = batch.references_B3HW[::4]
        subject_B1HW[::4] = (batch.references_B3HW[::4].amin(1, keepdim=True) < 0.98).float()
        return Masked(pictures_B3HW, subject_B1HW)
