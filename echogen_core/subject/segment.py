"""From a box to a mask: one interface, two SAM backends.

Shape suffixes: B pictures, C channels, H height, W width, P proposals. Values 0..1; boxes in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

from .regions import Box


class Proposals(NamedTuple):
    """SAM's three readings of one box: masks [P, H, W] bool at the picture's size, and their scores [P]."""

    masks_PHW: Tensor
    scores_P: Tensor


class Segmenter(Protocol):
    """What both backends are: an nn.Module with this method."""

    def propose(self, image_3HW: Tensor, box_xyxy: Box) -> Proposals:
        """Masks of what the box holds in one checked picture."""


def segment(
    image_CHW: Tensor, box_xyxy: Sequence[float], segmenter: Segmenter, soften: float = 0.0
) -> Tensor:
    """[H, W] in 0..1: the best proposal, holes filled, specks removed, edge softened by `soften` pixels.

    Raises ValueError for an unusable picture, box (`check_box`) or softness. A mask may be empty.
    """
    raise NotImplementedError
