"""The node that holds the reference picture: a packaged sample, or the artist's own file.

It is an output node with a preview: see lazy_previews.py.
"""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io

from echogen_core.pictures import open_frames
from echogen_core.subject import samples

from . import linked_names, memory_checks, notices, reference_files
from .adapters import CATEGORY, address_of, image_from_pil, schema, to_intermediate

_FILE = linked_names.FileInput("reference picture", reference_files.find)


class ReferencePicture(io.ComfyNode):
    """A picture of the subject, from the pack or from the artist."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        names = reference_files.choices()
        return schema(
            node_id="EchoGenSamplePicture",
            display_name="Reference Picture (EchoGen)",
            category=f"{CATEGORY}/subject",
            description="The picture of your subject: choose a file, drop it on this node, or paste it. Some "
            "pictures come with the pack.",
            search_aliases=[
                "reference image",
                "image prompt",
                "ip adapter",
                "load image",
                "upload",
                "sample picture",
                "example image",
                "demo picture",
                "test image",
            ],
            is_output_node=True,
            has_intermediate_output=True,
            inputs=[
                io.Combo.Input(
                    "picture",
                    options=names,
                    default=names[0] if names else None,
                    upload=io.UploadType.image,
                    tooltip="Your own picture: use the button, drop a file on the node, or paste it. Listed "
                    "are the pack's pictures and those in ComfyUI's input folder.",
                )
            ],
            outputs=[
                io.Image.Output("image", display_name="image", tooltip="The picture."),
                io.Mask.Output(
                    "mask",
                    display_name="mask",
                    tooltip="White where you painted in the mask editor, or where your picture is "
                    "transparent, as Load Image gives it. White on the subject for the pack's pictures.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, picture: Any = None) -> bool | str:
        checked = _FILE.check(picture)
        return f"picture: {checked}" if isinstance(checked, str) else checked

    @classmethod
    def fingerprint_inputs(cls, picture: Any = None) -> Any:
        return _FILE.fingerprint(picture)

    @classmethod
    def execute(cls, picture: str) -> io.NodeOutput:
        path = _FILE.file(picture)
        sample = reference_files.sample_of(picture)
        own = sample is None
        frames = open_frames(path, memory_checks.require_for_frames)
        both = [image_from_pil(frame) for frame in frames]
        image, mask = (torch.cat(each) for each in zip(*both, strict=True))
        marks_subject = sample is not None and sample.parent == samples.FOLDER
        if frames[0].mode == "RGBA" and not marks_subject:
            mask = 1 - mask  # as Load Image gives it
        shown = address_of(path) if own else {"filename": picture, "subfolder": "", "type": "input"}
        hides_sample = own and samples.find_packaged(picture) is not None
        said = [f"Your own {picture} is used, not the pack's picture of that name."] if hides_sample else []
        ui = {"images": [shown], "animated": (False,), **notices.shown(said)}
        return io.NodeOutput(to_intermediate(image), to_intermediate(mask), ui=ui)


NODES: list[type[Any]] = [ReferencePicture]
