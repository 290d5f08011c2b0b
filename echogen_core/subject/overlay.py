"""Pictures with what was found drawn on them: mask, boxes, scores and phrases.

Shape suffixes: C channels, H height, W width. Values 0..1; boxes in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image
from torch import Tensor

from .regions import Detection


def draw_overlay(
    image_CHW: Tensor,
    mask_HW: Tensor | None = None,
    hits: Sequence[Detection] = (),
    chosen: Detection | None = None,
    longest: int = 1024,
) -> Image.Image:
    """The picture as RGB, at most `longest` px a side, for people to look at.

    The mask tints what it leaves out; each hit is outlined and named, the chosen one stronger.
    """
    raise NotImplementedError
