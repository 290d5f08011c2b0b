"""Regions: parts of a picture with a subject, a prompt and guidance of their own.

The guided logits become a sum per token: l̂ = Σ_r w_r·l̂_r + (1 − Σ_r w_r)·l̂_main, where each l̂_r is the
paper's equation 9 with that region's conditions, and w_r the share of the token that the region covers.
Training-free, and not in the paper.
Shape suffixes: H W height and width of a mask, L tokens of one scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..scales import Grid
from ..tokenizer.bsq import shrink
from .guidance import Guidance
from .prefill import Branches

Share = float | Tensor
"""How much something counts at one scale: everywhere the same, or per token [L]."""


@dataclass(frozen=True, eq=False)
class Region:
    """What is drawn where.

    mask_HW: 1 inside, 0 outside, anything between is a soft edge; any size, stretched over the picture.
    Raises ValueError for a mask that is not two-dimensional, empty of pixels, or not within 0..1.
    """

    branches: Branches
    guidance: Guidance
    mask_HW: Tensor

    def __post_init__(self) -> None:
        check_mask(self.mask_HW, 2, "region")


def check_mask(mask: Tensor, dimensions: int, what: str) -> None:
    """Raises ValueError, naming `what`, for a mask of other dimensions, without pixels, or not in 0..1."""
    if mask.ndim != dimensions or 0 in mask.shape:
        raise ValueError(
            f"The mask of the {what} must have {dimensions} dimensions and at least one pixel, got shape "
            f"{list(mask.shape)}."
        )
    if not bool(((mask >= 0) & (mask <= 1)).all()):
        raise ValueError(f"The mask of the {what} must hold values from 0 to 1. Clamp it, and check for NaN.")


def cover(mask_BHW: Tensor, grid: Grid) -> Tensor:
    """[B, h, w]: the mask's average over each token of a scale."""
    return shrink(mask_BHW[:, None].float(), grid)[:, 0]


def region_shares(masks: Sequence[Tensor], grid: Grid) -> list[Share]:
    """How much the main conditions, then each region, count at a scale; everywhere 1 together.

    masks: the regions', [H, W].

    Where regions overlap by more than a whole, each counts in proportion to its cover. A share that is the
    same for all tokens is a number, so that what never counts is known, and what counts alone is exact.
    """
    if not masks:
        return [1.0]
    covers_RL = torch.cat([cover(mask_HW.cpu()[None], grid).flatten(1) for mask_HW in masks])
    covers_RL = covers_RL / covers_RL.sum(0).clamp(min=1)
    main_L = (1 - covers_RL.sum(0)).clamp(min=0)
    return [_collapsed(share_L) for share_L in (main_L, *covers_RL)]


def counts(share: Share) -> bool:
    """Whether a share is anything but zero anywhere."""
    return bool(share.any()) if isinstance(share, Tensor) else share != 0


def counting(masks: Sequence[Tensor], grids: Sequence[Grid]) -> list[bool]:
    """Whether the main conditions, then each region, count at any scale; masks: the regions', [H, W]."""
    of_each = zip(*(region_shares(masks, grid) for grid in grids), strict=True)
    return [any(map(counts, shares)) for shares in of_each]


def _collapsed(share_L: Tensor) -> Share:
    first = share_L[0].item()
    return float(first) if bool((share_L == first).all()) else share_L
