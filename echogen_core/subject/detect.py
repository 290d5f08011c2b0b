"""Finding what a phrase names: one interface, two GroundingDINO backends.

Shape suffixes: B pictures, C channels, H height, W width. Values 0..1; boxes in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from .regions import Detection

DEFAULT_THRESHOLD = 0.35
"""Least confidence of a box, the value of GroundingDINO's own demonstrations."""
TEXT_THRESHOLD = 0.25
"""Least confidence of a word to be among those that a box answers to."""


class Detector(Protocol):
    """What both backends are: an nn.Module with this method."""

    def find(self, image_3HW: Tensor, phrase: str, threshold: float) -> list[Detection]:
        """Hits in one checked picture, best first; the phrase is cleaned and not empty."""


def detect(
    images_BCHW: Tensor,
    phrases: str | Sequence[str],
    detector: Detector,
    threshold: float = DEFAULT_THRESHOLD,
) -> list[list[Detection]]:
    """For each picture its hits, best first; an empty list where nothing was found.

    phrases: one for all pictures, or one for each; several subjects are parted by full stops. A picture
    whose phrase is empty has no hits. One longer than the model reads is cut, with a logged warning.
    threshold: 0 to 1.
    Raises ValueError for an unusable picture, a threshold out of range, or a wrong number of phrases.
    """
    raise NotImplementedError
