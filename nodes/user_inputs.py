"""What the artist gave a subject node for each picture: phrase, mask and boxes, checked and at working size.

Pictures are worked on at 2048 px at most, and masks and boxes are made for that size.
Shape suffixes: B pictures, C channels, H height, W width. Values 0..1; boxes in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from echogen_core.subject.cutout import MaskMarks, facing_masks, is_empty
from echogen_core.subject.phrases import MAX_PHRASE, clean_phrase
from echogen_core.subject.regions import Detection

from . import memory_checks
from .boxes import boxes_from, rectangles, resize_hit

EMPTY_MASK = "The mask is empty: not used."


@dataclass(frozen=True)
class UserInputs:
    """What the artist gave for one picture.

    mask_HW: 1 on the subject; source: "mask" or "transparency", where it comes from.
    warning: which inputs could not be used, or were changed; '' for none.
    """

    phrase: str
    mask_HW: Tensor | None = None
    source: str = ""
    boxes: tuple[Detection, ...] = ()
    warning: str = ""


def read_inputs(
    images_BCHW: Tensor,
    size_hw: Sequence[int],
    phrase: str = "",
    mask: Tensor | None = None,
    marks: MaskMarks = MaskMarks.AUTO,
    bounding_box: Any = None,
) -> list[UserInputs]:
    """The inputs for each picture; an empty mask or list of boxes counts as none, with a warning.

    size_hw: size of the pictures before they were reduced, which the boxes refer to.
    Raises ValueError for masks and boxes that do not belong to these pictures.
    """
    count, channels, height, width = images_BCHW.shape
    if mask is not None:
        memory_checks.require_for_pictures(mask, "masks")
    masks, source = None if mask is None else facing_masks(mask, (count, height, width), marks), "mask"
    if masks is None and channels == 4 and bool((images_BCHW[:, 3] < 1).any()):
        masks, source = images_BCHW[:, 3], "transparency"
    boxes = [()] * count if bounding_box is None else _boxes(bounding_box, count, size_hw, (height, width))
    results = []
    longest = max((len(line) for line in phrase.splitlines()), default=0)
    for index, words in enumerate(phrases_for(phrase, count)):
        mask_HW = None if masks is None or is_empty(masks[index]) else masks[index]
        warnings = (
            (masks is not None and mask_HW is None, EMPTY_MASK.replace("mask", source)),
            (mask_HW is not None and source == "mask", union_warning(mask, count)),
            (bounding_box is not None and not boxes[index], "There is no box for this picture."),
            (longest > MAX_PHRASE, f"The phrase was cut to {MAX_PHRASE} characters."),
        )
        warning = " ".join(text for applies, text in warnings if applies)
        results.append(UserInputs(words, mask_HW, source, tuple(boxes[index]), warning))
    return results


def phrases_for(text: str, count: int) -> list[str]:
    """One phrase for each of `count` pictures: a line each if there are that many, else the whole text."""
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) == count:
        return [clean_phrase(line) for line in lines]
    return [clean_phrase(text)] * count


def union_warning(mask: Tensor | None, count: int) -> str:
    """Says that several masks per picture were joined: the artist may have meant to split them otherwise.

    '' for a single picture, and where each picture has at most one mask.
    """
    each = 0 if mask is None or count < 2 else math.prod(mask.shape[:-2]) // count
    return f"{each} masks for each picture: joined." if each > 1 else ""


def mask_in_boxes(inputs: UserInputs, boxes: Sequence[Detection], height: int, width: int) -> Tensor:
    """[height, width]: the mask inside the boxes, all of it if none lies inside; 1 without mask and boxes."""
    mask_HW = torch.ones(height, width) if inputs.mask_HW is None else inputs.mask_HW
    if not boxes:
        return mask_HW
    within_HW = mask_HW * rectangles(boxes, height, width)
    return mask_HW if is_empty(within_HW) else within_HW


def _boxes(
    value: Any, count: int, size_hw: Sequence[int], working_hw: tuple[int, int]
) -> list[tuple[Detection, ...]]:
    """Boxes for the pictures at their working size."""
    down, across = (after / before for after, before in zip(working_hw, size_hw, strict=True))
    return [
        tuple(resize_hit(hit, across, down) for hit in hits) for hits in boxes_from(value, count, *size_hw)
    ]
