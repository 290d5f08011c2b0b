"""Nodes that make the reference picture: a packaged sample, and the subject cut out.

They are output nodes with previews: see lazy_previews.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from echogen_core.subject import cutout, samples

from . import memory_checks, subject_preview
from . import subject_widgets as widgets
from .adapters import CATEGORY, advanced, image_from_pil, pictures_from, schema, to_image, to_intermediate
from .user_inputs import EMPTY_MASK, mask_in_boxes, read_inputs, union_warning


class SamplePicture(io.ComfyNode):
    """A picture that comes with the pack, so that the first workflow runs unchanged."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        names = samples.sample_names()
        return schema(
            node_id="EchoGenSamplePicture",
            display_name="EchoGen Sample Picture",
            category=f"{CATEGORY}/subject",
            description="A picture of a subject that comes with the pack. To use your own, replace the node "
            "with 'Load Image', which has the same two outputs.",
            search_aliases=["example image", "demo picture", "test image"],
            is_output_node=True,
            has_intermediate_output=True,
            inputs=[
                io.Combo.Input(
                    "picture",
                    options=names,
                    default=names[0] if names else None,
                    tooltip="One of the packaged pictures. To use your own, replace this node with 'Load "
                    "Image'.",
                )
            ],
            outputs=[
                io.Image.Output("image", display_name="image", tooltip="The picture."),
                io.Mask.Output("mask", display_name="mask", tooltip="White on the subject."),
            ],
        )

    @classmethod
    def execute(cls, picture: str) -> io.NodeOutput:
        image, mask = image_from_pil(samples.open_sample(picture))
        return io.NodeOutput(
            to_intermediate(image), to_intermediate(mask), ui=subject_preview.show(cls, [image])
        )


class CutOutSubject(io.ComfyNode):
    """The subject on a plain background, squared and centred."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenCutOutSubject",
            display_name="Cut Out Subject",
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
                    default=False,
                    optional=True,
                    tooltip="Keeps only the largest of several separate pieces.",
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
    ) -> io.NodeOutput:
        images_BCHW = pictures_from(image, "picture", keep_alpha=True)
        memory_checks.require_for_cut_outs(image, margin)
        if mask is not None:
            memory_checks.require_for_pictures(mask, "masks")
        region, marks, warnings = _region(
            images_BCHW, image.shape[1:3], mask, cutout.MaskMarks(mask_marks), bounding_box
        )
        colour = cutout.parse_colour(background)
        cut = cutout.cut_out(images_BCHW, region, margin, colour, marks, only_largest)
        if not warnings:
            about_mask = EMPTY_MASK if cut.unused else union_warning(region, len(image))
            warnings = [about_mask] * len(image)
        for index in cut.missed:
            warnings[index] = "The mask of this picture is empty: the whole picture was used."
        shown = cut_out = to_image(cut.images_B3SS)
        if any(warnings):
            shown = subject_preview.captioned(cut.images_B3SS, [("", text) for text in warnings])
        return io.NodeOutput(
            cut_out, to_intermediate(cut.masks_BSS), ui=subject_preview.show(cls, [shown], warnings)
        )


def _region(
    images_BCHW: Tensor,
    size_hw: Sequence[int],
    mask: Tensor | None,
    marks: cutout.MaskMarks,
    bounding_box: Any,
) -> tuple[Tensor | None, cutout.MaskMarks, list[str]]:
    """The masks to cut by, limited to the boxes, what they mark, and a warning per picture (if boxes came).

    Without any box the core checks the mask, or looks for a plain background.
    """
    if bounding_box is None:
        return mask, marks, []
    user_inputs = read_inputs(images_BCHW, size_hw, "", mask, marks, bounding_box)
    warnings = [inputs.warning for inputs in user_inputs]
    if not any(inputs.boxes for inputs in user_inputs):
        return mask, marks, warnings
    size = images_BCHW.shape[-2:]
    masks = torch.stack([mask_in_boxes(inputs, inputs.boxes, *size) for inputs in user_inputs])
    return masks, cutout.MaskMarks.SUBJECT, warnings


NODES: list[type[Any]] = [SamplePicture, CutOutSubject]
