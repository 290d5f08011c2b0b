"""Nodes that describe, detect and segment the subject, and one node that does it all.

They are output nodes with previews: see lazy_previews.py.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from echogen_core.checkpoints.catalog.subject_models import DESCRIBER, DETECTOR, Kind, download_hint
from echogen_core.subject import cutout
from echogen_core.subject.find import Found
from echogen_core.subject.masks import MaskMarks
from echogen_core.subject.notes import joined
from echogen_core.subject.regions import Pick
from echogen_core.subject.segmentation import Fallback, Search

from . import linked_names, memory_checks, subject_models, subject_preview, user_inputs
from . import subject_steps as steps
from . import subject_widgets as widgets
from .adapters import CATEGORY, pictures_from, schema, to_image, to_intermediate
from .boxes import boxes_to
from .subject_models import AUTO
from .subject_steps import SubjectOptions

_SOURCES = (
    "Any mask will do: the mask editor or the transparency of Load Image, another pack, ComfyUI's own SAM3 "
    "or background removal."
)


class SubjectNode(io.ComfyNode):
    """Base of nodes with drop-downs of models, which are listed in `widgets.MODELS`."""

    @classmethod
    def fingerprint_inputs(cls, **values: Any) -> Any:
        named = [(kind, values[name]) for name, kind in widgets.MODELS.items() if name in values]
        return [_fingerprint(kind, name) for kind, name in named]


def _fingerprint(kind: Kind, name: str | None) -> Any:
    if name is None:  # a link provides it
        return linked_names.changed(kind.title, partial(subject_models.fingerprint, kind))
    return subject_models.fingerprint(kind, name)


def _valid(**names: str | None) -> bool | str:
    """True, or what to download for the first model that is missing; None: a link provides it, or nothing."""
    for name, value in names.items():
        try:
            subject_models.resolve(widgets.MODELS[name], AUTO if value is None else value)
        except FileNotFoundError as error:
            return f"{widgets.MODEL_LABELS[name]}: {error}"
    return True


class DescribeSubject(SubjectNode):
    """Picture to phrase."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenDescribeSubject",
            display_name="Describe Subject",
            category=f"{CATEGORY}/subject",
            description="Names the subject in one to three words, for Detect Subject. Your own phrase takes "
            "precedence over the model's.",
            search_aliases=["caption", "qwen", "vlm", "describe image"],
            is_output_node=True,
            has_intermediate_output=True,
            inputs=[
                io.Image.Input("image", tooltip="One or several pictures; each is described separately."),
                widgets.phrase_input("With a phrase, no model is used."),
                widgets.model_input("describer"),
            ],
            outputs=[
                io.String.Output(
                    "described",
                    display_name="phrase",
                    tooltip="What the subject is, one line per picture.",
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, describer: str | None = None) -> bool | str:
        return _valid(describer=describer)

    @classmethod
    def execute(cls, image: Tensor, phrase: str, describer: str) -> io.NodeOutput:
        images_BCHW = pictures_from(image, "picture", keep_alpha=True)
        phrases = user_inputs.phrases_for(phrase, len(image))
        if not any(phrases):
            phrases = steps.describe_pictures(images_BCHW, describer)
        warning = "There is no phrase. Type one, or let the built-in cut decide."
        if not any(phrases) and subject_models.resolve(DESCRIBER, describer) is None:
            warning = f"{warning} To get a phrase automatically: {download_hint(DESCRIBER)}"
        texts = [(each, "" if each else warning) for each in phrases]
        shown = subject_preview.captioned(images_BCHW, texts)
        return io.NodeOutput(
            "\n".join(phrases), ui=subject_preview.show(cls, [shown], _joined(texts), [w for _, w in texts])
        )


class DetectSubject(SubjectNode):
    """Phrase to box."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenDetectSubject",
            display_name="Detect Subject (person, object)",
            category=f"{CATEGORY}/subject",
            description="Finds what a phrase names, with GroundingDINO. Draws every hit with its score and "
            "passes on the chosen one.",
            search_aliases=["grounding dino", "bounding box", "detect object", "person", "find by text"],
            is_output_node=True,
            has_intermediate_output=True,
            inputs=[
                io.Image.Input(
                    "image", tooltip="One or several pictures; one without a hit doesn't stop the others."
                ),
                widgets.phrase_input(
                    "English works best. Separate several subjects with full stops: cat. dog."
                ),
                widgets.threshold_input(),
                widgets.pick_input(),
                widgets.fallback_input(),
                widgets.model_input("detector"),
                widgets.backend_input("groundingdino-py"),
            ],
            outputs=[
                widgets.box_output(
                    "bounding_box", "The chosen box of each picture, with its score and label."
                ),
                widgets.box_output("all_boxes", "All hits in each picture.", "all boxes"),
                io.Float.Output(
                    "score",
                    display_name="score",
                    tooltip="Confidence of the chosen box, 0 to 1; the lowest of several pictures. 0: "
                    "nothing was found.",
                ),
                io.Image.Output(
                    "preview", display_name="preview", tooltip="The preview that the node shows."
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, detector: str | None = None) -> bool | str:
        return _valid(detector=detector)

    @classmethod
    def execute(
        cls,
        image: Tensor,
        phrase: str,
        threshold: float,
        pick: str,
        when_not_found: str,
        detector: str,
        backend: str,
    ) -> io.NodeOutput:
        images_BCHW = pictures_from(image, "picture", keep_alpha=True)
        search = _search(threshold, pick, when_not_found)
        options = SubjectOptions(detector=detector, backend=backend, search=search)
        found = steps.detect_subjects(images_BCHW, user_inputs.phrases_for(phrase, len(image)), options)
        shown = subject_preview.previews(images_BCHW, found)
        full = _full_size(found, image)
        return io.NodeOutput(
            boxes_to(steps.boxes_of(full)),
            boxes_to([one.hits for one in full]),
            min(one.chosen.score for one in found if one.chosen),
            to_intermediate(shown),
            ui=_shown(cls, [shown], found),
        )


class SegmentSubject(SubjectNode):
    """Box to mask."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenSegmentSubject",
            display_name="Segment Subject",
            category=f"{CATEGORY}/subject",
            description="The exact outline of what is in a box, with SAM; without a SAM file or a box, with "
            "the built-in cut.",
            search_aliases=["sam", "segment anything", "mask from box"],
            is_output_node=True,
            has_intermediate_output=True,
            inputs=[
                io.Image.Input("image", tooltip="One or several pictures."),
                widgets.box_input(
                    "Where the subject is, from Detect Subject, SAM3 or any detection node. Several "
                    "boxes in a picture are joined. Unconnected: the built-in cut."
                ),
                widgets.soften_input(),
                widgets.model_input("segmenter"),
                widgets.backend_input("segment-anything"),
            ],
            outputs=[
                io.Mask.Output(
                    "mask", display_name="mask", tooltip="White on the subject, at the picture's size."
                ),
                io.Image.Output(
                    "preview", display_name="preview", tooltip="The preview that the node shows."
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, segmenter: str | None = None) -> bool | str:
        return _valid(segmenter=segmenter)

    @classmethod
    def execute(
        cls, image: Tensor, soften: float, segmenter: str, backend: str, bounding_box: Any = None
    ) -> io.NodeOutput:
        images_BCHW = pictures_from(image, "picture", keep_alpha=True)
        inputs = user_inputs.read_inputs(images_BCHW[:, :3], image.shape[1:3], bounding_box=bounding_box)
        options = SubjectOptions(segmenter=segmenter, backend=backend, search=Search(soften=soften))
        found = steps.segment_boxes(images_BCHW, inputs, options)
        shown = subject_preview.previews(images_BCHW, found)
        mask = to_intermediate(torch.stack([one.mask_HW for one in _full_size(found, image)]))
        return io.NodeOutput(mask, to_intermediate(shown), ui=_shown(cls, [shown], found))


def _segmentation_inputs() -> list[io.Input]:
    """Of SubjectSegmentation; saved workflows rely on their order."""
    return [
        io.Image.Input(
            "image", tooltip="One or several pictures; one without a hit doesn't stop the others."
        ),
        io.Mask.Input(
            "mask",
            optional=True,
            tooltip=f"Where the subject is. Your mask takes priority: no model is used. {_SOURCES}",
        ),
        widgets.box_input(
            "Roughly where the subject is. With a mask, only the part of the mask in the box counts."
        ),
        widgets.phrase_input(
            "If empty, the installed caption model names it, or the built-in cut takes what stands out."
        ),
        widgets.margin_input(),
        widgets.background_input(),
        widgets.threshold_input(),
        widgets.pick_input(),
        widgets.fallback_input(),
        widgets.soften_input(),
        widgets.model_input("describer"),
        widgets.model_input("detector"),
        widgets.model_input("segmenter"),
        widgets.marks_input(),
        io.String.Input(
            "box",
            default="",
            optional=True,
            tooltip="Roughly where the subject is: draw it with the button below, or type left, top, width "
            "and height in pixels. Empty: no box. It comes before a connected bounding box.",
        ),
    ]


class SubjectSegmentation(SubjectNode):
    """Picture to cut-out, with the models that are installed."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenSubjectSegmentation",
            display_name="Subject Segmentation (remove background)",
            category=f"{CATEGORY}/subject",
            description="Cuts the subject out of an ordinary photo. Nothing has to be set or installed: the "
            "built-in cut takes what stands out. If that is the wrong thing, draw a box, paint a mask, or "
            "type a phrase.",
            search_aliases=[
                "remove background",
                "rembg",
                "cut out",
                "segment",
                "person",
                "u2net",
                "grounded sam",
            ],
            is_output_node=True,
            has_intermediate_output=True,
            inputs=_segmentation_inputs(),
            outputs=[
                io.Image.Output("cut_out", display_name="image", tooltip="The subject, squared and centred."),
                io.Mask.Output(
                    "subject_mask",
                    display_name="mask",
                    tooltip="White on the subject, at the size of your picture.",
                ),
                io.String.Output(
                    "subject_phrase",
                    display_name="phrase",
                    tooltip="What was searched for, one line per picture.",
                ),
                widgets.box_output("subject_box", "Where the subject is in your picture."),
            ],
        )

    @classmethod
    def validate_inputs(
        cls, describer: str | None = None, detector: str | None = None, segmenter: str | None = None
    ) -> bool | str:
        return _valid(describer=describer, detector=detector, segmenter=segmenter)

    @classmethod
    def execute(
        cls,
        image: Tensor,
        phrase: str,
        margin: float,
        background: str,
        mask_marks: str,
        mask: Tensor | None = None,
        bounding_box: Any = None,
        box: str = "",
        **settings: Any,
    ) -> io.NodeOutput:
        images_BCHW = pictures_from(image, "picture", keep_alpha=True)
        memory_checks.require_for_cut_outs(image, margin)
        colour, marks = cutout.parse_colour(background), MaskMarks(mask_marks)
        size = image.shape[1:3]
        inputs = user_inputs.read_inputs(images_BCHW, size, phrase, mask, marks, bounding_box, box)
        found = steps.segment_subjects(images_BCHW, inputs, _options(**settings))
        cut = cutout.cut_out_by([one.mask_HW for one in found], images_BCHW[:, :3], margin, colour)
        found = [
            replace(one, warning=joined(one.warning, note))
            for one, note in zip(found, cut.notes, strict=True)
        ]
        cut_out, full = to_image(cut.images_B3SS), _full_size(found, image)
        shown = [subject_preview.previews(images_BCHW, found, warned=False), cut_out]
        to_draw_on = {
            "echogen_picture_size": (int(size[1]), int(size[0])),
            "echogen_picture": subject_preview.plain(cls, images_BCHW),
        }
        return io.NodeOutput(
            cut_out,
            to_intermediate(torch.stack([one.mask_HW for one in full])),
            "\n".join(one.phrase for one in found),
            boxes_to(steps.boxes_of(full)),
            ui={**_shown(cls, shown, found), **to_draw_on},
        )


def _options(
    threshold: float,
    pick: str,
    when_not_found: str,
    soften: float,
    describer: str,
    detector: str,
    segmenter: str,
) -> SubjectOptions:
    search = _search(threshold, pick, when_not_found, soften)
    return SubjectOptions(describer, detector, segmenter, search=search)


def _search(threshold: float, pick: str, when_not_found: str, soften: float = 0.0) -> Search:
    return Search(threshold, Pick(pick), soften, Fallback(when_not_found), download_hint(DETECTOR))


def _full_size(found: list[Found], image: Tensor) -> list[Found]:
    """The results at the pictures' original size."""
    return [subject_preview.resize_found(one, int(image.shape[1]), int(image.shape[2])) for one in found]


def _shown(cls: type[io.ComfyNode], pictures: list[Tensor], found: list[Found]) -> dict[str, Any]:
    words = [subject_preview.words(one) for one in found]
    return subject_preview.show(cls, pictures, words, [one.warning for one in found])


def _joined(texts: list[tuple[str, str]]) -> list[str]:
    return ["\n".join(part for part in text if part) for text in texts]


NODES: list[type[Any]] = [DescribeSubject, DetectSubject, SegmentSubject, SubjectSegmentation]
