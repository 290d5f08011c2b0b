"""Cutting the subject out: on a plain ground, squared and centred, nothing of it lost.

The reference that the encoders see. Official inference fills everything outside one detection box with white;
here any mask will do, and without one the picture's own plain border is taken for the ground.
Shape suffixes: B pictures, C channels, H height, W width, S side of the squared result. Values 0..1.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import ImageColor
from torch import Tensor
from torch.nn import functional as F

from ..pictures import LARGEST_WORKING_SIDE, check_pictures, fit_within
from ..utils.printable import printable
from .refine import pieces

log = logging.getLogger(__name__)

Colour = tuple[float, float, float]
Mask = npt.NDArray[np.bool_]

WHITE: Colour = (1.0, 1.0, 1.0)
DEFAULT_MARGIN = 0.08
"""Share of the squared picture left free on each side of the subject."""
LARGEST_MARGIN = 0.45
LARGEST_SQUARE = 4096
"""Pixels. A wide margin round a large subject would make a picture of gigabytes: it is reduced to this."""

_LONGEST_COLOUR = 100  # characters
_PRESENT = 2 / 255  # mask value from which a pixel belongs to the subject: soft edges count, noise does not
_GROUND_TOLERANCE = 0.06  # largest channel difference within a plain ground
_GROUND_SHARE = 0.9  # share of the border that must be plain for it to be taken for the ground
_PLACEHOLDER_HW = (64, 64)  # ComfyUI's LoadImage gives an empty 64 px mask for a picture without alpha


class MaskMarks(str, Enum):
    """What the white part of a mask stands for."""

    AUTO = "auto"
    SUBJECT = "subject"
    BACKGROUND = "background"


class Cutout(NamedTuple):
    """images_B3SS: the subjects on the ground; masks_BSS: where they are; source: how they were found.

    missed: pictures of a batch, counted from 0, whose mask was empty: they are kept whole.
    unused: whether masks were given that mark nothing in any picture.
    """

    images_B3SS: Tensor
    masks_BSS: Tensor
    source: str
    missed: tuple[int, ...] = ()
    unused: bool = False


def parse_colour(text: str) -> Colour:
    """'white', '#ffffff', 'rgb(255, 255, 255)' as red, green, blue in 0..1. Raises ValueError otherwise."""
    try:
        red, green, blue = ImageColor.getrgb(text.strip())[:3]
        if len(text) > _LONGEST_COLOUR or max(red, green, blue) > 255:
            raise ValueError
    except (ValueError, OverflowError):
        raise ValueError(
            f"Unknown colour '{printable(text, _LONGEST_COLOUR)}': expected a name such as white, or "
            "hexadecimal such as #ffffff."
        ) from None
    return red / 255, green / 255, blue / 255


def cut_out(
    images_BCHW: Tensor,
    masks_BHW: Tensor | None = None,
    margin: float = DEFAULT_MARGIN,
    background: Colour = WHITE,
    mask_marks: MaskMarks = MaskMarks.AUTO,
    only_largest: bool = False,
) -> Cutout:
    """Cut the subject out of each picture.

    images_BCHW: [B, 3 or 4, H, W]; a fourth channel serves as mask when none is given.
    masks_BHW: [B or 1, h, w]; of another size but the same proportions is resized. None: see `find_ground`.
    [N·B, h, w] are N masks for each picture, those of the first picture first: they are joined.
    margin: free share of the result on each side, 0 to 0.45; none where the subject is the whole picture.
    only_largest: of several subjects apart from each other, the one that covers most is kept.
    Pictures of a batch share the largest side, at most 4096 px; pictures over 2048 px are reduced first. One
    empty mask never stops a batch: see `Cutout.missed`. When all are empty they count as none, as those that
    ComfyUI's LoadImage gives opaque pictures.
    Raises ValueError for an unusable picture, a mask of other proportions, a margin out of range, or when
    there is nothing to cut out.
    """
    if not 0 <= margin <= LARGEST_MARGIN:
        raise ValueError(f"The margin must be 0 to {LARGEST_MARGIN} of the picture's side, got {margin}.")
    pictures_BCHW = _reduced(check_pictures(images_BCHW, "picture to cut from"))
    facing_BHW = None
    if masks_BHW is not None:
        count, _, height, width = pictures_BCHW.shape
        facing_BHW = facing_masks(masks_BHW, (count, height, width), MaskMarks(mask_marks))
    unused = facing_BHW is not None and is_empty(facing_BHW)
    alphas_BHW, source = _subject_masks(pictures_BCHW, None if unused else facing_BHW)
    missed = tuple(index for index, alpha_HW in enumerate(alphas_BHW) if is_empty(alpha_HW))
    alphas_BHW = _marked_whole(alphas_BHW, missed)
    if only_largest:
        alphas_BHW = torch.stack([keep_largest(alpha_HW) for alpha_HW in alphas_BHW])
    cuts = [
        # A picture that is all subject needs no air around it, only what makes it square.
        _square(image_CHW[:3], alpha_HW, 0.0 if bool((alpha_HW == 1).all()) else margin, background)
        for image_CHW, alpha_HW in zip(pictures_BCHW, alphas_BHW, strict=True)
    ]
    side = max(cut.shape[-1] for cut in cuts)
    cuts_B4SS = torch.stack([_resize_square(cut, side) for cut in cuts])
    return Cutout(cuts_B4SS[:, :3], cuts_B4SS[:, 3], source, missed, unused)


def _reduced(pictures_BCHW: Tensor) -> Tensor:
    height, width = pictures_BCHW.shape[-2:]
    if max(height, width) > LARGEST_WORKING_SIDE:
        log.info("The %d×%d px picture is reduced to %d px first.", width, height, LARGEST_WORKING_SIDE)
    return fit_within(pictures_BCHW)


def _marked_whole(alphas_BHW: Tensor, missed: Sequence[int]) -> Tensor:
    """The masks, those of the pictures `missed` marking everything."""
    if not missed:
        return alphas_BHW
    log.warning("Nothing is marked in %d of %d pictures: kept whole.", len(missed), len(alphas_BHW))
    alphas_BHW = alphas_BHW.clone()
    alphas_BHW[list(missed)] = 1
    return alphas_BHW


def keep_largest(mask_HW: Tensor) -> Tensor:
    """The mask with its largest connected piece only, soft edge included."""
    labels_HW, areas = pieces(mask_HW > _PRESENT)
    return mask_HW * torch.from_numpy(labels_HW == areas.argmax()).to(mask_HW.device)


def _subject_masks(pictures_BCHW: Tensor, masks_BHW: Tensor | None) -> tuple[Tensor, str]:
    """[B, H, W] with 1 on the subject, and a word on where it came from."""
    if masks_BHW is not None:
        return masks_BHW, "mask"
    _, channels, height, width = pictures_BCHW.shape
    if channels == 4:
        return _not_empty(pictures_BCHW[:, 3], "transparency of the picture"), "alpha"
    found = [find_ground(image_CHW) for image_CHW in pictures_BCHW]
    whole = torch.ones(height, width)
    alphas = [whole if ground is None else (~ground).float() for ground in found]
    source = "whole picture" if all(ground is None for ground in found) else "plain ground"
    return _not_empty(torch.stack(alphas), "picture: it is one plain colour, so its subject"), source


def facing_masks(masks_BHW: Tensor, shape: tuple[int, int, int], marks: MaskMarks) -> Tensor | None:
    """[B, H, W] with 1 on the subject, from masks as `cut_out` takes them, for pictures of that shape.

    None for the empty mask that ComfyUI's LoadImage gives a picture without transparency.
    Raises ValueError for values that are not finite and for a mask of other proportions.
    """
    if _is_placeholder(masks_BHW, shape[1:]):
        log.info("The mask is the empty one that a picture without transparency comes with: not used.")
        return None
    masks_BNHW = _fit_mask(masks_BHW, shape)
    return torch.stack([_joined(masks_NHW, marks) for masks_NHW in masks_BNHW])


def _joined(masks_NHW: Tensor, marks: MaskMarks) -> Tensor:
    """[H, W] with 1 on what any of a picture's masks marks; empty ones say nothing beside others."""
    marking = [mask_HW for mask_HW in masks_NHW if not is_empty(mask_HW)] or [masks_NHW[0]]
    # each by itself: where two leave out a subject each, what both leave out is neither
    return torch.stack([_facing_subject(mask_HW, marks) for mask_HW in marking]).amax(dim=0)


def is_empty(mask_HW: Tensor) -> bool:
    """Whether a mask marks no pixel."""
    return not bool((mask_HW > _PRESENT).any())


def _is_placeholder(masks_BHW: Tensor, picture_hw: tuple[int, int]) -> bool:
    shape = tuple(masks_BHW.shape[-2:])
    return shape == _PLACEHOLDER_HW and shape != picture_hw and not bool(masks_BHW.any())


def _not_empty(alphas_BHW: Tensor, what: str) -> Tensor:
    if is_empty(alphas_BHW):
        which = f" in all {len(alphas_BHW)} pictures" if len(alphas_BHW) > 1 else ""
        raise ValueError(
            f"Nothing to cut out: the {what} is empty{which}; expected at least one marked pixel. Paint "
            "the subject in the mask editor, or disconnect the mask to use the picture's plain ground."
        )
    return alphas_BHW


def _fit_mask(masks_BHW: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """[B, N, H, W] float masks in 0..1 for pictures of that shape."""
    count, height, width = shape
    masks_BHW = _in_a_row(masks_BHW.cpu().float(), count)
    if not bool(torch.isfinite(masks_BHW).all()):
        raise ValueError("The mask holds values that are not numbers (NaN or infinity): expected 0 to 1.")
    mask_height, mask_width = masks_BHW.shape[-2:]
    unlike = abs(mask_height * width - mask_width * height) > max(height, width, mask_height, mask_width)
    if unlike or 0 in (mask_height, mask_width):
        raise ValueError(
            f"The mask is {mask_width}×{mask_height} px and does not fit the {width}×{height} px picture: "
            "expected the same proportions. Use the mask that belongs to this picture."
        )
    if (mask_height, mask_width) != (height, width):
        masks_BHW = F.interpolate(masks_BHW[:, None], (height, width), mode="bilinear", antialias=True)[:, 0]
    masks_BHW = masks_BHW.clamp(0, 1)
    if len(masks_BHW) == 1:
        return masks_BHW.expand(count, 1, height, width)
    return masks_BHW.unflatten(0, (count, -1))


def _in_a_row(masks_BHW: Tensor, count: int) -> Tensor:
    """[1 or a multiple of count, h, w]; no mask at all is an empty one."""
    if masks_BHW.ndim == 4:
        masks_BHW = masks_BHW.flatten(0, 1)
    if masks_BHW.ndim == 2:
        masks_BHW = masks_BHW[None]
    given = len(masks_BHW)
    if masks_BHW.ndim != 3 or (given != 1 and given % count):
        raise ValueError(
            f"Expected one mask for all or one for each of the {count} pictures (or as many for each), "
            f"got shape {list(masks_BHW.shape)}."
        )
    return masks_BHW if given else masks_BHW.new_zeros(1, *masks_BHW.shape[1:])


def _facing_subject(mask_HW: Tensor, marks: MaskMarks) -> Tensor:
    """The mask with 1 on the subject.

    AUTO takes a mask that covers most of the picture's edge, but not all of the picture, for the
    background's: LoadImage turns transparency into such a mask, while painted and segmented masks mark the
    subject.
    """
    if marks is MaskMarks.AUTO:
        edge = torch.cat([mask_HW[0], mask_HW[-1], mask_HW[:, 0], mask_HW[:, -1]])
        inverted = bool(edge.mean() > 0.5) and bool((mask_HW < 1 - _PRESENT).any())
        marks = MaskMarks.BACKGROUND if inverted else MaskMarks.SUBJECT
    return 1 - mask_HW if marks is MaskMarks.BACKGROUND else mask_HW


def find_ground(image_CHW: Tensor) -> Tensor | None:
    """[H, W] bool: the plain ground that reaches in from the border, or None when the border is not plain.

    Plain: nine tenths of the border lie within a small distance of the border's median colour. Only ground
    that is connected to the border counts, so a white patch inside the subject stays.
    """
    colours_CHW = image_CHW[:3]
    border_CN = torch.cat(
        [colours_CHW[:, 0], colours_CHW[:, -1], colours_CHW[:, 1:-1, 0], colours_CHW[:, 1:-1, -1]], dim=1
    )
    ground_C11 = border_CN.median(dim=1).values[:, None, None]
    distance_HW = (colours_CHW - ground_C11).abs().amax(dim=0)
    # Averaged over 3×3 pixels, so that a speck of compression noise does not count as subject.
    smooth_HW = F.avg_pool2d(distance_HW[None], 3, stride=1, padding=1, count_include_pad=False)[0]
    alike_HW = smooth_HW < _GROUND_TOLERANCE
    border_alike = (border_CN - ground_C11[..., 0]).abs().amax(dim=0) < _GROUND_TOLERANCE
    if float(border_alike.float().mean()) < _GROUND_SHARE:
        return None
    return torch.from_numpy(_flood_from_border(alike_HW.cpu().numpy()))


def _flood_from_border(open_HW: Mask) -> Mask:
    """Open pixels that are 4-connected to the border through open pixels."""
    reached_HW: Mask = open_HW.copy()
    reached_HW[1:-1, 1:-1] = False
    before = -1
    while (size := int(reached_HW.sum())) != before:
        before = size
        reached_HW = _spread_along_rows(reached_HW, open_HW)
        reached_HW = _spread_along_rows(reached_HW.T, open_HW.T).T
    return reached_HW


def _spread_along_rows(reached_HW: Mask, open_HW: Mask) -> Mask:
    """Every unbroken run of open pixels in a row becomes reached when one of its pixels is."""
    height, width = open_HW.shape
    run_HW = np.cumsum(~open_HW, axis=1) + np.arange(height)[:, None] * (width + 1)
    hit = np.zeros(height * (width + 1) + 1, dtype=np.bool_)
    hit[run_HW[reached_HW]] = True
    spread_HW: Mask = open_HW & hit[run_HW]
    return spread_HW


def _square(image_3HW: Tensor, alpha_HW: Tensor, margin: float, background: Colour) -> Tensor:
    """[4, S, S]: the subject's box in the middle of a square of background colour, and its mask."""
    rows = (alpha_HW > _PRESENT).any(dim=1).nonzero()[:, 0]
    columns = (alpha_HW > _PRESENT).any(dim=0).nonzero()[:, 0]
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    left, right = int(columns[0]), int(columns[-1]) + 1
    height, width = bottom - top, right - left
    side = max(round(max(height, width) / (1 - 2 * margin)), height, width)
    ground_311 = image_3HW.new_tensor(background).view(3, 1, 1)
    alpha_1hw = alpha_HW[None, top:bottom, left:right]
    cut_3hw = image_3HW[:, top:bottom, left:right] * alpha_1hw + ground_311 * (1 - alpha_1hw)
    cut_4hw = torch.cat([cut_3hw, alpha_1hw])
    if side > LARGEST_SQUARE:
        height, width = (max(1, round(length * LARGEST_SQUARE / side)) for length in (height, width))
        cut_4hw = F.interpolate(cut_4hw[None], (height, width), mode="bilinear", antialias=True)[0]
        side = LARGEST_SQUARE
    canvas_4SS = torch.cat([ground_311.expand(3, side, side), image_3HW.new_zeros(1, side, side)])
    y, x = (side - height) // 2, (side - width) // 2
    canvas_4SS[:, y : y + height, x : x + width] = cut_4hw
    return canvas_4SS


def _resize_square(cut_4SS: Tensor, side: int) -> Tensor:
    if cut_4SS.shape[-1] == side:
        return cut_4SS
    return F.interpolate(cut_4SS[None], (side, side), mode="bilinear", antialias=True)[0].clamp(0, 1)
