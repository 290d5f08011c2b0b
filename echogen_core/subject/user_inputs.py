"""What the artist says of a picture's subject: a phrase, a mask, boxes.

Shape suffixes: C channels, H height, W width. Values 0..1; boxes in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from . import notes
from .masks import GivenMask, is_empty, is_transparent
from .regions import Detection, rectangles


@dataclass(frozen=True)
class UserInputs:
    """What the artist gave for one picture.

    mask_HW: 1 on the subject; source: "mask" or "transparency", where it comes from.
    warning: which inputs could not be used, or were changed; '' for none.
    """

    phrase: str = ""
    mask_HW: Tensor | None = None
    source: str = ""
    boxes: tuple[Detection, ...] = ()
    warning: str = ""


def with_transparency(picture_CHW: Tensor, mask: GivenMask) -> UserInputs:
    """The mask, or where there is none the picture's own transparency (its fourth channel)."""
    if mask.mask_HW is not None:
        return UserInputs(mask_HW=mask.mask_HW, source="mask", warning=mask.note)
    if not is_transparent(picture_CHW):
        return UserInputs(warning=mask.note)
    if is_empty(picture_CHW[3]):
        return UserInputs(warning=notes.joined(mask.note, notes.EMPTY_TRANSPARENCY))
    return UserInputs(mask_HW=picture_CHW[3], source="transparency", warning=mask.note)


def mask_in_boxes(mask_HW: Tensor, boxes: Sequence[Detection]) -> tuple[Tensor, str]:
    """The part of a mask inside the boxes, and ''; all of it, and a note, if nothing lies inside."""
    if not boxes:
        return mask_HW, ""
    within_HW = mask_HW * rectangles(boxes, *mask_HW.shape)
    return (mask_HW, notes.BOX_BESIDE_MASK) if is_empty(within_HW) else (within_HW, "")
