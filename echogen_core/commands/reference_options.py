"""The options that say where the subject is in the reference picture of `generate` and `batch`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

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
from ..subject.salient import SalientSubject
from ..utils.option_checks import OptionError, Unused
from ..utils.option_types import words
from .models import PACK

MAX_SIDE = 8192
"""Pixels of a picture that is read."""

_CUT_BY = {
    "mask": "by the mask",
    "transparency": "by the picture's transparency",
    "plain background": "by the picture's plain background",
    "built-in": "by the built-in cut. If it took the wrong thing, help with --box, --mask or --phrase",
    "box": "as all of the box",
    "box and SAM": "by SAM within the box",
    "box and built-in": "by the built-in cut within the box",
}


def unused(of_reference: Callable[[argparse.Namespace], bool]) -> tuple[Unused, ...]:
    """For --box and --phrase. of_reference: whether --mask, where there is one, is that of --reference."""
    return (
        *(
            Unused(
                option,
                lambda args: args.reference is None,
                f"without --reference, the picture it belongs to. Add --reference, or drop {option}.",
            )
            for option in ("--box", "--phrase")
        ),
        Unused(
            "--phrase",
            lambda args: (args.mask is not None and of_reference(args)) or args.box is not None,
            "beside --mask or --box, which say where the subject is. Drop one of them.",
        ),
    )


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


def comfyui_folders(comfyui: str | None) -> Mapping[str, list[Path]]:
    """Kind of model -> ComfyUI's folders; none without a ComfyUI.

    comfyui: the folder that is named, if any. Raises ValueError where that isn't ComfyUI's.
    """
    try:
        return model_folders(find_comfyui(comfyui, os.environ, PACK))
    except ValueError:
        if comfyui or os.environ.get("COMFYUI_PATH"):
            raise
        return {}


class Finders:
    """The models that find and outline subjects, each loaded when it is first needed.

    One that can't be loaded isn't tried again.
    """

    def __init__(self, comfyui: str | None, device: str) -> None:
        """comfyui: as `comfyui_folders`, which is asked when it matters. device: where they compute."""
        self._comfyui = comfyui
        self._device = device
        self._loaded: dict[Kind, Any] = {}

    def tools(self, phrase: str, box: DrawnBox | None) -> Tools:
        """What finds a phrase, or outlines what is in a box.

        Raises OptionError as `check_detector`, and for a model that is installed and can't be loaded.
        """
        detector = segmenter = None
        if phrase:
            self.check_detector()
            detector = self._model(DETECTOR, load_detector, "phrase")
        if phrase or box is not None:
            segmenter = self._model(SEGMENTER, load_segmenter, "phrase" if phrase else "box")
        return Tools(self._salient, detector=detector, segmenter=segmenter)

    def check_detector(self) -> None:
        """Raises OptionError where phrases could have no effect."""
        if self._installed[DETECTOR] is None:
            raise OptionError(
                "phrase",
                f"has no effect without {DETECTOR.title}, which finds what it names. Put {DETECTOR.fetch}, "
                f"into ComfyUI's models/{DETECTOR.folders[0]}; or use a box or a mask.",
            )

    @cached_property
    def _salient(self) -> SalientSubject:
        return load_salient()

    @cached_property
    def _installed(self) -> Mapping[Kind, Path | None]:
        folders = comfyui_folders(self._comfyui)
        return {
            kind: first_installed(kind, [folder for name in kind.folders for folder in folders.get(name, ())])
            for kind in (DETECTOR, SEGMENTER)
        }

    def _model(self, kind: Kind, load: Callable[[Path], Any], option: str) -> Any:
        """None where it isn't installed. option: what needs it."""
        if kind not in self._loaded:
            path = self._installed[kind]
            try:
                self._loaded[kind] = load(path).to(self._device) if path else None
            except (ValueError, OSError, ImportError) as error:
                self._loaded[kind] = f"needs {kind.title}, which is there but can't be loaded: {error}"
        if isinstance(self._loaded[kind], str):
            raise OptionError(option, self._loaded[kind])
        return self._loaded[kind]


def cut(
    finders: Finders, image_1CHW: Tensor, mask_1HW: Tensor | None, drawn: DrawnBox | None, phrase: str
) -> Cutout:
    """The subject of the reference picture.

    Raises OptionError for a box that lies outside or is another picture's, for a phrase beside transparency,
    and as `Finders.tools`; the rest as `cut_reference`.
    """
    if phrase and is_transparent(image_1CHW[0]):  # before the models that would look for it
        raise OptionError(
            "phrase",
            "has no effect on a picture with transparency, which is cut out by that. Drop it, or use a box "
            "or a mask.",
        )
    box_xyxy = _within(drawn, image_1CHW[0]) if drawn else None
    return cut_reference(image_1CHW, finders.tools(phrase, drawn), mask_1HW, box_xyxy, phrase)


def _within(drawn: DrawnBox, image_CHW: Tensor) -> Box:
    """Left, top, right, bottom within the picture. Raises OptionError."""
    height, width = image_CHW.shape[-2:]
    if not drawn.belongs_to(image_CHW, width, height):
        raise OptionError("box", "was drawn on another picture. Give the box of this one.")
    try:
        return check_box(drawn.box_xyxy, height, width)
    except ValueError:
        written = ", ".join(f"{side:g}" for side in drawn.box_xywh)
        raise OptionError(
            "box",
            f"marks nothing in the {width}×{height} px picture: expected left, top, width and height of a "
            f"box within it, got {written}.",
        ) from None


def told(made: Cutout) -> str:
    """What was done, in a line for the user."""
    (source,), (note,) = made.sources, made.notes
    done = f"Subject cut out {_CUT_BY[source]}." if source in _CUT_BY else ""
    return " ".join(filter(None, (note, done)))
