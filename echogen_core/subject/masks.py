"""Masks as they come over a wire, read for each picture: what they mark, and when they count as none.

Shape suffixes: B pictures, N masks of a picture, C channels, H height, W width. Values 0..1.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from . import notes
from .ground import TOLERANCE, border_of, is_one_colour

PRESENT = 2 / 255
"""Mask value above which a pixel belongs to the subject: soft edges count, noise does not."""


_NO_MASK = (64, 64)
"""Height and width of what LoadImage gives for a picture without transparency."""


class MaskMarks(str, Enum):
    """What the white part of a mask stands for."""

    AUTO = "auto"
    SUBJECT = "subject"
    BACKGROUND = "background"


class MaskError(ValueError):
    """A mask that can't be used with its picture."""


class GivenMask(NamedTuple):
    """One picture's mask.

    mask_HW: [H, W], 1 on the subject; None where none was given, or none that can be used.
    note: what was guessed or not used, for the artist; '' for nothing.
    """

    mask_HW: Tensor | None = None
    note: str = ""


def is_empty(mask_HW: Tensor) -> bool:
    """Whether a mask marks no pixel."""
    return not bool((mask_HW > PRESENT).any())


def is_transparent(picture_CHW: Tensor) -> bool:
    """Whether a picture has an alpha channel, its fourth, with any pixel that isn't opaque."""
    return len(picture_CHW) == 4 and bool((picture_CHW[3] < 1).any())


def read_masks(masks_BHW: Tensor, images_BCHW: Tensor, marks: MaskMarks = MaskMarks.AUTO) -> list[GivenMask]:
    """The mask of each of the pictures.

    masks_BHW: [1, h, w] for all pictures, [B, h, w], or [N·B, h, w] with the N masks of the first picture
    first, which are joined; [h, w] and [B, N, h, w] as well.
    AUTO takes a mask for the background's where it covers most of the picture's edge, and says so; it also
    says that it took one for the subject's where that may be wrong (see `_may_be_background`).
    Masks that are all zeros, of any size and number, mean that none was given: ComfyUI's LoadImage makes
    them for opaque pictures, one for each frame. In its size for these, 64×64, they aren't worth a note.
    A mask of one value has no shape, so that its proportions don't matter. One with NaN or infinity among
    good ones is not used.
    Raises MaskError for other proportions, another number of masks, and where all hold NaN or infinity.
    """
    count, _, height, width = images_BCHW.shape
    masks_BHW = _in_a_row(masks_BHW.cpu().float())
    finite_B = torch.isfinite(masks_BHW).flatten(1).all(dim=1)
    if len(masks_BHW) and not bool(finite_B.any()):
        raise MaskError("The mask holds values that are not numbers (NaN or infinity): expected 0 to 1.")
    if bool(finite_B.all()) and is_empty(masks_BHW):
        stands_for_none = masks_BHW.shape[-2:] == _NO_MASK
        return [GivenMask(None, "" if stands_for_none else notes.EMPTY_MASK)] * count
    if len(masks_BHW) != 1 and len(masks_BHW) % count:
        raise MaskError(
            f"Expected one mask for all or one for each of the {count} pictures (or as many for each), "
            f"got shape {list(masks_BHW.shape)}."
        )
    fitted_BHW = _fitted(masks_BHW.nan_to_num(0.0, 0.0, 0.0), height, width)
    if len(fitted_BHW) == 1:
        fitted_BHW, finite_B = fitted_BHW.expand(count, -1, -1), finite_B.expand(count)
    each = len(fitted_BHW) // count
    return [
        _joined(masks_NHW[finite_N], image_CHW, marks)
        for masks_NHW, finite_N, image_CHW in zip(
            fitted_BHW.split(each), finite_B.split(each), images_BCHW, strict=True
        )
    ]


def _in_a_row(masks_BHW: Tensor) -> Tensor:
    """[any number, h, w]."""
    if masks_BHW.ndim == 4:
        masks_BHW = masks_BHW.flatten(0, 1)
    if masks_BHW.ndim == 2:
        masks_BHW = masks_BHW[None]
    if masks_BHW.ndim != 3:
        raise MaskError(f"Expected masks of shape [batch, height, width], got {list(masks_BHW.shape)}.")
    if 0 in masks_BHW.shape[1:]:
        raise MaskError(
            f"The mask is {masks_BHW.shape[2]}×{masks_BHW.shape[1]} px: expected the picture's size. Use the "
            "mask that belongs to this picture."
        )
    return masks_BHW


def _fitted(masks_BHW: Tensor, height: int, width: int) -> Tensor:
    """Finite masks at the picture's size, in 0..1."""
    mask_height, mask_width = masks_BHW.shape[-2:]
    flat_B = masks_BHW.flatten(1)
    shapeless = bool((flat_B == flat_B[:, :1]).all())
    unlike = abs(mask_height * width - mask_width * height) > max(height, width, mask_height, mask_width)
    if unlike and not shapeless:
        raise MaskError(
            f"The mask is {mask_width}×{mask_height} px and does not fit the {width}×{height} px picture: "
            "expected the same proportions. Use the mask that belongs to this picture."
        )
    if (mask_height, mask_width) != (height, width):
        masks_BHW = F.interpolate(masks_BHW[:, None], (height, width), mode="bilinear", antialias=True)[:, 0]
    return masks_BHW.clamp(0, 1)


def _joined(masks_NHW: Tensor, image_CHW: Tensor, marks: MaskMarks) -> GivenMask:
    """What any of a picture's masks marks; empty ones say nothing beside others."""
    if not len(masks_NHW):
        return GivenMask(None, notes.UNREADABLE_MASK)
    marking = [mask_HW for mask_HW in masks_NHW if not is_empty(mask_HW)]
    if not marking:
        return GivenMask(None, notes.EMPTY_MASK)
    inverted = [
        marks is MaskMarks.BACKGROUND or (marks is MaskMarks.AUTO and _looks_like_background(mask_HW))
        for mask_HW in marking
    ]
    # each by itself: where two leave out a subject each, what both leave out is neither
    facing = [1 - mask_HW if turn else mask_HW for mask_HW, turn in zip(marking, inverted, strict=True)]
    mask_HW = torch.stack(facing).amax(dim=0)
    if is_empty(mask_HW):
        return GivenMask(None, notes.NOTHING_LEFT)
    if bool((mask_HW >= 1 - PRESENT).all()):
        return GivenMask(mask_HW, notes.WHOLE_MASK)
    if marks is not MaskMarks.AUTO:
        return GivenMask(mask_HW)
    doubtful = any(
        _may_be_background(mask_HW, image_CHW)
        for mask_HW, turn in zip(marking, inverted, strict=True)
        if not turn
    )
    return GivenMask(
        mask_HW,
        notes.joined(
            notes.TAKEN_AS_BACKGROUND if any(inverted) else "", notes.TAKEN_AS_SUBJECT if doubtful else ""
        ),
    )


def _looks_like_background(mask_HW: Tensor) -> bool:
    """Whether a mask has a shape and covers most of the picture's edge.

    LoadImage turns transparency into such a mask, while painted and segmented masks mark the subject.
    """
    edge = torch.cat([mask_HW[0], mask_HW[-1], mask_HW[:, 0], mask_HW[:, -1]])
    return bool(edge.mean() > 0.5) and bool(mask_HW.max() - mask_HW.min() > PRESENT)


def _may_be_background(mask_HW: Tensor, image_CHW: Tensor) -> bool:
    """Whether a mask that is taken for the subject's could be a picture's transparency after all.

    It reaches the picture's edge, or what it marks is one colour, as most programs write transparent pixels.
    Neither is rare for a subject (a portrait, a black cat), so this is worth a note and decides nothing.
    """
    marked_HW = mask_HW > 0.5
    if bool(border_of(marked_HW[None]).any()):
        return True
    colours_CN = image_CHW[:3, marked_HW]
    return colours_CN.numel() > 0 and is_one_colour(colours_CN, TOLERANCE)
