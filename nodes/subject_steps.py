"""The steps from pictures to subjects: the artist's inputs come first, models find the rest.

Shape suffixes: B pictures, C channels, H height, W width. Values 0..1; boxes in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import torch
from torch import Tensor

from echogen_core.checkpoints.segmentation_models import Backend
from echogen_core.subject import notes
from echogen_core.subject.cutout import keep_largest
from echogen_core.subject.describe import describe
from echogen_core.subject.detect import DEFAULT_THRESHOLD, detect
from echogen_core.subject.find import Found, Tools, find_subjects
from echogen_core.subject.masks import is_empty
from echogen_core.subject.regions import Box, Detection, Pick, choose

from . import runtime, subject_models
from .boxes import rectangles
from .subject_models import AUTO, DESCRIBER, DETECTOR, SEGMENTER
from .user_inputs import UserInputs, mask_in_boxes

_SAM_BYTES = 4 << 30  # of the largest SAM besides its weights: attention among 64×64 patches, several copies


class Fallback(str, Enum):
    """What to use for a picture in which nothing was detected."""

    BUILT_IN = "built-in cut"
    WHOLE = "whole picture"
    ERROR = "error"


@dataclass(frozen=True)
class SubjectOptions:
    """The settings of a subject node: which models to use, as their drop-downs list them, and how."""

    describer: str = AUTO
    detector: str = AUTO
    segmenter: str = AUTO
    threshold: float = DEFAULT_THRESHOLD
    pick: Pick = Pick.BEST
    soften: float = 0.0
    fallback: Fallback = Fallback.BUILT_IN
    backend: str = Backend.TRANSFORMERS.value


class FixedBoxes:
    """A detector that returns the artist's own boxes."""

    def __init__(self, boxes: Sequence[Detection]) -> None:
        self.boxes = list(boxes)

    def find(self, image_3HW: Tensor, phrase: str, threshold: float) -> list[Detection]:
        """The boxes, whatever the picture and the phrase."""
        return self.boxes


def describe_pictures(images_BCHW: Tensor, describer: str) -> list[str]:
    """The model's phrase for each picture; '' where there is no model, or no phrase in its answer."""
    managed = subject_models.managed(DESCRIBER, describer)
    if managed is None or not len(images_BCHW):
        return [""] * len(images_BCHW)
    runtime.loaded(managed)
    bar = runtime.progress_bar(len(images_BCHW))
    phrases: list[str] = []
    for image_1CHW in images_BCHW.split(1):
        phrases += describe(image_1CHW, managed.module)
        bar.update(1)
    return phrases


def detect_subjects(images_BCHW: Tensor, phrases: Sequence[str], options: SubjectOptions) -> list[Found]:
    """What each picture's phrase names; the mask is the rectangle of the chosen box.

    The box of a fallback has the score 0. Raises ValueError where the fallback is an error.
    """
    tools = _tools(options, detecting=True, segmenting=False)
    bar = runtime.progress_bar(len(images_BCHW))
    results = []
    for number, (image_CHW, phrase) in enumerate(zip(images_BCHW, phrases, strict=True), 1):
        hits = detect(image_CHW[None], phrase, tools.detector, options.threshold)[0] if tools.detector else []
        chosen, source, warning = choose(hits, options.pick), "", ""
        if chosen is None:
            built_in = _find(image_CHW, phrase, Tools(tools.salient), options)
            found = _apply_fallback(built_in, number, tools, options)
            source, warning = found.source, found.warning
            chosen = Detection(box_of(found.mask_HW), 0.0, source)
        mask_HW = rectangles([chosen], *image_CHW.shape[-2:])
        results.append(Found(mask_HW, phrase, tuple(hits), chosen, source, warning))
        bar.update(1)
    return results


def segment_boxes(
    images_BCHW: Tensor, user_inputs: Sequence[UserInputs], options: SubjectOptions
) -> list[Found]:
    """The union of what each picture's boxes hold; without boxes, the built-in cut."""
    tools = _tools(options, detecting=False, segmenting=any(inputs.boxes for inputs in user_inputs))
    bar = runtime.progress_bar(len(images_BCHW))
    results = []
    for image_CHW, inputs in zip(images_BCHW, user_inputs, strict=True):
        results.append(
            _with_warning(inputs, _segment_within(image_CHW, inputs, inputs.boxes, tools, options))
        )
        bar.update(1)
    return results


def segment_subjects(
    images_BCHW: Tensor, user_inputs: Sequence[UserInputs], options: SubjectOptions
) -> list[Found]:
    """The subject of each picture: by its mask, else by its box, else by its phrase.

    The describer is asked for a phrase only where the artist gave none of the three.
    Raises ValueError where nothing is found and the fallback is an error.
    """
    searched = [inputs.mask_HW is None and not inputs.boxes for inputs in user_inputs]
    nameless = [index for index, inputs in enumerate(user_inputs) if searched[index] and not inputs.phrase]
    phrases = dict(zip(nameless, describe_pictures(images_BCHW[nameless], options.describer), strict=True))
    tools = _tools(options, any(searched), any(inputs.mask_HW is None for inputs in user_inputs))
    bar = runtime.progress_bar(len(user_inputs))
    results = []
    for index, (image_CHW, inputs) in enumerate(zip(images_BCHW, user_inputs, strict=True)):
        if not searched[index]:
            chosen = choose(inputs.boxes, options.pick)
            found = _segment_within(image_CHW, inputs, [chosen] if chosen else [], tools, options)
        else:
            phrase = phrases.get(index, inputs.phrase)
            found = _find(image_CHW, phrase, tools, options)
            if phrase and found.chosen is None:
                found = _apply_fallback(found, index + 1, tools, options)
        results.append(_with_warning(inputs, found))
        bar.update(1)
    return results


def box_of(mask_HW: Tensor) -> Box:
    """The smallest box that holds a mask that is not empty."""
    inside_HW = mask_HW > mask_HW.max() / 2
    rows, columns = (inside_HW.any(dim=dim).nonzero()[:, 0] for dim in (1, 0))
    return float(columns[0]), float(rows[0]), float(columns[-1]) + 1, float(rows[-1]) + 1


def boxes_of(found: Sequence[Found]) -> list[list[Detection]]:
    """One box for each picture: the chosen one, else the mask's own, with a score of 1."""
    return [[one.chosen or Detection(box_of(one.mask_HW), 1.0, one.phrase)] for one in found]


def _tools(options: SubjectOptions, detecting: bool, segmenting: bool) -> Tools:
    """The models that are installed and needed, on the compute device."""
    salient = subject_models.salient()
    detector = subject_models.managed(DETECTOR, options.detector, options.backend) if detecting else None
    segmenter = subject_models.managed(SEGMENTER, options.segmenter, options.backend) if segmenting else None
    needed = [managed for managed in (salient, detector, segmenter) if managed is not None]
    runtime.loaded(*needed, working_bytes=_SAM_BYTES if segmenter else 0)
    return Tools(
        salient.module,
        detector=detector.module if detector else None,
        segmenter=segmenter.module if segmenter else None,
    )


def _find(image_CHW: Tensor, phrase: str, tools: Tools, options: SubjectOptions) -> Found:
    """One picture's subject with a mask that is never empty."""
    (found,) = find_subjects(image_CHW[None], tools, phrase, options.threshold, options.pick, options.soften)
    if found.chosen is None and options.pick is Pick.LARGEST and not is_empty(found.mask_HW):
        return replace(found, mask_HW=keep_largest(found.mask_HW))
    if not is_empty(found.mask_HW):
        return found
    size = found.mask_HW.shape
    if found.chosen is not None:
        all_HW, all_of = rectangles([found.chosen], *size), "box"
    else:
        all_HW, all_of = torch.ones(size), Fallback.WHOLE.value
    warning = f"{found.warning} All of the {all_of.removeprefix('whole ')} is taken.".strip()
    return replace(found, mask_HW=all_HW, source=all_of, warning=warning)


def _segment_within(
    image_CHW: Tensor, inputs: UserInputs, boxes: Sequence[Detection], tools: Tools, options: SubjectOptions
) -> Found:
    """The subject within the artist's mask, the boxes, or both."""
    if inputs.mask_HW is not None:
        mask_HW, note = mask_in_boxes(inputs.mask_HW, boxes)
        chosen = None if note else choose(boxes)
        return Found(mask_HW, inputs.phrase, inputs.boxes, chosen, inputs.source, note)
    if not boxes:
        return _find(image_CHW, "", tools, options)
    union: Found | None = None
    warnings: list[str] = []
    for box in boxes:
        runtime.check_interrupted()  # hundreds of boxes take minutes
        one = _find(image_CHW, "box", replace(tools, detector=FixedBoxes([box])), options)
        warnings.append(one.warning)
        # one at a time: hundreds of masks would take gigabytes
        union = one if union is None else replace(union, mask_HW=torch.maximum(union.mask_HW, one.mask_HW))
    assert union is not None
    warning = notes.joined(*warnings)
    return replace(union, phrase=inputs.phrase, hits=tuple(inputs.boxes), warning=warning)


def _with_warning(inputs: UserInputs, found: Found) -> Found:
    return replace(found, warning=notes.joined(inputs.warning, found.warning))


def _apply_fallback(found: Found, number: int, tools: Tools, options: SubjectOptions) -> Found:
    """What to use for a picture in which nothing was detected: `found` is the built-in cut.

    Raises ValueError where the fallback is an error.
    """
    if not found.phrase:
        reason = "There is no phrase: type what the subject is, or connect Describe Subject."
    elif tools.detector is None:
        reason = f"No detector: {subject_models.download_hint(DETECTOR)}"
    else:
        reason = f"Nothing like “{found.phrase}” was found above {options.threshold:g}."
        if not any(letter.isascii() and letter.isalpha() for letter in found.phrase):
            reason += " The detector reads English."
    if options.fallback is Fallback.ERROR:
        raise ValueError(
            f"Picture {number}: {reason} Lower the threshold, try other words, or supply a mask or a box."
        )
    if options.fallback is Fallback.WHOLE:
        found = replace(found, mask_HW=torch.ones_like(found.mask_HW), source=Fallback.WHOLE.value)
    used = Fallback.WHOLE if found.source == Fallback.WHOLE.value else Fallback.BUILT_IN
    return replace(found, warning=f"{reason} Used instead: the {used.value}.")
