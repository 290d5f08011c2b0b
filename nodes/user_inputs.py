"""What the artist gave a subject node for each picture: phrase, mask and boxes, checked and at working size.

Pictures are worked on at 2048 px at most, and masks and boxes are made for that size.
Shape suffixes: B pictures, C channels, H height, W width. Values 0..1; boxes in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from echogen_core.subject import notes
from echogen_core.subject.drawn_box import read_box
from echogen_core.subject.masks import GivenMask, MaskMarks, read_masks
from echogen_core.subject.phrases import MAX_PHRASE, clean_phrase
from echogen_core.subject.user_inputs import UserInputs, with_transparency

from . import memory_checks
from .boxes import SIDES, GivenBoxes, boxes_from, resize_hit


def read_inputs(
    images_BCHW: Tensor,
    size_hw: Sequence[int],
    phrase: str = "",
    mask: Tensor | None = None,
    marks: MaskMarks = MaskMarks.AUTO,
    bounding_box: Any = None,
    drawn: str = "",
) -> list[UserInputs]:
    """The inputs for each picture; what can't be used counts as not given, with a warning.

    size_hw: size of the pictures before they were reduced, which the boxes refer to. drawn: a box as
    `read_box` takes it, for all pictures, which comes before the connected ones; '' for none.
    Raises ValueError for masks and boxes that do not belong to these pictures, and where all are unusable.
    """
    count, _, height, width = images_BCHW.shape
    masks = [GivenMask()] * count
    if mask is not None:
        memory_checks.require_for_pictures(mask, "masks")
        masks = read_masks(mask, images_BCHW, marks)
    boxes = [GivenBoxes()] * count
    if bounding_box is not None:
        boxes = boxes_from(bounding_box, count, *size_hw)
    if drawn.strip():
        boxes = _drawn(drawn, boxes, images_BCHW, *size_hw)
    across, down = width / size_hw[1], height / size_hw[0]
    too_long = max((len(line) for line in phrase.splitlines()), default=0) > MAX_PHRASE
    results = []
    for words, picture_CHW, own, given in zip(
        phrases_for(phrase, count), images_BCHW, masks, boxes, strict=True
    ):
        inputs = with_transparency(picture_CHW, own)
        warning = notes.joined(
            inputs.warning,
            union_warning(mask, count) if inputs.source == "mask" else "",
            given.note,
            f"The phrase was cut to {MAX_PHRASE} characters." if too_long else "",
        )
        scaled = tuple(resize_hit(hit, across, down) for hit in given.boxes)
        results.append(replace(inputs, phrase=words, boxes=scaled, warning=warning))
    return results


def _drawn(
    text: str, boxes: list[GivenBoxes], images_BCHW: Tensor, height: int, width: int
) -> list[GivenBoxes]:
    """The drawn box for every picture; the connected boxes and a note if it was drawn on another picture."""
    try:
        box = read_box(text)
    except ValueError as error:
        raise ValueError(f"box: {error}. Draw it again, or empty the field.") from None
    if any(box.belongs_to(image_CHW, width, height) for image_CHW in images_BCHW):
        return boxes_from(dict(zip(SIDES, box.box_xywh, strict=True)), len(boxes), height, width)
    return [given._replace(note=notes.joined(given.note, notes.BOX_OF_ANOTHER)) for given in boxes]


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
    return f"{each} masks per picture were joined into one." if each > 1 else ""
