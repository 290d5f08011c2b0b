"""An edit: a picture, where it may change, and how its subject gets into it. Training-free, not in the paper.

Shape suffixes: B pictures to edit, N drawn pictures, C channels, D bits per token, H W size of the picture to
edit, h w size of the canvas. Sizes in pixels, masks 1 where the picture may change.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor
from torch.nn import functional as F

from ..config import Preset
from ..pictures import reduced
from ..sampling.kept_bits import THRESHOLD, Target, free_tokens
from ..sampling.region_guidance import check_mask
from ..scales import ScaleSchedule, nearest_preset_schedule
from ..subject.masks import PRESENT, is_empty
from ..subject.notes import by_picture
from ..subject.refine import LARGEST_SOFTNESS, soften
from ..utils.printable import counted
from .framing import Fit, Frame, PixelBox, marked_box
from .paste_back import paste_back

FEATHER = 4.0
"""Pixels of the picture over which an edit's edge fades, by default."""
_MISSED = "No subject stood out, so the mask was drawn anew as a whole. Raise γ_I, or try another seed."
_STRAYED = (
    "Much of the subject lies outside of what is painted: it fills the paint's box. Paint about as wide and "
    "tall as the subject."
)
_STRAY = 1 / 3  # share of a subject outside of the paint, from which it is said
_SMALL = 12  # pixels of a mask's box, below which a placed subject can hardly be seen
_BLEND = 1.5  # tokens of the last scale
_OUTLINE = 1 / 128
"""Softness of a placed subject's outline, as a share of the canvas's longer side."""


class Way(str, Enum):
    """What is drawn where a picture may change.

    REDRAW: subject and ground, in the prompt's scene. PLACE: the subject alone, as large as the mask allows;
    the ground around it stays the picture's.
    """

    REDRAW = "redraw"
    PLACE = "place"


@dataclass(frozen=True, eq=False)
class Canvas:
    """What the model sees of the pictures, and where it may change that.

    frames: one for all, or one per picture. pictures_B3hw, masks_Bhw: on the canvas, one or N. masks_BHW: the
    same at the pictures' own size, as far as the canvas shows them. fine_masks_Bhw: what the fine scales may
    change, where that is less. missed, strayed: drawn pictures in which no subject was found to be placed, or
    where much of it lies outside of what the picture's mask marks.
    """

    frames: tuple[Frame, ...]
    pictures_B3hw: Tensor
    masks_Bhw: Tensor
    masks_BHW: Tensor
    fine_masks_Bhw: Tensor | None = None
    missed: tuple[int, ...] = ()
    strayed: tuple[int, ...] = ()

    @property
    def note(self) -> str:
        """What to say of subjects that weren't found, or don't fit their masks; '' for nothing."""
        causes = ((self.missed, _MISSED), (self.strayed, _STRAYED))
        pictures = range(len(self.frames))
        of_each = [[note if index in which else "" for index in pictures] for which, note in causes]
        return " ".join(said for notes in of_each for said in by_picture(notes))

    def region_mask(self, mask_HW: Tensor) -> Tensor:
        """[h, w]: a region's mask, which is stretched over the pictures, as the canvas shows it.

        Raises ValueError where the pictures' frames differ.
        """
        frames = set(self.frames)
        if len(frames) > 1:
            raise ValueError(
                "Regions lie on one picture, but the pictures to edit are framed in "
                f"{len(frames)} ways. Edit one picture, or set fit to crop."
            )
        size_hw = tuple(self.masks_BHW.shape[-2:])
        if tuple(mask_HW.shape) != size_hw:
            mask_HW = F.interpolate(mask_HW[None, None].float(), size_hw, mode="bilinear")[0, 0].clamp(0, 1)
        return frames.pop().mask_onto_canvas(mask_HW[None])[0]


@dataclass(frozen=True, eq=False)
class Edit:
    """Pictures to edit.

    pictures_B3HW: 0..1, of any size. masks_BHW: of their size, one or one per picture, 0..1. schedule: of the
    canvas. fit: which part of the pictures the canvas shows; PLACE takes what fits the subject into the mask.
    keep_scales: scales that stay the picture's everywhere, of PLACE the composite's: layout and light.
    feather: pixels over which the edge fades, 0 to 64.
    Raises ValueError for anything out of range, masks of another size or number, and nothing to change.
    """

    pictures_B3HW: Tensor
    masks_BHW: Tensor
    schedule: ScaleSchedule
    way: Way = Way.REDRAW
    fit: Fit = Fit.CROP
    keep_scales: int = 0
    feather: float = FEATHER

    def __post_init__(self) -> None:
        check_mask(self.masks_BHW, 3, "edit")
        size, mask_size = tuple(self.pictures_B3HW.shape[-2:]), tuple(self.masks_BHW.shape[-2:])
        if self.pictures_B3HW.ndim != 4 or size != mask_size:
            raise ValueError(
                f"The picture to edit is {size[1]}×{size[0]} px, the mask {mask_size[1]}×{mask_size[0]} px: "
                "expected the same size."
            )
        if len(self.masks_BHW) not in (1, len(self.pictures_B3HW)):
            raise ValueError(
                f"Expected one mask, or one for each of the {len(self.pictures_B3HW)} pictures, got "
                f"{len(self.masks_BHW)}."
            )
        empty = [number for number, mask_HW in enumerate(self.masks_BHW, 1) if is_empty(mask_HW)]
        if empty:
            raise ValueError(
                f"The edit's mask {empty[0]} is empty: nothing may change. Paint where it may, or leave the "
                "mask out."
            )
        scales = len(self.schedule.scales)
        if not 0 <= self.keep_scales <= scales:
            raise ValueError(
                f"This size has {scales} scales, so expected 0 to {scales} of them to keep, got "
                f"{self.keep_scales}."
            )
        if not 0 <= self.feather <= LARGEST_SOFTNESS:
            raise ValueError(f"feather must be 0 to {LARGEST_SOFTNESS:g} pixels, got {self.feather}.")

    @classmethod
    def of(
        cls,
        preset: Preset,
        pictures_B3HW: Tensor,
        masks_BHW: Tensor,
        *,
        way: Way = Way.REDRAW,
        fit: Fit = Fit.CROP,
        keep_scales: int = 0,
        feather: float = FEATHER,
        budget: str | None = None,
    ) -> Edit:
        """An edit for a model of that preset, with the aspect ratio that suits what the canvas shows.

        budget: None for the one that the model was trained for. Raises ValueError as the class, and as
        `preset_schedule`.
        """
        schedule = nearest_preset_schedule(preset, budget, *_shown_hw(masks_BHW, way, fit))
        return cls(pictures_B3HW, masks_BHW, schedule, way, fit, keep_scales, feather)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the pictures."""
        height, width = self.pictures_B3HW.shape[-2:]
        return height, width

    @property
    def count(self) -> int:
        """Pictures to edit."""
        return len(self.pictures_B3HW)

    def check(self, pictures: int, regions: int) -> None:
        """Raises ValueError where it does not go with a batch of that size, or with so many regions."""
        if self.count not in (1, pictures):
            raise ValueError(
                f"The edit holds {counted(self.count, 'picture')}, the run draws "
                f"{counted(pictures, 'picture')}: edit one picture, or draw a batch of {self.count}."
            )
        if self.way is Way.PLACE and regions:
            raise ValueError(
                "Place puts one subject into the picture, and regions hold several. Choose redraw, or place "
                "the subjects one after another: edit the result again."
            )

    @property
    def mask_note(self) -> str:
        """What to say of the masks that subjects are to be placed in; '' for nothing."""
        if self.way is Way.REDRAW:
            return ""
        boxes = [self._box(index) for index in range(self.count)]
        said = [
            "The mask has several parts: the subject goes into the largest."
            if any(box != marked_box(self._mask(index)[0]) for index, box in enumerate(boxes))
            else "",
            *(
                f"The mask is only {across}×{down} px, and the subject goes into it whole: enlarge it."
                for across, down in ((box[2] - box[0], box[3] - box[1]) for box in boxes)
                if min(across, down) < _SMALL
            ),
        ]
        return " ".join(note for note in dict.fromkeys(said) if note)

    def unchanged_note(self, canvas: Canvas) -> str:
        """What to say where nothing of a canvas would be drawn; '' where something is."""
        if self.keep_scales == len(self.schedule.scales):
            kept = "so the subject is pasted as it is" if self.way is Way.PLACE else "so nothing changes"
            return f"All scales are kept, {kept}. Keep fewer."
        last = len(self.schedule.scales) - 1
        masks = (canvas.masks_Bhw, canvas.fine_masks_Bhw)
        if bool(free_tokens(self.schedule, last, THRESHOLD, *masks).any()):
            return ""
        if 0 < float(canvas.masks_BHW.max()) <= THRESHOLD:
            return f"Nothing changes: the mask is too faint. Paint it stronger than {THRESHOLD:g}."
        if self.fit is Fit.AROUND:
            return "Nothing changes: what may change is smaller than a token. Grow the mask."
        return (
            "Nothing changes: what may change is smaller than a token, or outside of what the model sees. "
            "Grow the mask, or set fit to “around the mask”."
        )

    def redrawn(self) -> Canvas:
        """The canvas on which the masks are drawn anew."""
        frames = self._frames()
        pictures = [frame.onto_canvas(self._picture(i)) for i, frame in enumerate(frames)]
        masks = [frame.mask_onto_canvas(self._mask(i)) for i, frame in enumerate(frames)]
        shown = [self._mask(i) * frame.shown_HW for i, frame in enumerate(frames)]
        fine = [self._fine_mask(self._mask(i), frame) for i, frame in enumerate(frames)]
        return Canvas(frames, torch.cat(pictures), torch.cat(masks), torch.cat(shown), torch.cat(fine))

    def placed(self, plain_N3hw: Tensor, footprints_Nhw: Tensor) -> Canvas:
        """The canvas into which subjects drawn in plain pictures are put.

        plain_N3hw: pictures of the canvas's size, or enlarged like `pasted_back`'s. footprints_Nhw: of their
        size, 1 on their subjects, e.g. by the built-in cut. The frame is what brings a footprint into the
        picture's mask, so the subject stays where the model drew it. Where no subject was found, the mask is
        drawn anew instead.
        """
        plain_N3hw = reduced(plain_N3hw, self.schedule.pixels_hw)
        footprints_Nhw = reduced(footprints_Nhw[:, None], self.schedule.pixels_hw)[:, 0]
        one_each = [
            self._placed(i if self.count > 1 else 0, plain_3hw, footprint_hw)
            for i, (plain_3hw, footprint_hw) in enumerate(zip(plain_N3hw, footprints_Nhw, strict=True))
        ]
        return Canvas(
            tuple(frame for one in one_each for frame in one.frames),
            torch.cat([one.pictures_B3hw for one in one_each]),
            torch.cat([one.masks_Bhw for one in one_each]),
            torch.cat([one.masks_BHW for one in one_each]),
            missed=tuple(i for i, one in enumerate(one_each) if one.missed),
            strayed=tuple(i for i, one in enumerate(one_each) if one.strayed),
        )

    def target(self, canvas: Canvas, latent_BDhw: Tensor) -> Target:
        """What the sampler keeps of a canvas; latent_BDhw: its pictures' latents."""
        return Target(latent_BDhw, canvas.masks_Bhw, self.keep_scales, fine_mask_BHW=canvas.fine_masks_Bhw)

    def pasted_back(self, canvas: Canvas, edited_N3hw: Tensor) -> Tensor:
        """[N, 3, H, W]: the pictures at their own size, changed inside the canvas's masks alone.

        edited_N3hw: as drawn, or enlarged since. Raises ValueError for other proportions, or another number.
        """
        parts, drawn = len(canvas.frames), len(edited_N3hw)
        if parts not in (1, drawn) or self.count not in (1, drawn):
            raise ValueError(
                f"This edit was drawn as {counted(max(parts, self.count), 'picture')}, each with a place of "
                f"its own, got {drawn}: paste all of them back, and choose among the results."
            )
        count = drawn
        masks_NHW = canvas.masks_BHW.expand(count, -1, -1)
        frames = canvas.frames * count if parts == 1 else canvas.frames
        return torch.cat(
            [
                paste_back(
                    self._picture(i), edited_N3hw[i][None], masks_NHW[i][None], frames[i], self.feather
                )
                for i in range(count)
            ]
        )

    def _fine_mask(self, mask_1HW: Tensor, frame: Frame) -> Tensor:
        """[1, h, w]: where the fine scales are drawn, which ends _BLEND tokens inside what may change.

        The decoder mixes neighbouring tokens: drawn right up to the mask's edge, they would show outside of
        it. What lies between blends the two.
        """
        mask_1hw = frame.mask_onto_canvas(mask_1HW)
        shown_1hw = frame.mask_onto_canvas(torch.ones_like(mask_1HW))
        token = self.schedule.pixels_hw[0] / self.schedule.scales[-1][0]
        # What pads the picture is no edge of the mask.
        fine_1hw = inset(1 - (shown_1hw - mask_1hw), round(_BLEND * token))
        return (fine_1hw > THRESHOLD) * shown_1hw

    def _picture(self, index: int) -> Tensor:
        return self.pictures_B3HW[index if self.count > 1 else 0][None]

    def _mask(self, index: int) -> Tensor:
        return self.masks_BHW[index if len(self.masks_BHW) > 1 else 0][None]

    def _frames(self) -> tuple[Frame, ...]:
        """One for each picture, as masks may differ; of PLACE around the masks."""
        canvas_hw = self.schedule.pixels_hw
        if self.fit is not Fit.AROUND and self.way is Way.REDRAW:
            return (Frame.of(self.size_hw, canvas_hw, self.fit),) * self.count
        boxes = [self._box(i) for i in range(self.count)]
        return tuple(Frame.around(box, self.size_hw, canvas_hw) for box in boxes)

    def _box(self, index: int) -> PixelBox:
        """Of what may change; where a subject is to be placed, of the largest part."""
        box = marked_box(self._mask(index)[0], largest=self.way is Way.PLACE)
        assert box is not None  # checked on creation
        return box

    def _placed(self, index: int, plain_3hw: Tensor, footprint_hw: Tensor) -> Canvas:
        foot_hw = (footprint_hw > 0.5).float()
        part = marked_box(foot_hw)
        if part is None:
            one = Edit(self._picture(index), self._mask(index), self.schedule, fit=Fit.AROUND).redrawn()
            return Canvas(one.frames, one.pictures_B3hw, one.masks_Bhw, one.masks_BHW, missed=(0,))
        canvas_hw = self.schedule.pixels_hw
        frame = Frame.bringing(part, self._box(index), self.size_hw, canvas_hw)
        canvas_13hw = frame.onto_canvas(self._picture(index))
        soft_hw = soften(foot_hw, _OUTLINE * max(canvas_hw))
        composite_13hw = torch.lerp(canvas_13hw, plain_3hw[None].to(canvas_13hw), soft_hw.to(canvas_13hw))
        nothing_11HW = canvas_13hw.new_zeros(1, 1, *self.size_hw)
        mask_1HW = frame.from_canvas(foot_hw[None, None], nothing_11HW)[:, 0]
        # Frames are of whole pixels, and resizing blurs: nothing may change outside the box for that.
        left, top, right, bottom = self._box(index)
        inside_1HW = torch.zeros_like(mask_1HW)
        inside_1HW[:, top:bottom, left:right] = mask_1HW[:, top:bottom, left:right]
        outside = float((inside_1HW * (self._mask(index) <= PRESENT)).sum())
        strayed = (0,) if outside > _STRAY * float(inside_1HW.sum()) else ()
        return Canvas((frame,), composite_13hw, foot_hw[None], inside_1HW, strayed=strayed)


def grown(masks_BHW: Tensor, pixels: int) -> Tensor:
    """[B, H, W]: masks that reach that many pixels further to every side."""
    if pixels < 1:
        return masks_BHW
    return _window_max(_window_max(masks_BHW, pixels, 1), pixels, 2)


def inset(masks_BHW: Tensor, pixels: int) -> Tensor:
    """[B, H, W]: masks that end that many pixels further inside; the pictures' own edges are none of theirs.

    Parts narrower than eight times that end half as far inside, and so on: little is left of them as it is.
    """
    if pixels < 1:
        return masks_BHW
    outside_BHW = 1 - masks_BHW
    wide_BHW = grown(1 - grown(outside_BHW, 4 * pixels), 4 * pixels)
    inside_BHW = torch.minimum(1 - grown(outside_BHW, pixels), wide_BHW)
    return torch.maximum(inside_BHW, inset(masks_BHW - wide_BHW, pixels // 2))


def _window_max(x_BHW: Tensor, pixels: int, axis: int) -> Tensor:
    """The greatest value within that many pixels along an axis.

    By windows of doubling width: a pooling of 513 pixels takes half a minute for a photograph.
    """
    x_BHW = F.pad(x_BHW, (0, 0, pixels, pixels) if axis == 1 else (pixels, pixels))
    width, reached = 2 * pixels + 1, 1
    while reached < width:
        step = min(reached, width - reached)
        count = x_BHW.shape[axis] - step
        x_BHW = torch.maximum(x_BHW.narrow(axis, 0, count), x_BHW.narrow(axis, step, count))
        reached += step
    return x_BHW


def _shown_hw(masks_BHW: Tensor, way: Way, fit: Fit) -> tuple[int, int]:
    """Height and width of what the canvas has to show."""
    box = marked_box(masks_BHW.amax(0))
    if box is None or (way is Way.REDRAW and fit is not Fit.AROUND):
        height, width = masks_BHW.shape[-2:]
        return height, width
    return box[3] - box[1], box[2] - box[0]
