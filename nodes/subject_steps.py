"""From pictures to subjects, as the nodes do it: what the artist gave goes first, models find the rest.

Pictures are worked on at 2048 px at most, and masks and boxes are made for that size.
Shape suffixes: B pictures, C channels, H height, W width. Values 0..1; boxes in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from echogen_core.checkpoints.segmentation_models import Backend
from echogen_core.subject.cutout import MaskMarks, facing_masks, is_empty, keep_largest
from echogen_core.subject.describe import describe
from echogen_core.subject.detect import DEFAULT_THRESHOLD, detect
from echogen_core.subject.find import Found, Tools, find_subjects
from echogen_core.subject.phrases import MAX_PHRASE, clean_phrase
from echogen_core.subject.pictures import check_picture, fit_within
from echogen_core.subject.regions import Box, Detection, Pick, choose

from . import room, runtime, subject_models
from .adapters import channels_first
from .boxes import boxes_from, rectangles, resize_hit
from .subject_models import AUTO, DESCRIBER, DETECTOR, SEGMENTER

EMPTY_MASK = "The mask is empty: not used."
_SAM_BYTES = 4 << 30  # of the largest SAM besides its weights: attention among 64×64 patches, several copies


class Otherwise(str, Enum):
    """What becomes of a picture in which nothing was detected."""

    BUILT_IN = "built-in cut"
    WHOLE = "whole picture"
    ERROR = "error"


@dataclass(frozen=True)
class Wanted:
    """What a node's widgets ask for: entries of the models' drop-downs, and settings."""

    describer: str = AUTO
    detector: str = AUTO
    segmenter: str = AUTO
    threshold: float = DEFAULT_THRESHOLD
    pick: Pick = Pick.BEST
    soften: float = 0.0
    otherwise: Otherwise = Otherwise.BUILT_IN
    backend: str = Backend.TRANSFORMERS.value


@dataclass(frozen=True)
class Given:
    """What the artist gave for one picture; mask_HW has 1 on the subject and comes from `source`.

    warning: what was given and could not be used.
    """

    phrase: str
    mask_HW: Tensor | None = None
    source: str = ""
    boxes: tuple[Detection, ...] = ()
    warning: str = ""


class _Marked:
    """A detector that answers with boxes that are known already."""

    def __init__(self, boxes: Sequence[Detection]) -> None:
        self.boxes = list(boxes)

    def find(self, image_3HW: Tensor, phrase: str, threshold: float) -> list[Detection]:
        return self.boxes


def pictures(image_BHWC: Tensor) -> Tensor:
    """[B, 3 or 4, H, W], at most 2048 px a side.

    Raises ValueError for anything that is no usable picture, MemoryError where there is no room to work.
    """
    room.check_pictures(image_BHWC, "pictures")
    return fit_within(check_picture(channels_first(image_BHWC), "picture"))


def phrases_for(text: str, count: int) -> list[str]:
    """One phrase for each of `count` pictures: the lines where there are as many, else all of it for all."""
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) == count:
        return [clean_phrase(line) for line in lines]
    return [clean_phrase(text)] * count


def given(
    images_BCHW: Tensor,
    size_hw: Sequence[int],
    phrase: str = "",
    mask: Tensor | None = None,
    marks: MaskMarks = MaskMarks.AUTO,
    bounding_box: Any = None,
) -> list[Given]:
    """What the artist gave for each picture; an empty mask or list of boxes counts as none, with a warning.

    size_hw: of the pictures as they came in, which the boxes are for.
    Raises ValueError for masks and boxes that do not belong to these pictures.
    """
    count, channels, height, width = images_BCHW.shape
    if mask is not None:
        room.check_pictures(mask, "masks")
    masks, source = None if mask is None else facing_masks(mask, (count, height, width), marks), "mask"
    if masks is None and channels == 4 and bool((images_BCHW[:, 3] < 1).any()):
        masks, source = images_BCHW[:, 3], "transparency"
    boxes = [()] * count if bounding_box is None else _boxes(bounding_box, count, size_hw, (height, width))
    every = []
    longest = max((len(line) for line in phrase.splitlines()), default=0)
    for index, words in enumerate(phrases_for(phrase, count)):
        mask_HW = None if masks is None or is_empty(masks[index]) else masks[index]
        faults = (
            (masks is not None and mask_HW is None, EMPTY_MASK.replace("mask", source)),
            (mask_HW is not None and source == "mask", joined(mask, count)),
            (bounding_box is not None and not boxes[index], "There is no box for this picture."),
            (longest > MAX_PHRASE, f"The phrase is cut to {MAX_PHRASE} characters."),
        )
        warning = " ".join(text for applies, text in faults if applies)
        every.append(Given(words, mask_HW, source, tuple(boxes[index]), warning))
    return every


def joined(mask: Tensor | None, count: int) -> str:
    """A word on several masks for each of several pictures: who gave them may have meant another share."""
    each = 0 if mask is None or count < 2 else math.prod(mask.shape[:-2]) // count
    return f"{each} masks for each picture: joined." if each > 1 else ""


def described(images_BCHW: Tensor, describer: str) -> list[str]:
    """The model's phrase for each picture; '' where there is no model, or no phrase in its answer."""
    tool = subject_models.take(DESCRIBER, describer)
    if tool is None or not len(images_BCHW):
        return [""] * len(images_BCHW)
    runtime.loaded(tool)
    bar = runtime.progress_bar(len(images_BCHW))
    phrases: list[str] = []
    for image_1CHW in images_BCHW.split(1):
        phrases += describe(image_1CHW, tool.module)
        bar.update(1)
    return phrases


def detected(images_BCHW: Tensor, phrases: Sequence[str], wanted: Wanted) -> list[Found]:
    """What each picture's phrase names; the mask is the rectangle of the chosen box.

    A box that stands in for one that was not found has the score 0.
    """
    tools = _tools(wanted, detecting=True, segmenting=False)
    bar = runtime.progress_bar(len(images_BCHW))
    every = []
    for number, (image_CHW, phrase) in enumerate(zip(images_BCHW, phrases, strict=True), 1):
        hits = detect(image_CHW[None], phrase, tools.detector, wanted.threshold)[0] if tools.detector else []
        chosen, source, warning = choose(hits, wanted.pick), "", ""
        if chosen is None:
            found = _otherwise(_found(image_CHW, phrase, Tools(tools.salient), wanted), number, tools, wanted)
            source, warning = found.source, found.warning
            chosen = Detection(box_of(found.mask_HW), 0.0, source)
        mask_HW = rectangles([chosen], *image_CHW.shape[-2:])
        every.append(Found(mask_HW, phrase, tuple(hits), chosen, source, warning))
        bar.update(1)
    return every


def segmented(images_BCHW: Tensor, gifts: Sequence[Given], wanted: Wanted) -> list[Found]:
    """What the boxes of each picture hold, together; without boxes what the built-in cut sees."""
    tools = _tools(wanted, detecting=False, segmenting=any(gift.boxes for gift in gifts))
    bar = runtime.progress_bar(len(images_BCHW))
    every = []
    for image_CHW, gift in zip(images_BCHW, gifts, strict=True):
        every.append(_warned(gift, _boxed(image_CHW, gift, gift.boxes, tools, wanted)))
        bar.update(1)
    return every


def subjects(images_BCHW: Tensor, gifts: Sequence[Given], wanted: Wanted) -> list[Found]:
    """The subject of each picture: by its mask, else by its box, else by its phrase.

    A phrase is asked of the model only where the artist gave nothing.
    """
    searched = [gift.mask_HW is None and not gift.boxes for gift in gifts]
    nameless = [index for index, gift in enumerate(gifts) if searched[index] and not gift.phrase]
    phrases = dict(zip(nameless, described(images_BCHW[nameless], wanted.describer), strict=True))
    tools = _tools(wanted, any(searched), any(gift.mask_HW is None for gift in gifts))
    bar = runtime.progress_bar(len(gifts))
    every = []
    for index, (image_CHW, gift) in enumerate(zip(images_BCHW, gifts, strict=True)):
        if not searched[index]:
            chosen = choose(gift.boxes, wanted.pick)
            found = _boxed(image_CHW, gift, [chosen] if chosen else [], tools, wanted)
        else:
            phrase = phrases.get(index, gift.phrase)
            found = _found(image_CHW, phrase, tools, wanted)
            if phrase and found.chosen is None:
                found = _otherwise(found, index + 1, tools, wanted)
        every.append(_warned(gift, found))
        bar.update(1)
    return every


def marked(gift: Given, boxes: Sequence[Detection], height: int, width: int) -> Tensor:
    """[height, width]: the given mask, as far as it lies in the boxes; 1 where there is neither."""
    mask_HW = torch.ones(height, width) if gift.mask_HW is None else gift.mask_HW
    if not boxes:
        return mask_HW
    within_HW = mask_HW * rectangles(boxes, height, width)
    return mask_HW if is_empty(within_HW) else within_HW


def box_of(mask_HW: Tensor) -> Box:
    """The smallest box that holds a mask that is not empty."""
    marked_HW = mask_HW > mask_HW.max() / 2
    rows, columns = (marked_HW.any(dim=dim).nonzero()[:, 0] for dim in (1, 0))
    return float(columns[0]), float(rows[0]), float(columns[-1]) + 1, float(rows[-1]) + 1


def boxes_of(found: Sequence[Found]) -> list[list[Detection]]:
    """One box for each picture: the chosen one, else the mask's own, whose score is 1."""
    return [[one.chosen or Detection(box_of(one.mask_HW), 1.0, one.phrase)] for one in found]


def _tools(wanted: Wanted, detecting: bool, segmenting: bool) -> Tools:
    """The models that are at hand, on the compute device."""
    salient = subject_models.salient()
    detector = subject_models.take(DETECTOR, wanted.detector, wanted.backend) if detecting else None
    segmenter = subject_models.take(SEGMENTER, wanted.segmenter, wanted.backend) if segmenting else None
    needed = [tool for tool in (salient, detector, segmenter) if tool is not None]
    runtime.loaded(*needed, working_bytes=_SAM_BYTES if segmenter else 0)
    return Tools(
        salient.module,
        detector=detector.module if detector else None,
        segmenter=segmenter.module if segmenter else None,
    )


def _found(image_CHW: Tensor, phrase: str, tools: Tools, wanted: Wanted) -> Found:
    """One picture's subject with a mask that is never empty."""
    (found,) = find_subjects(image_CHW[None], tools, phrase, wanted.threshold, wanted.pick, wanted.soften)
    if found.chosen is None and wanted.pick is Pick.LARGEST and not is_empty(found.mask_HW):
        return replace(found, mask_HW=keep_largest(found.mask_HW))
    if not is_empty(found.mask_HW):
        return found
    size = found.mask_HW.shape
    if found.chosen is not None:
        all_HW, all_of = rectangles([found.chosen], *size), "box"
    else:
        all_HW, all_of = torch.ones(size), Otherwise.WHOLE.value
    warning = f"{found.warning} All of the {all_of.removeprefix('whole ')} is taken.".strip()
    return replace(found, mask_HW=all_HW, source=all_of, warning=warning)


def _boxed(image_CHW: Tensor, gift: Given, boxes: Sequence[Detection], tools: Tools, wanted: Wanted) -> Found:
    """The subject within the given mask, the given boxes, or both."""
    if gift.mask_HW is not None:
        mask_HW = marked(gift, boxes, *gift.mask_HW.shape)
        return Found(mask_HW, gift.phrase, gift.boxes, choose(boxes), gift.source)
    if not boxes:
        return _found(image_CHW, "", tools, wanted)
    first: Found | None = None
    warnings: list[str] = []
    for box in boxes:
        runtime.check_interrupted()  # hundreds of boxes take minutes
        one = _found(image_CHW, "box", replace(tools, detector=_Marked([box])), wanted)
        warnings.append(one.warning)
        # joined as they come: hundreds of masks would be gigabytes
        first = one if first is None else replace(first, mask_HW=torch.maximum(first.mask_HW, one.mask_HW))
    assert first is not None
    warning = " ".join(filter(None, dict.fromkeys(warnings)))
    return replace(first, phrase=gift.phrase, hits=tuple(gift.boxes), warning=warning)


def _warned(gift: Given, found: Found) -> Found:
    return replace(found, warning=" ".join(filter(None, (gift.warning, found.warning))))


def _otherwise(found: Found, number: int, tools: Tools, wanted: Wanted) -> Found:
    """What becomes of a picture in which nothing was detected: `found` is the built-in cut.

    Raises ValueError when that is what was asked for.
    """
    if not found.phrase:
        reason = "There is no phrase: type what the subject is, or connect Describe Subject."
    elif tools.detector is None:
        reason = f"No detector: {subject_models.wanted(DETECTOR)}"
    else:
        reason = f"Nothing like “{found.phrase}” was found above {wanted.threshold:g}."
        if not any(letter.isascii() and letter.isalpha() for letter in found.phrase):
            reason += " The detector reads English."
    if wanted.otherwise is Otherwise.ERROR:
        raise ValueError(
            f"Picture {number}: {reason} Lower the threshold, choose other words, or give a mask or a box."
        )
    if wanted.otherwise is Otherwise.WHOLE:
        found = replace(found, mask_HW=torch.ones_like(found.mask_HW), source=Otherwise.WHOLE.value)
    instead = Otherwise.WHOLE if found.source == Otherwise.WHOLE.value else Otherwise.BUILT_IN
    return replace(found, warning=f"{reason} Instead: the {instead.value}.")


def _boxes(
    value: Any, count: int, size_hw: Sequence[int], working_hw: tuple[int, int]
) -> list[tuple[Detection, ...]]:
    """Boxes for the pictures at their working size."""
    down, across = (after / before for after, before in zip(working_hw, size_hw, strict=True))
    return [
        tuple(resize_hit(hit, across, down) for hit in hits) for hits in boxes_from(value, count, *size_hw)
    ]
