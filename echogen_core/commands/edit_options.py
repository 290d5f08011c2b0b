"""The options of `generate` that draw in a picture of one's own.

Shape suffixes: C 3 or, with transparency, 4; H W size of the picture.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from ..config import PRESETS
from ..editing import CONTEXT, FEATHER, Edit, Fit, Way
from ..pictures import check_pictures
from ..subject.masks import MaskMarks, is_transparent, read_masks
from ..subject.refine import LARGEST_SOFTNESS
from ..utils.option_checks import Unused
from ..utils.option_types import number, whole
from . import reference_options

FITS = {"around": Fit.AROUND, "crop": Fit.CROP, "pad": Fit.PAD, "stretch": Fit.STRETCH}
"""As typed -> how the picture is fitted."""

_NO_PICTURE = "without --into, the picture to draw in. Add --into, or drop {option}."
UNUSED = (
    *(
        Unused(option, lambda args: args.into is None, _NO_PICTURE.format(option=option))
        for option in ("--way", "--keep-scales", "--feather", "--fit")
    ),
    Unused(
        "--aspect-ratio",
        lambda args: args.into is not None,
        "together with --into: the result has its picture's size. Drop --aspect-ratio.",
    ),
    Unused(
        "--fit",
        lambda args: args.way != Way.REDRAW.value,
        "on --way place, which sees what fits the subject into the mask. Drop --fit, or choose --way redraw.",
    ),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the picture to draw in, and how."""
    parser.add_argument(
        "--into",
        type=Path,
        metavar="PICTURE",
        help="picture of any size to draw in, where --mask is white or, without one, where the picture is "
        "transparent, as ComfyUI's mask editor saves what is painted; the rest stays as it is",
    )
    parser.add_argument(
        "--way",
        choices=[way.value for way in Way],
        help="place: the subject alone, as large as the mask, in front of the picture's own background; "
        "redraw: the prompt's scene as well (default: place)",
    )
    parser.add_argument(
        "--keep-scales",
        type=whole(0),
        metavar="N",
        help="how many of the coarse scales stay the picture's: the light and colours of its ground, but not "
        "the subject's place, which the prompt names (default: 0)",
    )
    parser.add_argument(
        "--feather",
        type=number(0, LARGEST_SOFTNESS),
        metavar="PX",
        help=f"pixels over which the edge fades, 0 to {LARGEST_SOFTNESS:g} (default: {FEATHER:g})",
    )
    parser.add_argument(
        "--fit",
        choices=list(FITS),
        help=f"what the model sees of the picture: {CONTEXT:g} times the mask around it, the middle, all of "
        "it with its edges continued, or all of it distorted (default: around)",
    )


def read_edit(args: argparse.Namespace) -> Edit | None:
    """The picture to draw in; None without one.

    Raises ValueError for an unusable picture, a mask that is missing, is not of it or marks nothing, and as
    `Edit`; OSError as `reference_options.read_picture`.
    """
    if args.into is None:
        return None
    picture_1CHW = check_pictures(reference_options.read_picture(args.into), "picture of --into")
    return Edit.of(
        PRESETS[args.model],
        picture_1CHW[:, :3],  # what is under paint is there
        _read_mask(args, picture_1CHW),
        way=_way(args),
        fit=FITS[args.fit or "around"],
        keep_scales=args.keep_scales or 0,
        feather=FEATHER if args.feather is None else args.feather,
    )


def _read_mask(args: argparse.Namespace, picture_1CHW: Tensor) -> Tensor:
    """[1, H, W]: 1 where the picture may change."""
    if args.mask is not None:
        given = read_masks(reference_options.read_mask(args.mask), picture_1CHW[:, :3], MaskMarks.SUBJECT)[0]
        if given.mask_HW is None:
            raise ValueError("--mask is black: expected white where the picture of --into may change.")
        return given.mask_HW[None]
    if is_transparent(picture_1CHW[0]):
        return 1 - picture_1CHW[:, 3]
    if _way(args) is Way.PLACE:
        raise ValueError(
            "--into needs --mask, a picture that is white where the subject should be, or transparency "
            "there. Add one of them, or choose --way redraw to change the whole picture."
        )
    if args.feather is not None:
        raise ValueError(
            "--feather has no effect without --mask or transparency: there is no edge to fade. Add --mask, "
            "or drop --feather."
        )
    return torch.ones(picture_1CHW[:, 0].shape)


def _way(args: argparse.Namespace) -> Way:
    return Way(args.way or Way.PLACE)
