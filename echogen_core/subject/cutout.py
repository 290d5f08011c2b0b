"""Cutting the subject out: on a plain ground, squared and centred, nothing of it lost.

The reference that the encoders see. Official inference fills everything outside one detection box with white;
here any mask will do, and without one the picture's own plain border is taken for the ground.
Shape suffixes: B pictures, C channels, H height, W width, S side of the squared result. Values 0..1.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

import torch
from PIL import ImageColor
from torch import Tensor
from torch.nn import functional as F

from ..pictures import LARGEST_WORKING_SIDE, check_pictures, fit_within
from ..utils.printable import printable
from .ground import find_ground
from .masks import PRESENT, GivenMask, MaskMarks, is_empty, is_transparent, read_masks
from .notes import NOTHING_STANDS_OUT, NOTHING_TO_CUT_BY, joined
from .reference_checks import shows_hardly
from .refine import pieces
from .regions import extent
from .salient import SalientSubject

log = logging.getLogger(__name__)

Colour = tuple[float, float, float]

WHITE: Colour = (1.0, 1.0, 1.0)
DEFAULT_MARGIN = 0.08
"""Share of the squared picture left free on each side of the subject."""
LARGEST_MARGIN = 0.45
LARGEST_SQUARE = 4096
"""Pixels. A wide margin round a large subject would make a picture of gigabytes: it is reduced to this."""

_LONGEST_COLOUR = 100  # characters
WHOLE = "whole picture"
BUILT_IN = "built-in"


class Cutout(NamedTuple):
    """Subjects on the background, one for each picture.

    images_B3SS: the pictures; masks_BSS: where the subjects are. sources: what each was cut by: 'mask',
    'transparency', 'plain background', 'built-in', or 'whole picture'. notes: what the artist should know, ''
    for nothing.
    """

    images_B3SS: Tensor
    masks_BSS: Tensor
    sources: tuple[str, ...]
    notes: tuple[str, ...]


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
    salient: SalientSubject | None = None,
) -> Cutout:
    """Cut the subject out of each picture.

    images_BCHW: [B, 3 or 4, H, W]; a fourth channel serves as mask where none is given.
    masks_BHW: as `read_masks` takes them; a picture without one is cut by its transparency, else by its plain
    background (see `find_ground`), else by the built-in cut (`salient`), else kept whole.
    margin: free share of the result on each side, 0 to 0.45; none where the subject is the whole picture.
    only_largest: of several subjects apart from each other, the one that covers most is kept.
    Pictures of a batch share the largest side, at most 4096 px; pictures over 2048 px are reduced first.
    Raises ValueError for an unusable picture, as `read_masks`, for a margin out of range, and where there is
    nothing to cut out of any picture.
    """
    pictures_BCHW = _reduced(check_pictures(images_BCHW, "picture to cut from"))
    given = [GivenMask()] * len(pictures_BCHW)
    if masks_BHW is not None:
        given = read_masks(masks_BHW, pictures_BCHW, MaskMarks(mask_marks))
    masks = [mask.mask_HW for mask in given]
    cut = cut_out_by(masks, pictures_BCHW, margin, background, only_largest, salient)
    both = zip((mask.note for mask in given), cut.notes, strict=True)
    return cut._replace(notes=tuple(joined(*each) for each in both))


def cut_out_by(
    masks: Sequence[Tensor | None],
    pictures_BCHW: Tensor,
    margin: float = DEFAULT_MARGIN,
    background: Colour = WHITE,
    only_largest: bool = False,
    salient: SalientSubject | None = None,
) -> Cutout:
    """The same of pictures that are checked and reduced already, by masks that are read.

    masks: [H, W] in 0..1 with 1 on the subject, None for none.
    """
    if not 0 <= margin <= LARGEST_MARGIN:
        raise ValueError(f"The margin must be 0 to {LARGEST_MARGIN} of the picture's side, got {margin}.")
    regions = [
        _Region(mask_HW, "mask") if mask_HW is not None else _own_region(picture_CHW, salient)
        for mask_HW, picture_CHW in zip(masks, pictures_BCHW, strict=True)
    ]
    if all(is_empty(region.mask_HW) for region in regions):
        raise _nothing(regions)
    regions = [_whole_if_empty(region) for region in regions]
    alphas = [keep_largest(r.mask_HW) if only_largest else r.mask_HW for r in regions]
    cuts = [
        # A picture that is all subject needs no air around it, only what makes it square.
        _square(image_CHW[:3], alpha_HW, 0.0 if bool((alpha_HW == 1).all()) else margin, background)
        for image_CHW, alpha_HW in zip(pictures_BCHW, alphas, strict=True)
    ]
    shown = [
        joined(region.note, shows_hardly(image_CHW[:3], alpha_HW, background))
        for region, image_CHW, alpha_HW in zip(regions, pictures_BCHW, alphas, strict=True)
    ]
    side = max(cut.shape[-1] for cut in cuts)
    cuts_B4SS = torch.stack([_resize_square(cut, side) for cut in cuts])
    sources = tuple(region.source for region in regions)
    return Cutout(cuts_B4SS[:, :3], cuts_B4SS[:, 3], sources, tuple(shown))


class _Region(NamedTuple):
    """mask_HW: 1 on a picture's subject; source: what it comes from; note: for the artist."""

    mask_HW: Tensor
    source: str
    note: str = ""


def _reduced(pictures_BCHW: Tensor) -> Tensor:
    height, width = pictures_BCHW.shape[-2:]
    if max(height, width) > LARGEST_WORKING_SIDE:
        log.info("The %d×%d px picture is reduced to %d px first.", width, height, LARGEST_WORKING_SIDE)
    return fit_within(pictures_BCHW)


def keep_largest(mask_HW: Tensor) -> Tensor:
    """The mask with its largest connected piece only, soft edge included."""
    labels_HW, areas = pieces(mask_HW > PRESENT)
    return mask_HW * torch.from_numpy(labels_HW == areas.argmax()).to(mask_HW.device)


def _whole_if_empty(region: _Region) -> _Region:
    if not is_empty(region.mask_HW):
        return region
    return _Region(torch.ones_like(region.mask_HW), WHOLE, NOTHING_STANDS_OUT)


def _own_region(picture_CHW: Tensor, salient: SalientSubject | None) -> _Region:
    """The subject by the picture's own transparency, else its plain background, the built-in cut, or all."""
    if is_transparent(picture_CHW):
        return _Region(picture_CHW[3], "transparency")
    ground_HW = find_ground(picture_CHW)
    if ground_HW is not None:
        return _Region((~ground_HW).float(), "plain background")
    if salient is None:
        return _Region(torch.ones(picture_CHW.shape[-2:]), WHOLE, NOTHING_TO_CUT_BY)
    mask_HW = salient.mask(picture_CHW[None, :3])[0]
    return _whole_if_empty(_Region(mask_HW, BUILT_IN))


def _nothing(regions: Sequence[_Region]) -> ValueError:
    transparent = regions[0].source == "transparency"
    what = "the picture is " + ("fully transparent" if transparent else "one plain colour")
    if len(regions) > 1:
        what = f"all {len(regions)} pictures are " + what.removeprefix("the picture is ")
    return ValueError(
        f"Nothing to cut out: {what}. Paint the subject in the mask editor, or choose a picture that shows "
        "it."
    )


def _square(image_3HW: Tensor, alpha_HW: Tensor, margin: float, background: Colour) -> Tensor:
    """[4, S, S]: the subject's box in the middle of a square of background colour, and its mask."""
    found = extent(alpha_HW > PRESENT)
    assert found is not None  # checked before
    left, top, right, bottom = found
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
