"""Nodes that read a picture of the artist's, to change a part of it, and put the result back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from echogen_core.editing import CONTEXT, FEATHER, Canvas, Edit, Fit, Frame, Way, grown
from echogen_core.editing.framing import PixelBox
from echogen_core.sampling import Bits
from echogen_core.scales import nearest_preset_schedule
from echogen_core.subject.masks import GivenMask, MaskMarks, read_masks
from echogen_core.subject.notes import WHOLE_MASK, by_picture
from echogen_core.subject.regions import extent
from echogen_core.tokenizer.bsq import quantize_multiscale

from . import adapters, drawing, memory_checks, notices, phases, runtime, subject_preview
from .adapters import CATEGORY, advanced, pictures_from, schema, to_image
from .edit_wires import PictureEdit
from .sampling import AUTO_SIZE, SIZES
from .user_inputs import union_warning

_MOST_GROWTH = 256  # pixels
_LOST = 0.02  # share of a picture that isn't shown, from which it is said


class EncodeBits(io.ComfyNode):
    """Picture to bits."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenEncodeBits",
            display_name="Encode Bits",
            category=f"{CATEGORY}/editing",
            description="Turns a picture into the bits that the model draws with. Decode Bits shows how much "
            "of the picture they hold.",
            search_aliases=["vae encode", "image to bits", "tokenizer encode"],
            has_intermediate_output=True,
            inputs=[
                io.Image.Input("image", tooltip="One or several pictures of any size."),
                adapters.Tokenizer.Input("tokenizer", tooltip="From Load EchoGen."),
                _fit_input([Fit.CROP, Fit.PAD, Fit.STRETCH], Fit.CROP),
                _size_input(),
            ],
            outputs=[
                adapters.Bits.Output("bits", display_name="bits", tooltip="For Decode Bits."),
                io.Image.Output(
                    "fitted",
                    display_name="image",
                    tooltip="The picture at the size that Decode Bits gives it, to compare with.",
                ),
            ],
        )

    @classmethod
    def execute(cls, image: Tensor, tokenizer: runtime.Managed, fit: str, size: str) -> io.NodeOutput:
        images_B3HW = pictures_from(image, "picture", full_size=True)
        height, width = images_B3HW.shape[-2:]
        schedule = nearest_preset_schedule(tokenizer.preset, _budget(size), height, width)
        frame = Frame.of((height, width), schedule.pixels_hw, Fit(fit))
        latents_BDhw = phases.encode(tokenizer, frame.onto_canvas(images_B3HW))
        bits = tuple(quantize_multiscale(latents_BDhw, schedule.scales).bits)
        drawn_hw = tokenizer.module.config.drawn_hw(schedule.scales[-1])
        fitted_B3hw = replace(frame, canvas_hw=drawn_hw).onto_canvas(images_B3HW)
        return io.NodeOutput(Bits(schedule, bits), to_image(fitted_B3hw), ui=notices.shown(_lost_note(frame)))


class EditPicture(io.ComfyNode):
    """A picture, and where it may change."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenEditPicture",
            display_name="Edit Picture (inpaint)",
            category=f"{CATEGORY}/editing",
            description="Puts your subject into a picture of your own: paint where it should be. Connect "
            "edit to the sampler's input of that name, and the sampler's edit output to Paste Back.",
            search_aliases=[
                "inpaint",
                "insert subject",
                "image to image",
                "img2img",
                "vae encode for inpainting",
            ],
            is_output_node=True,
            has_intermediate_output=True,
            inputs=_edit_inputs(),
            outputs=[
                adapters.Edit.Output("edit", display_name="edit", tooltip="For the sampler's edit input.")
            ],
        )

    @classmethod
    def execute(
        cls,
        image: Tensor,
        tokenizer: runtime.Managed,
        way: str,
        keep_scales: int,
        grow: int,
        feather: float,
        fit: str,
        size: str,
        mask: Tensor | None = None,
    ) -> io.NodeOutput:
        images_B3HW = pictures_from(image, "picture", full_size=True)
        masks_BHW, said = _masks(mask, images_B3HW, Way(way))
        masks_BHW = grown(masks_BHW, grow)
        edit = Edit.of(
            tokenizer.preset,
            images_B3HW,
            masks_BHW,
            way=Way(way),
            fit=Fit(fit),
            keep_scales=keep_scales,
            feather=feather,
            budget=_budget(size),
        )
        made = PictureEdit(edit, tokenizer)
        seen: list[PixelBox | None] = [None] * edit.count
        if edit.way is Way.REDRAW:
            canvas = edit.redrawn()
            made = drawing.on_canvas(made, canvas)
            seen = [_seen(frame) for frame in canvas.frames]
            said += [_unseen_note(edit, canvas), edit.unchanged_note(canvas)]
        else:
            ignored = "Fit has no effect with place, which sees what fits the subject into the mask."
            said += [edit.mask_note, ignored if edit.fit is not Fit.AROUND else ""]
        said = [note for note in said if note]
        shown = subject_preview.marked(images_B3HW, masks_BHW, seen)
        return io.NodeOutput(made, ui=subject_preview.show(cls, [shown], said, said, captioned=False))


def _edit_inputs() -> list[Any]:
    """Of EditPicture; saved workflows rely on their order."""
    return [
        io.Image.Input("image", tooltip="The picture to change, of any size."),
        adapters.Tokenizer.Input("tokenizer", tooltip="From the Load EchoGen of the sampler's model."),
        io.Mask.Input(
            "mask",
            optional=True,
            tooltip="White where the picture may change: paint it in the mask editor. Not connected: "
            "everywhere, for use with keep scales.",
        ),
        io.Combo.Input(
            "way",
            display_name="mode",
            options=[way.value for way in Way],
            default=Way.PLACE.value,
            tooltip="place: the subject alone, as large as the mask, on the picture's own "
            "background. redraw: everything in the mask, in the prompt's scene.",
        ),
        io.Int.Input(
            "keep_scales",
            display_name="keep scales",
            default=0,
            min=0,
            max=13,
            tooltip="How many coarse scales stay as they are in the picture: its light and colours, "
            "with all of them the picture. To keep its layout, name the place in the prompt as well. "
            "nano has 5 scales, EchoGen-2B 13.",
        ),
        io.Int.Input(
            "grow",
            display_name="grow mask",
            default=0,
            min=0,
            max=_MOST_GROWTH,
            tooltip="Widens the mask by this many of your picture's pixels, 0 to 256.",
        ),
        io.Float.Input(
            "feather",
            default=FEATHER,
            min=0.0,
            max=64.0,
            step=0.5,
            tooltip="Over how many pixels Paste Back blends the edge, 0 to 64.",
        ),
        _fit_input(list(Fit), Fit.AROUND),
        _size_input(),
    ]


class PasteBack(io.ComfyNode):
    """The edited picture in the original."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenPasteBack",
            display_name="Paste Back",
            category=f"{CATEGORY}/editing",
            description="Puts what was drawn back into your picture, at your picture's own size. Beyond the "
            "feathered edge of what was drawn, every pixel stays as it was.",
            search_aliases=["stitch", "inpaint", "composite", "uncrop"],
            inputs=[
                io.Image.Input(
                    "image", tooltip="From Decode Bits. For a large picture, put an upscaler in between."
                ),
                adapters.Edit.Input("edit", tooltip="From the sampler that drew it: its edit output."),
            ],
            outputs=[
                io.Image.Output("pasted", display_name="image", tooltip="Your picture with what was drawn."),
                io.Mask.Output(
                    "changed",
                    display_name="mask",
                    tooltip="White where something was drawn, without the feathered edge.",
                ),
            ],
        )

    @classmethod
    def execute(cls, image: Tensor, edit: PictureEdit) -> io.NodeOutput:
        if edit.canvas is None:
            raise ValueError(
                "This edit is not drawn yet, so where the subject is isn't known. Connect the edit output of "
                "EchoGen Sampler, not Edit Picture's."
            )
        drawn_N3hw = pictures_from(image, "edited picture", full_size=True)
        originals_B3HW = edit.edit.pictures_B3HW
        count = max(len(drawn_N3hw), len(originals_B3HW))
        memory_checks.require_for_pictures(originals_B3HW[:1].expand(count, -1, -1, -1), "pictures")
        pasted_N3HW = edit.edit.pasted_back(edit.canvas, drawn_N3hw)
        changed_BHW = edit.canvas.masks_BHW.expand(len(pasted_N3HW), -1, -1)
        return io.NodeOutput(to_image(pasted_N3HW), adapters.to_intermediate(changed_BHW))


def _fit_input(choices: list[Fit], default: Fit) -> Any:
    tooltip = (
        "What the model sees of your picture. crop: its middle. pad: all of it, with its edges continued. "
        "stretch: all of it, distorted."
    )
    if Fit.AROUND in choices:
        tooltip += (
            f" around the mask: {CONTEXT:g} times the mask's size, for fine detail in large pictures. place "
            "always sees what fits the subject into the mask."
        )
    return io.Combo.Input(
        "fit", options=[each.value for each in choices], default=default.value, tooltip=tooltip
    )


def _size_input() -> Any:
    return advanced(
        io.Combo.Input,
        "size",
        options=SIZES,
        default=AUTO_SIZE,
        tooltip="Size that the model draws at. auto: what it was trained at. The aspect ratio is the nearest "
        "to your picture's.",
    )


def _masks(mask: Tensor | None, images_B3HW: Tensor, way: Way) -> tuple[Tensor, list[str]]:
    """[B, H, W], and what to say; everything where there is none. PLACE needs one."""
    given: list[GivenMask] = []
    if mask is not None:
        memory_checks.require_for_pictures(mask, "masks")
        given = read_masks(mask, images_B3HW, MaskMarks.SUBJECT)
    if all(each.mask_HW is None for each in given):
        if way is Way.PLACE:
            raise ValueError(
                "The mask is missing or empty: expected white where the subject should be. Paint it in the "
                "mask editor, or choose redraw to change the whole picture."
            )
        said = [] if mask is None else ["The mask is empty: the whole picture may change."]
        return torch.ones(images_B3HW[:, 0].shape), said
    nothing = torch.zeros(images_B3HW.shape[-2:])
    masks_BHW = torch.stack([nothing if each.mask_HW is None else each.mask_HW for each in given])
    about = by_picture(["" if each.note == WHOLE_MASK else each.note for each in given])
    return masks_BHW, [*about, union_warning(mask, len(images_B3HW))]


def _budget(size: str) -> str | None:
    return None if size == AUTO_SIZE else size


def _seen(frame: Frame) -> PixelBox | None:
    """The part of a picture that the canvas shows; None for all of it."""
    return extent(frame.shown_HW) if frame.lost else None


def _lost_note(frame: Frame) -> list[str]:
    if frame.lost < _LOST:
        return []
    return [
        f"{frame.lost:.0%} of the picture is outside what the model sees. Set fit to pad to see all of it."
    ]


def _unseen_note(edit: Edit, canvas: Canvas) -> str:
    """Says how much of the masks the model doesn't see."""
    seen = float(canvas.masks_BHW.sum() / edit.masks_BHW.expand_as(canvas.masks_BHW).sum())
    if seen > 1 - _LOST:
        return ""
    return (
        f"{1 - seen:.0%} of the mask is outside what the model sees, and stays. Set fit to “around the "
        "mask”, or to pad."
    )


NODES: list[type[Any]] = [EncodeBits, EditPicture, PasteBack]
