"""Rows of jobs: what each column may hold, and what a whole row says."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ..aspect_ratios import find_aspect_ratio
from ..config import Preset
from ..pipeline import Settings
from ..scales import BUDGETS, preset_schedule
from ..subject.drawn_box import DrawnBox, read_box
from ..utils.file_names import name_fault
from ..utils.option_types import gamma, seeds, temperature, words
from ..utils.printable import printable
from .jobs_file import Cells, Fault, FaultyCell

SEPARATOR = "|"
"""Between several files in one text; no file on Windows has it in its name."""
OF_REFERENCE = ("mask", "box", "phrase")
"""Columns that say where the subject is in a reference."""


def size(text: str) -> str | None:
    """A pixel budget by its name; None for "auto", the model's own."""
    if text.strip().lower() == "auto":
        return None
    if text.strip() not in BUDGETS:
        raise argparse.ArgumentTypeError(
            f"expected auto or one of {', '.join(BUDGETS)}, got {printable(text)!r}"
        )
    return text.strip()


def _name(text: str) -> str:
    if fault := name_fault(text.strip(), windows=True):  # a picture may be copied anywhere
        raise argparse.ArgumentTypeError(f"expected a usable name, got '{printable(text)}': {fault}")
    return text.strip()


def _files(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(SEPARATOR) if part.strip())
    if not names:
        raise argparse.ArgumentTypeError(f"expected names of files, got {printable(text)!r}")
    return names


COLUMNS: Mapping[str, Callable[[str], Any]] = {
    "reference": _files,
    "mask": _files,
    "box": read_box,
    "phrase": words,
    "prompt": words,
    "negative": words,
    "seeds": seeds,
    "gamma_t": gamma,
    "gamma_i": gamma,
    "tau": temperature,
    "aspect_ratio": lambda text: find_aspect_ratio(text).official,
    "size": size,
    "name": _name,
}
"""Column -> what reads its texts, or raises ArgumentTypeError or ValueError. All but `name` are options."""


class Reference(NamedTuple):
    """A subject: pictures of it (views), or one subject file; and where it is in them.

    masks: one for each picture, or none.
    """

    files: tuple[Path, ...]
    masks: tuple[Path, ...] = ()
    box: DrawnBox | None = None
    phrase: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A usable row.

    settings: with the model's own values where neither row nor options have one. options: columns in which it
    has what the command line says.
    """

    number: int
    reference: Reference | None
    prompt: str
    negative: str | None
    seeds: tuple[int, ...]
    settings: Settings
    name: str = ""
    options: frozenset[str] = frozenset()

    @property
    def stem(self) -> str:
        """What the names of its pictures begin with."""
        return self.name or f"{self.number:06}"

    @property
    def conditions(self) -> tuple[Reference | None, str, str | None]:
        """What its prefills depend on."""
        return self.reference, self.prompt, self.negative

    def fault(self, error: FaultyCell) -> Fault:
        """What is wrong with one of its cells."""
        return error.in_row(self.number, self.options)


def read_row(cells: Cells, defaults: Mapping[str, Any], folder: Path, preset: Preset) -> Row:
    """A row from its cells.

    defaults: column -> value, for cells that are empty; mask, box and phrase go with the reference there.
    folder: where relative paths start. Raises FaultyCell.
    """
    own = {column: _value(column, value) for column, value in cells.values.items()}
    for column in {"reference", "mask"} & own.keys():
        own[column] = tuple(folder / os.path.expanduser(name) for name in own[column])
    given = {**defaults, **own}
    if "reference" in own:
        given |= {column: own.get(column) for column in OF_REFERENCE}
    _check_together(own, given)
    reference = None
    if given.get("reference"):
        where = (given.get("mask") or (), given.get("box"), given.get("phrase") or "")
        reference = Reference(given["reference"], *where)
    return Row(
        number=cells.number,
        reference=reference,
        prompt=given["prompt"],
        negative=given.get("negative"),
        seeds=tuple(given["seeds"]),
        settings=_settings(given, preset),
        name=given.get("name", ""),
        options=of_options(cells, defaults),
    )


def of_options(cells: Cells, defaults: Mapping[str, Any]) -> frozenset[str]:
    """Columns in which a row has what the command line says."""
    return _shared(frozenset(defaults).difference(cells.values))


@cache
def _shared(columns: frozenset[str]) -> frozenset[str]:
    """The same object for equal sets: a million rows have a few."""
    return columns


def _value(column: str, value: Any) -> Any:
    """What a cell says. Raises FaultyCell."""
    listed = SEPARATOR if column in ("reference", "mask") else ", " if column == "seeds" else ""
    if listed and isinstance(value, list):
        value = listed.join(map(str, value))
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise FaultyCell(column, f"expected a text or a number, got {printable(value)}.")
    if any("\ud800" <= letter <= "\udfff" for letter in str(value)):  # which JSON can hold, and no file
        raise FaultyCell(column, f"it has half a character in it: '{printable(value)}'. Write it anew.")
    try:
        return COLUMNS[column](str(value))
    except (argparse.ArgumentTypeError, ValueError) as error:
        raise FaultyCell(column, f"{str(error).rstrip('.')}.") from error


def _check_together(own: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raises FaultyCell for what is missing or could have no effect."""
    files, masks = given.get("reference") or (), given.get("mask") or ()
    if not given.get("prompt"):
        raise FaultyCell(
            "prompt", "expected the scene in words. Write it, or one for all rows with --prompt."
        )
    for column in ("gamma_i", *OF_REFERENCE):
        if column in own and not files:
            raise FaultyCell(column, "it has no effect without a reference. Add one, or leave this empty.")
    if masks and len(masks) != len(files):
        raise FaultyCell("mask", f"expected one for each of {len(files)} references, got {len(masks)}.")
    if given.get("box") and len(files) > 1:
        raise FaultyCell("box", "expected one reference beside a box. Use masks for several.")
    if given.get("phrase") and (masks or given.get("box")):
        raise FaultyCell("phrase", "it has no effect beside a mask or a box. Leave one of them empty.")
    if given.get("negative") and given.get("gamma_t") == 1:
        raise FaultyCell(
            "negative", "it has no effect where gamma_t is 1. Choose another gamma_t, or leave it empty."
        )


def _settings(given: Mapping[str, Any], preset: Preset) -> Settings:
    """Raises FaultyCell for a size or an aspect ratio that the model doesn't draw."""
    ratio, budget = given.get("aspect_ratio") or "1:1", given.get("size")
    try:
        preset_schedule(preset, budget, ratio)
    except ValueError as error:
        raise FaultyCell("size" if budget else "aspect_ratio", str(error)) from error

    def chosen(name: str, of_model: float) -> float:
        return of_model if given.get(name) is None else float(given[name])

    return Settings(
        chosen("gamma_t", preset.gamma_t),
        chosen("gamma_i", preset.gamma_i),
        chosen("tau", preset.tau),
        aspect_ratio=ratio,
        budget=budget,
    )
