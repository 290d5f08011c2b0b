"""Which pixels are the subject: by the artist's mask, else box, else phrase, else the built-in cut.

Shape suffixes: C channels, H height, W width. Values 0..1; boxes in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import torch
from torch import Tensor

from . import notes
from .cutout import keep_largest
from .detect import DEFAULT_THRESHOLD
from .find import Found, Tools, find_subjects
from .masks import is_empty
from .regions import Detection, Pick, choose, rectangles
from .user_inputs import UserInputs, mask_in_boxes


class Fallback(str, Enum):
    """What to use for a picture in which nothing was detected."""

    BUILT_IN = "built-in cut"
    WHOLE = "whole picture"
    ERROR = "error"


@dataclass(frozen=True)
class Search:
    """How a subject is looked for.

    threshold: least score of a hit. pick: which of several hits. soften: width of the mask's soft edge, in
    pixels. fallback: what to use where nothing is detected. no_detector: what to install for phrases, a
    sentence for the artist.
    """

    threshold: float = DEFAULT_THRESHOLD
    pick: Pick = Pick.BEST
    soften: float = 0.0
    fallback: Fallback = Fallback.BUILT_IN
    no_detector: str = ""


class FixedBoxes:
    """A detector that returns the artist's own boxes."""

    def __init__(self, boxes: Sequence[Detection]) -> None:
        self.boxes = list(boxes)

    def find(self, image_3HW: Tensor, phrase: str, threshold: float) -> list[Detection]:
        """The boxes, whatever the picture and the phrase."""
        return self.boxes


def segment_subject(
    image_CHW: Tensor, inputs: UserInputs, tools: Tools, search: Search, number: int = 1
) -> Found:
    """The subject of one picture, with a mask that is never empty.

    number: the picture's in its batch, for messages.
    Raises ValueError where the phrase isn't found and the fallback is an error.
    """
    if inputs.mask_HW is not None or inputs.boxes:
        chosen = choose(inputs.boxes, search.pick)
        return segment_within(image_CHW, inputs, [chosen] if chosen else [], tools, search)
    found = find_with_mask(image_CHW, inputs.phrase, tools, search)
    if inputs.phrase and found.chosen is None:
        found = apply_fallback(found, number, tools, search)
    return replace(found, warning=notes.joined(inputs.warning, found.warning))


def segment_within(
    image_CHW: Tensor,
    inputs: UserInputs,
    boxes: Sequence[Detection],
    tools: Tools,
    search: Search,
    check: Callable[[], None] = lambda: None,
) -> Found:
    """The subject within the artist's mask, the boxes, or both; with neither, the built-in cut.

    check: called before each box; it may raise, as hundreds of them take minutes.
    """
    if inputs.mask_HW is not None:
        mask_HW, note = mask_in_boxes(inputs.mask_HW, boxes)
        found = Found(
            mask_HW, inputs.phrase, inputs.boxes, None if note else choose(boxes), inputs.source, note
        )
    elif not boxes:
        found = find_with_mask(image_CHW, "", tools, search)
    else:
        found = _segment_boxes(image_CHW, inputs, boxes, tools, search, check)
    return replace(found, warning=notes.joined(inputs.warning, found.warning))


def _segment_boxes(
    image_CHW: Tensor,
    inputs: UserInputs,
    boxes: Sequence[Detection],
    tools: Tools,
    search: Search,
    check: Callable[[], None],
) -> Found:
    """The union of what the boxes hold."""
    union: Found | None = None
    warnings: list[str] = []
    for box in boxes:
        check()
        one = find_with_mask(image_CHW, "box", replace(tools, detector=FixedBoxes([box])), search)
        warnings.append(one.warning)
        # one at a time: hundreds of masks would take gigabytes
        union = one if union is None else replace(union, mask_HW=torch.maximum(union.mask_HW, one.mask_HW))
    assert union is not None
    warning = notes.joined(*warnings)
    return replace(union, phrase=inputs.phrase, hits=tuple(inputs.boxes), warning=warning)


def find_with_mask(image_CHW: Tensor, phrase: str, tools: Tools, search: Search) -> Found:
    """One picture's subject with a mask that is never empty."""
    (found,) = find_subjects(image_CHW[None], tools, phrase, search.threshold, search.pick, search.soften)
    if found.chosen is None and search.pick is Pick.LARGEST and not is_empty(found.mask_HW):
        return replace(found, mask_HW=keep_largest(found.mask_HW))
    if not is_empty(found.mask_HW):
        return found
    size = found.mask_HW.shape
    if found.chosen is not None:
        all_HW, all_of = rectangles([found.chosen], *size), "box"
    else:
        all_HW, all_of = torch.ones(size), Fallback.WHOLE.value
    warning = f"{found.warning} The whole {all_of.removeprefix('whole ')} is used.".strip()
    return replace(found, mask_HW=all_HW, source=all_of, warning=warning)


def apply_fallback(found: Found, number: int, tools: Tools, search: Search) -> Found:
    """What to use for a picture in which nothing was detected: `found` is the built-in cut.

    Raises ValueError where the fallback is an error.
    """
    if not found.phrase:
        reason = "There is no phrase: type what the subject is, or connect Describe Subject."
    elif tools.detector is None:
        reason = f"The phrase needs a detector. {search.no_detector}".strip()
    else:
        reason = f"Nothing like “{found.phrase}” was found above {search.threshold:g}."
        if not any(letter.isascii() and letter.isalpha() for letter in found.phrase):
            reason += " The detector reads English."
    if search.fallback is Fallback.ERROR:
        raise ValueError(
            f"Picture {number}: {reason} Lower the threshold, try other words, or supply a mask or a box."
        )
    if search.fallback is Fallback.WHOLE:
        found = replace(found, mask_HW=torch.ones_like(found.mask_HW), source=Fallback.WHOLE.value)
    used = Fallback.WHOLE if found.source == Fallback.WHOLE.value else Fallback.BUILT_IN
    return replace(found, warning=f"{reason} The {used.value} is used instead.")
