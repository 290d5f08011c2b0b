"""The original picture, changed inside a mask alone.

A tokenizer loses detail: only the original's own pixels are exact, so they come back outside the mask.
Shape suffixes: B pictures, C channels, H W size of the original, h w size of the canvas. Sizes in pixels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..subject.refine import LARGEST_SOFTNESS, soften
from ..subject.regions import extent
from .framing import Frame


def paste_back(
    originals_BCHW: Tensor, canvases_BChw: Tensor, masks_BHW: Tensor, frame: Frame, feather: float = 0.0
) -> Tensor:
    """[B, C, H, W]: the originals with the canvases' pixels where the masks mark, blended at their edges.

    One original, canvas or mask stands for all. feather: pixels of the original over which the edge fades to
    each side, 0 to 64, but at most a quarter of what is marked. Where the faded mask is 0, and where the
    canvas shows nothing, pixels are the original's, exactly.
    Raises ValueError for sizes that are not the frame's (canvases may be enlarged), numbers of pictures that
    do not fit each other, or a feather out of range.
    """
    counts = {len(x) for x in (originals_BCHW, canvases_BChw, masks_BHW)} - {1}
    if len(counts) > 1:
        raise ValueError(
            f"Expected as many pictures, edited pictures and masks, or one of a kind, got "
            f"{len(originals_BCHW)}, {len(canvases_BChw)} and {len(masks_BHW)}."
        )
    if tuple(masks_BHW.shape[-2:]) != frame.picture_hw:
        raise ValueError(
            f"The mask is {masks_BHW.shape[-1]}×{masks_BHW.shape[-2]} px; the picture is "
            f"{frame.picture_hw[1]}×{frame.picture_hw[0]} px."
        )
    if not 0 <= feather <= LARGEST_SOFTNESS:
        raise ValueError(f"feather must be 0 to {LARGEST_SOFTNESS:g} pixels, got {feather}.")
    placed_BCHW = frame.from_canvas(canvases_BChw, originals_BCHW)
    faded_B1HW = torch.stack([_faded(mask_HW, feather) for mask_HW in masks_BHW])[:, None]
    # Exact at both ends, and of a photograph every copy counts.
    return torch.lerp(originals_BCHW, placed_BCHW, faded_B1HW.to(originals_BCHW))


def _faded(mask_HW: Tensor, feather: float) -> Tensor:
    """The mask with a soft edge. Only around what it marks: blurring takes about 20 times what it blurs."""
    faded_HW, box = mask_HW.float().clone(), extent(mask_HW > 0)
    if box is not None:
        left, top, right, bottom = box
        feather = min(feather, min(bottom - top, right - left) / 4)  # or nothing of it would be solid
        margin = math.ceil(2 * feather) + 1
        part = (slice(max(0, top - margin), bottom + margin), slice(max(0, left - margin), right + margin))
        faded_HW[part] = soften(faded_HW[part], feather)
    return faded_HW
