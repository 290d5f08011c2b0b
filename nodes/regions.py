"""The node that gives a part of the picture a subject, a prompt or guidance of its own.

It is an output node with a preview: see lazy_previews.py.
"""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io
from PIL import ImageDraw, ImageFont
from torch import Tensor

from echogen_core.editing import AREAS, area_mask, marked_box
from echogen_core.editing.areas import SIDE
from echogen_core.features import ContentFeatures, SemanticFeatures, TextFeatures
from echogen_core.pictures import to_pil
from echogen_core.subject.masks import MaskMarks, read_masks
from echogen_core.subject.notes import EMPTY_MASK

from . import adapters, memory_checks, subject_preview
from .adapters import CATEGORY, image_from_pil, pictures_from, schema
from .edit_wires import LIKE_MAIN, RegionInputs
from .guidance import GAMMA_MAX

_COLOURS = ((66, 133, 244), (244, 160, 0), (15, 157, 88), (219, 68, 55), (171, 71, 188), (0, 172, 193))
_TINT = 0.55  # of a region's colour over the picture
_NUMBER = 72  # pixels of a region's number


class SubjectRegion(io.ComfyNode):
    """A part of the picture with conditions of its own."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenSubjectRegion",
            display_name="Subject Region (regional prompt)",
            category=f"{CATEGORY}/sampling",
            description="Gives a part of the picture a subject, a prompt or guidance of its own. Chain "
            "several for several subjects in one scene.",
            search_aliases=[
                "regional prompt",
                "two subjects",
                "area",
                "mask conditioning",
                "attention couple",
            ],
            is_output_node=True,
            has_intermediate_output=True,
            inputs=[*_region_sockets(), *_region_widgets()],
            outputs=[
                adapters.Regions.Output(
                    "regions", display_name="regions", tooltip="For the sampler's regions, or a next region."
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        area: str,
        gamma_t: float,
        gamma_i: float,
        semantic: SemanticFeatures | None = None,
        content: ContentFeatures | None = None,
        text: TextFeatures | None = None,
        mask: Tensor | None = None,
        previous: tuple[RegionInputs, ...] = (),
        image: Tensor | None = None,
    ) -> io.NodeOutput:
        ground_13HW = _ground(image)
        mask_HW, said = _mask(mask, None if image is None else ground_13HW, area)
        own = RegionInputs(mask_HW, text, semantic, content, gamma_t, gamma_i)
        if semantic is None and content is None and text is None:
            said.append("Neither a subject nor a prompt is connected: here the model draws what it likes.")
        regions = (*previous, own)
        shown = _drawn(ground_13HW, [region.mask_HW for region in regions])
        return io.NodeOutput(regions, ui=subject_preview.show(cls, [shown], said, said, captioned=False))


def _region_sockets() -> list[Any]:
    return [
        adapters.Semantic.Input(
            "semantic", optional=True, tooltip="The subject that is drawn here, from Encode Semantic."
        ),
        adapters.Content.Input("content", optional=True, tooltip="Its fine detail, from Encode Content."),
        adapters.Text.Input(
            "text",
            optional=True,
            tooltip="A prompt for this part, from Encode Text. Not connected: the sampler's.",
        ),
        io.Mask.Input(
            "mask", optional=True, tooltip="White where it applies. Not connected: the area chosen below."
        ),
        adapters.Regions.Input("previous", optional=True, tooltip="Other regions, from Subject Region."),
        io.Image.Input(
            "image", optional=True, tooltip="A picture to show the regions on, such as the one you edit."
        ),
    ]


def _region_widgets() -> list[Any]:
    gammas = {"gamma_t": ("γ_t (prompt)", "prompt"), "gamma_i": ("γ_I (subject)", "subject")}
    return [
        io.Combo.Input(
            "area",
            options=list(AREAS),
            default="left half",
            tooltip="The part of the picture, unless a mask is connected.",
        ),
        *(
            io.Float.Input(
                name,
                display_name=label,
                default=LIKE_MAIN,
                min=LIKE_MAIN,
                max=GAMMA_MAX,
                step=0.05,
                tooltip=f"How closely this part follows its {what}, 0 to 8. Below 0: as on the sampler.",
            )
            for name, (label, what) in gammas.items()
        ),
    ]


def _ground(image_BHWC: Tensor | None) -> Tensor:
    """[1, 3, H, W]: the picture that regions are shown on; a plain one without."""
    if image_BHWC is None:
        return torch.full((1, 3, SIDE, SIDE), 0.5)
    return pictures_from(image_BHWC, "picture")[:1]


def _mask(mask: Tensor | None, picture_13HW: Tensor | None, area: str) -> tuple[Tensor, list[str]]:
    """[H, W] of the mask, or of the area where there is none, and what to say."""
    if mask is None:
        return area_mask(area), []
    memory_checks.require_for_pictures(mask, "masks")
    if picture_13HW is None:  # then any proportions will do: a mask is stretched over what is drawn
        picture_13HW = torch.zeros(1, 3, *mask.shape[-2:]) if mask.ndim > 1 else _ground(None)
    (given,) = read_masks(mask, picture_13HW, MaskMarks.SUBJECT)
    if given.mask_HW is None:
        reason = (given.note or EMPTY_MASK).removesuffix(".")
        return area_mask(area), [f"{reason}: the region is the {area}."]
    several = mask.ndim > 2 and len(mask) > 1
    return given.mask_HW, [f"{len(mask)} masks were joined into one region."] if several else []


def _drawn(ground_13HW: Tensor, masks: list[Tensor]) -> Tensor:
    """[1, h, w, 3]: the ground with the regions in their colours, and their numbers."""
    shown_13hw = subject_preview.at_preview_size(ground_13HW)
    for number, mask_HW in enumerate(masks):
        cover_11hw = torch.nn.functional.interpolate(
            mask_HW[None, None].float(), shown_13hw.shape[-2:], mode="bilinear", antialias=True
        ).clamp(0, 1)
        colour_1311 = torch.tensor(_COLOURS[number % len(_COLOURS)]).view(1, 3, 1, 1) / 255
        shown_13hw = torch.lerp(shown_13hw, colour_1311.expand_as(shown_13hw), _TINT * cover_11hw)
    picture = to_pil(shown_13hw[0])
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(_NUMBER)
    for number, mask_HW in enumerate(masks, 1):
        box = marked_box(mask_HW)
        if box is not None:
            across, down = picture.width / mask_HW.shape[1] / 2, picture.height / mask_HW.shape[0] / 2
            middle = (across * (box[0] + box[2]), down * (box[1] + box[3]))
            draw.text(middle, str(number), "white", font, "mm", stroke_width=5, stroke_fill="black")
    return image_from_pil(picture)[0]


NODES: list[type[Any]] = [SubjectRegion]
