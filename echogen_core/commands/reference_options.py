"""The options that say where the subject is in the reference picture of `generate` and `batch`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from torch import Tensor

from ..checkpoints.catalog.folders import find_comfyui, model_folders
from ..checkpoints.catalog.subject_models import DETECTOR, SEGMENTER, Kind, first_installed
from ..checkpoints.segmentation_models import load_detector, load_salient, load_segmenter
from ..pictures import from_pil, on_colour, open_picture
from ..subject.cutout import Cutout
from ..subject.drawn_box import DrawnBox, read_box
from ..subject.find import Tools
from ..subject.masks import is_transparent
from ..subject.photo_cut import cut_reference
from ..subject.regions import Box, check_box
from ..utils.option_checks import Unused
from ..utils.option_types import words
from .models import PACK

MAX_SIDE = 8192
"""Pixels of a picture that is read."""

_NO_REFERENCE = "without --reference, the picture it belongs to. Add --reference, or drop {option}."
UNUSED = (
    *(
        Unused(option, lambda args: args.reference is None, _NO_REFERENCE.format(option=option))
        for option in ("--box", "--phrase")
    ),
    Unused(
        "--mask",
        lambda args: args.reference is None and args.into is None,
        "without --reference or --into, the picture it belongs to. Add one of them, or drop --mask.",
    ),
    Unused(
        "--phrase",
        lambda args: (args.mask is not None and args.into is None) or args.box is not None,
        "beside --mask or --box, which say where the subject is. Drop one of them.",
    ),
)
_CUT_BY = {
    "mask": "by the mask",
    "transparency": "by the picture's transparency",
    "plain background": "by the picture's plain background",
    "built-in": "by the built-in cut. If it took the wrong thing, help with --box, --mask or --phrase",
    "box": "as all of the box",
    "box and SAM": "by SAM within the box",
    "box and built-in": "by the built-in cut within the box",
}


def add_options(
    parser: argparse.ArgumentParser,
    about_reference: str = "picture of the subject, which is cut out by its transparency, its plain "
    "background, or the built-in cut",
    about_mask: str = "black and white picture: white on the subject, to cut it out by; with --into, white "
    "where that picture may change (default: where it is transparent)",
) -> None:
    """Adds the picture and the options that say where the subject is; the texts are for --help."""
    parser.add_argument("--reference", type=Path, help=about_reference)
    parser.add_argument("--mask", type=Path, help=about_mask)
    parser.add_argument(
        "--box",
        type=box,
        metavar="X,Y,W,H",
        help="where the subject is in the reference, roughly: left, top, width and height in pixels. With "
        "the subject's --mask, only what is in the box counts",
    )
    parser.add_argument(
        "--phrase",
        type=words,
        help='what the subject is, e.g. "black dog", where several things compete; found with GroundingDINO, '
        "if ComfyUI's folder models/grounding-dino has it",
    )


def box(text: str) -> DrawnBox:
    """X,Y,W,H in pixels."""
    try:
        return read_box(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def read_picture(path: Path) -> Tensor:
    """A picture file as [1, 3, H, W] or, with transparency, [1, 4, H, W] in 0..1, upright (EXIF applied).

    Raises OSError where there is no file or it can't be opened, ValueError where it can't be read or is too
    large.
    """
    return from_pil(open_picture(path, largest_side=MAX_SIDE))[None]


def read_mask(path: Path) -> Tensor:
    """A picture file as a mask [1, H, W] in 0..1, 0 where it is transparent. Raises as `read_picture`."""
    return from_pil(on_colour(open_picture(path, largest_side=MAX_SIDE), "black").convert("L"))


def cut(
    tools: Tools, image_1CHW: Tensor, mask_1HW: Tensor | None, drawn: DrawnBox | None, phrase: str
) -> Cutout:
    """The subject of the reference picture.

    Raises ValueError as `check_phrase` and `cut_reference`, and for a box of another picture.
    """
    check_phrase(image_1CHW, phrase)
    box_xyxy = _within(drawn, image_1CHW[0]) if drawn else None
    return cut_reference(image_1CHW, tools, mask_1HW, box_xyxy, phrase)


def check_phrase(image_1CHW: Tensor, phrase: str) -> None:
    """Raises ValueError for a phrase that could have no effect on that picture."""
    if phrase and is_transparent(image_1CHW[0]):
        raise ValueError(
            "--phrase has no effect on a picture with transparency, which is cut out by that. Drop it, or "
            "use --box or --mask."
        )


def _within(drawn: DrawnBox, image_CHW: Tensor) -> Box:
    """Left, top, right, bottom within the picture."""
    height, width = image_CHW.shape[-2:]
    typed = ",".join(f"{side:g}" for side in drawn.box_xywh)
    if not drawn.belongs_to(image_CHW, width, height):
        raise ValueError(f"--box {typed} was drawn on another picture. Give the box of this one.")
    try:
        return check_box(drawn.box_xyxy, height, width)
    except ValueError:
        raise ValueError(
            f"--box {typed} marks nothing in the {width}×{height} px picture: expected left, top, width and "
            "height of a box within it."
        ) from None


def told(made: Cutout) -> str:
    """What was done, in a line for the user."""
    (source,), (note,) = made.sources, made.notes
    done = f"Subject cut out {_CUT_BY[source]}." if source in _CUT_BY else ""
    return " ".join(filter(None, (note, done)))


def load_tools(comfyui: str | None, device: str, phrases: bool, boxes: bool) -> Tools:
    """What finds and outlines subjects.

    comfyui: the folder that is named, if any. phrases, boxes: whether there are any to look for.
    Raises ValueError where phrases could have no effect, and where the folder that is named isn't ComfyUI's.
    """
    detector = _installed(DETECTOR, comfyui) if phrases else None
    if phrases and not detector:
        raise ValueError(
            f"--phrase has no effect without {DETECTOR.title}, which finds what it names. Put "
            f"{DETECTOR.fetch}, into ComfyUI's models/{DETECTOR.folders[0]}; or use --box or --mask."
        )
    segmenter = _installed(SEGMENTER, comfyui) if detector or boxes else None
    return Tools(
        load_salient(),
        detector=load_detector(detector).to(device) if detector else None,
        segmenter=load_segmenter(segmenter).to(device) if segmenter else None,
    )


def _installed(kind: Kind, comfyui: str | None) -> Path | None:
    """The model in ComfyUI's folders; None without one, or without a ComfyUI.

    Raises ValueError where the folder that is named isn't ComfyUI's.
    """
    try:
        folders = model_folders(find_comfyui(comfyui, os.environ, PACK))
    except ValueError:
        if comfyui or os.environ.get("COMFYUI_PATH"):
            raise
        return None
    return first_installed(kind, [folder for name in kind.folders for folder in folders[name]])
