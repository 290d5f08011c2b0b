"""The steps from pictures to subjects: the artist's inputs come first, models find the rest.

Shape suffixes: B pictures, C channels, H height, W width. Values 0..1; boxes in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from echogen_core.checkpoints.catalog.subject_models import DESCRIBER, DETECTOR, SEGMENTER
from echogen_core.checkpoints.segmentation_models import Backend
from echogen_core.subject.describe import describe
from echogen_core.subject.detect import detect
from echogen_core.subject.find import Found, Tools
from echogen_core.subject.regions import Detection, box_of, choose, rectangles
from echogen_core.subject.segmentation import (
    Search,
    apply_fallback,
    find_with_mask,
    segment_subject,
    segment_within,
)
from echogen_core.subject.user_inputs import UserInputs

from . import runtime, subject_models
from .subject_models import AUTO

_SAM_BYTES = 4 << 30  # of the largest SAM besides its weights: attention among 64×64 patches, several copies


@dataclass(frozen=True)
class SubjectOptions:
    """The settings of a subject node: which models to use, as their drop-downs list them, and the search."""

    describer: str = AUTO
    detector: str = AUTO
    segmenter: str = AUTO
    backend: str = Backend.TRANSFORMERS.value
    search: Search = field(default_factory=Search)


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
    search, tools = options.search, _tools(options, detecting=True, segmenting=False)
    bar = runtime.progress_bar(len(images_BCHW))
    results = []
    for number, (image_CHW, phrase) in enumerate(zip(images_BCHW, phrases, strict=True), 1):
        hits = detect(image_CHW[None], phrase, tools.detector, search.threshold)[0] if tools.detector else []
        chosen, source, warning = choose(hits, search.pick), "", ""
        if chosen is None:
            built_in = find_with_mask(image_CHW, phrase, Tools(tools.salient), search)
            found = apply_fallback(built_in, number, tools, search)
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
        found = segment_within(
            image_CHW, inputs, inputs.boxes, tools, options.search, runtime.check_interrupted
        )
        results.append(found)
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
        named = replace(inputs, phrase=phrases.get(index, inputs.phrase))
        results.append(segment_subject(image_CHW, named, tools, options.search, index + 1))
        bar.update(1)
    return results


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
