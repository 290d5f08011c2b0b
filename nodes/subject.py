"""Nodes that turn a picture into the reference: a packaged sample, and the subject cut out."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui
from torch import Tensor

from echogen_core.subject import cutout, samples

from .adapters import CATEGORY, advanced, channels_first, image_from_pil, image_to, schema


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
        return io.NodeOutput(image, mask, ui=ui.PreviewImage(image, cls=cls))


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
            inputs=[
                io.Image.Input("image", tooltip="One or several pictures. Several are cut one by one."),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Where the subject is: from Load Image (transparency or mask editor) or any "
                    "segmentation node. Left open, the picture's own transparency or its plain border "
                    "decides; with a busy border the whole picture is taken.",
                ),
                io.Float.Input(
                    "margin",
                    default=cutout.DEFAULT_MARGIN,
                    min=0.0,
                    max=cutout.LARGEST_MARGIN,
                    step=0.01,
                    display_mode=io.NumberDisplay.slider,
                    tooltip="Free space on each side, as a share of the square's side (0 to 0.45). 0.08 "
                    "suits the models; more makes the subject smaller in the reference.",
                ),
                io.String.Input(
                    "background",
                    default="white",
                    tooltip="Colour of the ground: a name (white, grey) or hexadecimal (#ffffff). The "
                    "models were trained on white.",
                ),
                advanced(
                    io.Combo.Input,
                    "mask_marks",
                    options=[marks.value for marks in cutout.MaskMarks],
                    default=cutout.MaskMarks.AUTO.value,
                    tooltip="What the white part of the mask stands for. 'auto' takes a mask that covers the "
                    "picture's edge for the background, as Load Image makes it from transparency.",
                ),
            ],
            outputs=[
                io.Image.Output("cut_out", display_name="image", tooltip="The subject, squared and centred."),
                io.Mask.Output("cut_out_mask", display_name="mask", tooltip="White on the subject."),
            ],
        )

    @classmethod
    def execute(
        cls, image: Tensor, margin: float, background: str, mask_marks: str, mask: Tensor | None = None
    ) -> io.NodeOutput:
        cut = cutout.cut_out(
            channels_first(image),
            mask,
            margin,
            cutout.parse_colour(background),
            cutout.MaskMarks(mask_marks),
        )
        image = image_to(cut.images_B3SS)
        return io.NodeOutput(image, cut.masks_BSS, ui=ui.PreviewImage(image, cls=cls))


NODES: list[type[Any]] = [SamplePicture, CutOutSubject]
