"""The built-in cut: U²-Netp finds the most conspicuous subject, without phrase or box, offline.

Shape suffixes: B pictures, C channels, H height, W width. Values 0..1; boxes in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .regions import Box


class SalientSubject(nn.Module):
    """U²-Netp (Qin et al. 2020, 1.1 million parameters)."""

    def mask(
        self, images_BCHW: Tensor, boxes: Sequence[Box | None] | None = None, soften: float = 0.0
    ) -> Tensor:
        """[B, H, W] in 0..1: where the subject is, at the pictures' own size; all 0 where none stands out.

        boxes: one per picture or None; the subject is looked for within its box only.
        Raises ValueError for an unusable picture or box.
        """
        raise NotImplementedError
