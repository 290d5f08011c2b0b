"""The option of `generate` that gives parts of the picture a subject and a prompt of their own.

Shape suffixes: H W size of a mask.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ..checkpoints.segmentation_models import load_salient
from ..editing import AREAS, Way, area_mask
from ..subject.cutout import Cutout
from ..subject.find import Tools
from ..subject.masks import is_empty
from ..subject.photo_cut import cut_reference
from ..utils.option_checks import Unused
from ..utils.option_types import gamma, words
from ..utils.printable import printable
from . import reference_options

UNUSED = (
    Unused(
        "--region",
        lambda args: args.into is not None and args.way != Way.REDRAW.value,
        "on --way place, which puts one subject into the picture. Choose --way redraw, or place one subject "
        "after another.",
    ),
)


class AskedRegion(NamedTuple):
    """A region as typed: one of AREAS or a mask's file, and what is its own; None stands for the picture's.

    reference: its subject's picture; None for no subject.
    """

    area: str | None = None
    mask: Path | None = None
    reference: Path | None = None
    prompt: str | None = None
    gamma_t: float | None = None
    gamma_i: float | None = None


class ReadRegion(NamedTuple):
    """A region with its mask [H, W], and its subject if it has one."""

    asked: AskedRegion
    mask_HW: Tensor
    cut_out: Cutout | None


def _area(text: str) -> str:
    if text not in AREAS:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(AREAS)}, got {printable(text)!r}")
    return text


_VALUES: dict[str, Callable[[str], Any]] = {
    "area": _area,
    "mask": Path,
    "reference": Path,
    "prompt": words,
    "gamma-t": gamma,
    "gamma-i": gamma,
}


class _Region(argparse.Action):
    """Adds a region to the others."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        try:
            region = _region([part for part in values or () if isinstance(part, tuple)])
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentError(self, str(error)) from None
        setattr(namespace, self.dest, [*(getattr(namespace, self.dest) or ()), region])


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the regions."""
    parser.add_argument(
        "--region",
        action=_Region,
        type=_part,
        nargs="+",
        metavar="KEY=VALUE",
        help="a part of the picture with conditions of its own; repeat it for several. Where: "
        f"area={', '.join(AREAS)}; or mask=FILE, white inside. What: reference=FILE, its subject; "
        "prompt=TEXT, gamma-t=N and gamma-i=N, instead of the picture's. Such as: area='left half' "
        "reference=cat.png",
    )


def _part(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or key not in _VALUES:
        raise argparse.ArgumentTypeError(
            f"expected {', '.join(f'{key}=...' for key in _VALUES)}, got {printable(text)!r}"
        )
    try:
        return key.replace("-", "_"), _VALUES[key](value)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, for {key}") from None


def _region(parts: Sequence[tuple[str, Any]]) -> AskedRegion:
    typed = dict(parts)
    if len(typed) < len(parts):
        raise argparse.ArgumentTypeError("expected each key once. Begin every region with its own --region")
    region = AskedRegion(**typed)
    if (region.area is None) == (region.mask is None):
        raise argparse.ArgumentTypeError(
            "expected area=... or mask=..., which say where it is, and one of the two"
        )
    if region.reference is None and region.prompt is None:
        raise argparse.ArgumentTypeError(
            "expected reference=... or prompt=..., which say what is drawn there"
        )
    return region


def read(asked: AskedRegion) -> ReadRegion:
    """Reads its files, and cuts its subject out. Raises ValueError or OSError for what the user can mend."""
    cut_out = None
    if asked.reference is not None:
        picture = reference_options.read_picture(asked.reference)
        cut_out = cut_reference(picture, Tools(load_salient()))
    return ReadRegion(asked, _mask(asked), cut_out)


def _mask(asked: AskedRegion) -> Tensor:
    if asked.area is not None:
        return area_mask(asked.area)
    assert asked.mask is not None  # one of the two
    mask_HW = reference_options.read_mask(asked.mask)[0]
    if is_empty(mask_HW):
        raise ValueError(f"The mask {printable(asked.mask)} is black: expected white inside the region.")
    return mask_HW
