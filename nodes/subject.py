"""The node that cuts the subject out by a mask.

It is an output node with a preview: see lazy_previews.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from echogen_core.subject import cutout
from echogen_core.subject.masks import MaskMarks
from echogen_core.subject.notes import joined
from echogen_core.subject.regions import rectangles
from echogen_core.subject.user_inputs import UserInputs, mask_in_boxes

from . import memory_checks, runtime, subject_models, subject_preview
from . import subject_widgets as widgets
from .adapters import CATEGORY, advanced, pictures_from, schema, to_image, to_intermediate
from .user_inputs import read_inputs


class WithoutMask(str, Enum):
    """What to cut a picture by that has a busy background, and neither a mask nor a box."""

    WHOLE = "whole picture"
    BUILT_IN = "built-in cut"


class CutOutSubject(io.ComfyNode):
    """The subject on a plain background, squared and centred."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenCutOutSubject",
            display_name="Cut Out Subject (background removal)",
            category=f"{CATEGORY}/subject",
            description="Puts the subject on a plain background, in the middle of a square picture, without "
            "cropping it. Any mask will do; without one, a plain background is recognised.",
            search_aliases=["remove background", "crop subject", "segment", "isolate"],
            is_output_node=True,
            has_intermediate_output=True,
            inputs=[
                io.Image.Input("image", tooltip="One or several pictures. Several are cut out one by one."),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Where the subject is: from Load Image (transparency or mask editor) or any "
                    "segmentation node. Unconnected: the picture's own transparency or plain background "
                    "decides; otherwise the whole picture is used.",
                ),
                widgets.margin_input(),
                widgets.background_input(),
                widgets.marks_input(),
                widgets.box_input(
                    "Where the subject is, from Detect Subject, SAM3 or any detection node. With a mask: "
                    "limits the mask. Without: everything in the box."
                ),
                advanced(
                    io.Boolean.Input,
                    "only_largest",
                    display_name="keep largest piece",
                    default=False,
                    optional=True,
                    tooltip="Drops everything but the largest piece, such as specks and a second subject.",
                ),
                io.Combo.Input(
                    "without_mask",
                    display_name="without a mask",
                    options=[each.value for each in WithoutMask],
                    default=WithoutMask.WHOLE.value,
                    optional=True,
                    tooltip="What to do with a photo whose background isn't plain if there is no mask or "
                    "box: use the whole picture (the node says so), or let the built-in cut find it.",
                ),
            ],
            outputs=[
                io.Image.Output("cut_out", display_name="image", tooltip="The subject, squared and centred."),
                io.Mask.Output("cut_out_mask", display_name="mask", tooltip="White on the subject."),
            ],
        )

    @classmethod
    def execute(
        cls,
        image: Tensor,
        margin: float,
        background: str,
        mask_marks: str,
        mask: Tensor | None = None,
        bounding_box: Any = None,
        only_largest: bool = False,
        without_mask: str = WithoutMask.WHOLE.value,
    ) -> io.NodeOutput:
        images_BCHW = pictures_from(image, "picture", keep_alpha=True)
        memory_checks.require_for_cut_outs(image, margin)
        colour, marks = cutout.parse_colour(background), MaskMarks(mask_marks)
        given = read_inputs(images_BCHW, image.shape[1:3], "", mask, marks, bounding_box)
        regions = [_region(inputs, *images_BCHW.shape[-2:]) for inputs in given]
        masks = [mask_HW for mask_HW, _ in regions]
        salient = _built_in_cut(masks) if WithoutMask(without_mask) is WithoutMask.BUILT_IN else None
        cut = cutout.cut_out_by(masks, images_BCHW, margin, colour, only_largest, salient)
        warnings = [
            joined(inputs.warning, note, about_cut)
            for inputs, (_, note), about_cut in zip(given, regions, cut.notes, strict=True)
        ]
        cut_out = to_image(cut.images_B3SS)
        return io.NodeOutput(
            cut_out,
            to_intermediate(cut.masks_BSS),
            ui=subject_preview.show_cut_outs(cls, cut.images_B3SS, warnings),
        )


def _built_in_cut(masks: Sequence[Tensor | None]) -> Any:
    """The built-in cut's model, None where no picture can need it."""
    if all(mask_HW is not None for mask_HW in masks):
        return None
    managed = subject_models.salient()
    runtime.loaded(managed)
    return managed.module


def _region(inputs: UserInputs, height: int, width: int) -> tuple[Tensor | None, str]:
    """The mask to cut a picture by, limited to its boxes, and a note; None without mask and boxes."""
    if inputs.mask_HW is not None:
        return mask_in_boxes(inputs.mask_HW, inputs.boxes)
    return (rectangles(inputs.boxes, height, width) if inputs.boxes else None), ""


NODES: list[type[Any]] = [CutOutSubject]
