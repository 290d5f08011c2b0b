"""The official training rows: JSON lines in files named by aspect ratio.

A folder holds `[h_div_w]_[count].jsonl` (1.000_000001000.jsonl). A row has output_image (the target),
cond_image (the subject on white, from another picture), h_div_w (height divided by width), long_caption and,
where a model wrote the caption, long_caption_type. Source: the official data set class and its sample files.
A row with a fault is left out; faults are counted by kind.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..scales import ASPECT_RATIOS, ScaleSchedule, find_schedule
from ..utils.printable import counted, printable

FILE_NAME = re.compile(r"(\d+(?:\.\d+)?)_(\d+)\.jsonl")
TEXTS = ("output_image", "cond_image", "long_caption")
CHECKED_ROWS = 1000
"""Rows whose pictures are looked for before a run starts."""


class Fault(NamedTuple):
    """Something wrong with the data: file and line, the kind (faults are counted by it), details."""

    where: str
    kind: str
    detail: str


class FaultyRow(ValueError):
    """A row that can't be used; `fault` says why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"{fault.where}: {fault.kind} ({fault.detail})")
        self.fault = fault


@dataclass(frozen=True)
class Row:
    """One training example. where: file and line. ratio: the bucket (width:height) nearest to its h_div_w."""

    where: str
    output_image: Path
    cond_image: Path
    caption: str
    written_by_model: bool
    ratio: str


def schedules(budget: str) -> dict[str, ScaleSchedule]:
    """Every aspect ratio of a pixel budget, with its schedule."""
    ratios = ["1:1"] if budget == "nano" else ASPECT_RATIOS
    return {ratio: find_schedule(budget, ratio) for ratio in ratios}


def parse_row(line: str, where: str, images: Path, ratios: Mapping[str, float]) -> Row:
    """A line of a manifest.

    images: folder that relative paths start from. ratios: aspect ratio -> height divided by width.
    Raises FaultyRow for anything but a complete row.
    """
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise FaultyRow(Fault(where, "no JSON", str(error))) from error
    if not isinstance(content, dict):
        raise FaultyRow(Fault(where, "no JSON object", f"got a {type(content).__name__}"))
    for name in TEXTS:
        value = content.get(name)
        if not isinstance(value, str) or not value.strip():
            raise FaultyRow(Fault(where, f"no {name}", f"expected a string, got {value!r}"))
    tall = content.get("h_div_w")
    # JSON's integers have no limit, floats do
    if not isinstance(tall, int | float) or isinstance(tall, bool) or not 0 < tall <= sys.float_info.max:
        raise FaultyRow(Fault(where, "no h_div_w", f"expected height / width, above 0, got {tall!r}"))
    return Row(
        where,
        images / content["output_image"],
        images / content["cond_image"],
        content["long_caption"],
        content.get("long_caption_type", "user_prompt") != "user_prompt",
        min(ratios, key=lambda ratio: abs(ratios[ratio] - tall)),
    )


class Manifest:
    """The usable rows of a folder in aspect-ratio buckets; memory holds only their offsets in the files.

    Attributes:
        buckets: aspect ratio -> row numbers. faults: what is wrong with the other rows and files.
    """

    def __init__(self, data: Path | str, budget: str, images: Path | str = ".") -> None:
        """Reads every line once.

        Raises FileNotFoundError if there is no folder or no file of that form, ValueError if none has a
        usable row.
        """
        if not Path(data).is_dir():
            raise FileNotFoundError(f"No folder at {data}: expected one with training rows. Check --data.")
        self.schedules = schedules(budget)
        self._ratios = {ratio: schedule.h_div_w for ratio, schedule in self.schedules.items()}
        self._images = Path(images)
        self.faults: list[Fault] = []
        self.files = [path for path in sorted(Path(data).glob("*.jsonl")) if self._is_manifest(path)]
        if not self.files:
            raise FileNotFoundError(
                f"{data} has no training rows: expected files named [h_div_w]_[count].jsonl, such as "
                "1.000_000001000.jsonl (docs/training.md describes them)."
            )
        places: list[tuple[int, int, int]] = []
        found: dict[str, list[int]] = {ratio: [] for ratio in self.schedules}
        for number, path in enumerate(self.files):
            for offset, line_number, row in self._scan(path):
                found[row.ratio].append(len(places))
                places.append((number, offset, line_number))
        if not places:
            raise ValueError(
                f"No usable row in {data}: {self.faults[0] if self.faults else 'every file is empty'}."
            )
        self._places_R3: NDArray[np.int64] = np.array(places, dtype=np.int64)
        self.buckets = {ratio: np.array(rows) for ratio, rows in found.items() if rows}

    def __len__(self) -> int:
        return len(self._places_R3)

    def __getitem__(self, number: int) -> Row:
        file, offset, line = self._places_R3[number].tolist()
        with self.files[file].open("rb") as stream:
            stream.seek(offset)
            text = stream.readline().decode("utf-8")
        return parse_row(text, f"{self.files[file].name}:{line}", self._images, self._ratios)

    def check_pictures_exist(self) -> tuple[int, list[Fault]]:
        """Looks for the pictures of up to 1,000 rows spread over all: how many rows, and what is missing.

        Raises FileNotFoundError if all of them are missing, before any model is loaded.
        """
        numbers = np.unique(np.linspace(0, len(self) - 1, CHECKED_ROWS).astype(int)).tolist()
        faults = []
        for row in map(self.__getitem__, numbers):
            for path in (row.output_image, row.cond_image):
                # Path.is_file raises for names that are too long and for folders without permission
                if not os.path.isfile(path):
                    faults.append(Fault(row.where, "missing picture", f"{printable(path)}: no such file"))
                    break
        if len(faults) == len(numbers):
            raise FileNotFoundError(
                f"Of {counted(len(numbers), 'row')} checked, none has its pictures. The first: "
                f"{faults[0].where}, {faults[0].detail}. Relative paths start from --images."
            )
        return len(numbers), faults

    def _is_manifest(self, path: Path) -> bool:
        if FILE_NAME.fullmatch(path.name):
            return True
        self.faults.append(Fault(path.name, "file name", "expected [h_div_w]_[count].jsonl; ignored"))
        return False

    def _scan(self, path: Path) -> Iterator[tuple[int, int, Row]]:
        """Offset, line number and content of each usable row."""
        offset = lines = 0
        with path.open("rb") as stream:
            for line_number, line in enumerate(stream, start=1):
                start, offset = offset, offset + len(line)
                if not line.strip():
                    continue
                lines += 1
                where = f"{path.name}:{line_number}"
                try:
                    text = line.decode("utf-8")
                    yield start, line_number, parse_row(text, where, self._images, self._ratios)
                except UnicodeDecodeError as error:
                    self.faults.append(Fault(where, "no UTF-8", str(error)))
                except FaultyRow as error:
                    self.faults.append(error.fault)
        match = FILE_NAME.fullmatch(path.name)
        assert match
        if lines != int(match[2]):
            self.faults.append(
                Fault(path.name, "row count", f"its name says {int(match[2])}, the file has {lines}")
            )
