"""Nodes that turn a picture into the reference: a packaged sample, and the subject cut out.

Each can be run by itself, and shows its picture also when it is not run again: see showing.py.
"""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from echogen_core.subject import cutout, samples

from . import room, subject_preview
from . import subject_inputs as inputs
from . import subject_steps as steps
from .adapters import CATEGORY, advanced, handed_on, image_from_pil, image_to, schema


class SamplePicture(io.ComfyNode):
    """A picture that comes with the pack, so that the first workflow runs as it is."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        names = samples.sample_names()
        return schema(
            node_id="EchoGenSamplePicture",
            display_name="EchoGen Sample Picture",
            category=f"{CATEGORY}/subject",
            description="A picture of a subject that comes with the pack. Put 'Load Image' in its place to "
            "use your own: it has the same two outputs.",
            search_aliases=["example image", "demo picture", "test image"],
            is_output_node=True,
            has_intermediate_output=True,
            inputs=[
                io.Combo.Input(
                    "picture",
                    options=names,
                    default=names[0] if names else None,
                    tooltip="Which of the packaged pictures. To use your own, replace this node with 'Load "
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
        return io.NodeOutput(handed_on(image), handed_on(mask), ui=subject_preview.show(cls, [image]))


class CutOutSubject(io.ComfyNode):
    """Subject on a plain ground, squared and centred."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenCutOutSubject",
            display_name="Cut Out Subject",
            category=f"{CATEGORY}/subject",
            description="Puts the subject on a plain ground, in the middle of a square picture, and loses "
            "none of it. Any mask will do; without one, a plain ground is recognised by itself.",
            search_aliases=["remove background", "crop subject", "segment", "isolate"],
            is_output_node=True,
            has_intermediate_output=True,
            inputs=[
                io.Image.Input("image", tooltip="One or several pictures. Several are cut one by one."),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Where the subject is: from Load Image (transparency or mask editor) or any "
                    "segmentation node. Left open, the picture's own transparency or its plain border "
                    "decides; with a busy border the whole picture is taken.",
                ),
                inputs.margin_input(),
                inputs.background_input(),
                inputs.marks_input(),
                inputs.box_input(
                    "Where the subject is, from Detect Subject, SAM3 or any detection node. With a mask: "
                    "what of the mask counts. Without: all that is in the box."
                ),
                advanced(
                    io.Boolean.Input,
                    "only_largest",
                    default=False,
                    optional=True,
                    tooltip="Of several pieces apart from each other, only the largest is kept.",
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
        images_BCHW, marks = steps.pictures(image), cutout.MaskMarks(mask_marks)
        room.check_cut_outs(image, margin)
        if mask is not None:
            room.check_pictures(mask, "masks")
        gifts = []
        if bounding_box is not None:
            gifts = steps.given(images_BCHW, image.shape[1:3], "", mask, marks, bounding_box)
        # Without any box the core says what is wrong with the mask, or finds a plain ground.
        if any(gift.boxes for gift in gifts):
            mask = torch.stack([steps.marked(gift, gift.boxes, *images_BCHW.shape[-2:]) for gift in gifts])
            marks = cutout.MaskMarks.SUBJECT
        ground = cutout.parse_colour(background)
        cut = cutout.cut_out(images_BCHW, mask, margin, ground, marks, only_largest)
        about_mask = steps.EMPTY_MASK if cut.unused else steps.joined(mask, len(image))
        warnings = [gift.warning for gift in gifts] or [about_mask] * len(image)
        for index in cut.missed:
            warnings[index] = "Nothing is marked in this picture: it is kept whole."
        shown = cut_out = image_to(cut.images_B3SS)
        if any(warnings):
            shown = subject_preview.captioned(cut.images_B3SS, [("", text) for text in warnings])
        return io.NodeOutput(
            cut_out, handed_on(cut.masks_BSS), ui=subject_preview.show(cls, [shown], warnings)
        )


NODES: list[type[Any]] = [SamplePicture, CutOutSubject]
