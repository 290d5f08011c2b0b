"""The official training rows: JSON lines in files named by aspect ratio, and the pictures they name.

A folder holds `[h_div_w]_[count].jsonl` (1.000_000001000.jsonl). A row has output_image (what to learn),
cond_image (the subject on white, another picture of it), h_div_w (height by width), long_caption and, where a
model wrote the caption, long_caption_type. Source: the official data set class and its sample files.
Whatever is wrong with a row is a Fault, counted by kind; the row is left out.
Shape suffixes: H and W pixels.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..scales import ASPECT_RATIOS, ScaleSchedule, find_schedule

FILE_NAME = re.compile(r"(\d+(?:\.\d+)?)_(\d+)\.jsonl")
TEXTS = ("output_image", "cond_image", "long_caption")
LOOKED_AT = 1000  # rows whose files are looked for before a run
LONG_SENTENCE = 15  # words from which the first sentence alone is a short caption
EXTREME = 16  # from how many times a size's area a picture is cut before it is scaled to cover that size


class Fault(NamedTuple):
    """Something wrong with the data: file and line, kind (what is counted), and details."""

    where: str
    kind: str
    detail: str


class FaultyRow(ValueError):
    """A row that cannot be used; `fault` says why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"{fault.where}: {fault.kind} ({fault.detail})")
        self.fault = fault


@dataclass(frozen=True)
class Row:
    """One training example. ratio: the aspect ratio (width:height) nearest to its h_div_w."""

    where: str
    output_image: Path
    cond_image: Path
    caption: str
    written_by_model: bool
    ratio: str


def schedules(budget: str) -> dict[str, ScaleSchedule]:
    """Aspect ratio -> schedule, of all that a pixel budget has."""
    ratios = ["1:1"] if budget == "nano" else ASPECT_RATIOS
    return {ratio: find_schedule(budget, ratio) for ratio in ratios}


def parse_row(line: str, where: str, images: Path, ratios: Mapping[str, float]) -> Row:
    """A line as a Row.

    images: folder that relative paths start from. ratios: aspect ratio -> height by width.
    Raises FaultyRow.
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
            raise FaultyRow(Fault(where, f"no {name}", f"expected a text, got {value!r}"))
    tall = content.get("h_div_w")
    # JSON's integers have no limit: from those beyond a float's nothing could be subtracted.
    if not isinstance(tall, int | float) or isinstance(tall, bool) or not 0 < tall <= sys.float_info.max:
        raise FaultyRow(Fault(where, "no h_div_w", f"expected height by width, above 0, got {tall!r}"))
    return Row(
        where,
        images / content["output_image"],
        images / content["cond_image"],
        content["long_caption"],
        content.get("long_caption_type", "user_prompt") != "user_prompt",
        min(ratios, key=lambda ratio: abs(ratios[ratio] - tall)),
    )


class Manifest:
    """The usable rows of a folder, by aspect ratio; only their places in the files are kept in memory.

    Attributes:
        buckets: aspect ratio -> row numbers. faults: what was wrong with the others.
    """

    def __init__(self, data: Path | str, budget: str, images: Path | str = ".") -> None:
        """Reads every line once.

        Raises:
            FileNotFoundError: no file of that form. ValueError: no usable row in them.
        """
        self.schedules = schedules(budget)
        self._ratios = {ratio: schedule.h_div_w for ratio, schedule in self.schedules.items()}
        self._images = Path(images)
        self.faults: list[Fault] = []
        self.files = [path for path in sorted(Path(data).glob("*.jsonl")) if self._has_name(path)]
        if not self.files:
            raise FileNotFoundError(
                f"{data} has no training rows: expected files named [h_div_w]_[count].jsonl, such as "
                "1.000_000001000.jsonl (docs/training.md shows the form)."
            )
        places: list[tuple[int, int, int]] = []
        found: dict[str, list[int]] = {ratio: [] for ratio in self.schedules}
        for number, path in enumerate(self.files):
            for offset, line_number, row in self._scan(path):
                found[row.ratio].append(len(places))
                places.append((number, offset, line_number))
        if not places:
            raise ValueError(
                f"No usable row in {data}: {self.faults[0] if self.faults else 'all are empty'}."
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

    def without_pictures(self) -> tuple[int, list[Fault]]:
        """How many rows were looked at, spread over all of them, and which of those lack a file they name.

        Raises FileNotFoundError when all do: better now than after the models are loaded.
        """
        numbers = np.unique(np.linspace(0, len(self) - 1, LOOKED_AT).astype(int)).tolist()
        faults = []
        for row in map(self.__getitem__, numbers):
            for path in (row.output_image, row.cond_image):
                # not Path.is_file, which raises for names that are too long and for folders that are closed
                if not os.path.isfile(path):
                    faults.append(Fault(row.where, "missing picture", f"{printable(path)}: no such file"))
                    break
        if len(faults) == len(numbers):
            raise FileNotFoundError(
                f"None of {len(numbers)} rows has its pictures, the first: {faults[0].where}, "
                f"{faults[0].detail}. Relative paths start from the folder given with --images."
            )
        return len(numbers), faults

    def _has_name(self, path: Path) -> bool:
        if FILE_NAME.fullmatch(path.name):
            return True
        self.faults.append(Fault(path.name, "file name", "expected [h_div_w]_[count].jsonl; not read"))
        return False

    def _scan(self, path: Path) -> Iterator[tuple[int, int, Row]]:
        """Offset, line number and content of the usable rows."""
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
                Fault(path.name, "row count", f"its name says {int(match[2])}, it has {lines}")
            )


def vary_caption(row: Row, rng: np.random.Generator, short: float) -> str:
    """The caption as it is learnt this time.

    A model's long caption is cut: with probability `short` to its first sentence (two when the first is
    brief), else to a random number of sentences beyond that. A user's prompt stays. What follows `--` is left
    out (settings of other programs). Source: the official data set class.
    """
    caption = row.caption
    if row.written_by_model:
        sentences = [sentence for sentence in caption.split(".") if sentence]
        words = sentences[0].split() if sentences else []
        few = 1 if len(words) >= LONG_SENTENCE else 2
        uniform = rng.random()
        if uniform < short:
            caption = ".".join(sentences[:few])
        elif len(sentences) > few:
            caption = ".".join(sentences[: rng.integers(few + 1, len(sentences) + 1)])
    return (caption.split("--")[0].strip() or caption).strip()


def open_picture(content: bytes, path: Path, where: str) -> Image.Image:
    """A picture in RGB; transparent parts become white. Raises FaultyRow when it cannot be read."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.has_transparency_data:
                image = image.convert("RGBA")
                white = Image.new("RGBA", image.size, "white")
                return Image.alpha_composite(white, image).convert("RGB")
            return image.convert("RGB")
    # Pillow's readers raise many kinds of errors on damaged files.
    except Exception as error:
        raise FaultyRow(Fault(where, "unreadable picture", f"{printable(path)}: {error}")) from error


def read_bytes(path: Path, where: str) -> bytes:
    """A file's content. Raises FaultyRow when there is none."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise FaultyRow(Fault(where, "missing picture", f"{printable(path)}: {error.strerror}")) from error
    # A NUL, or half a character from a broken paste: no file can have that name.
    except ValueError as error:
        raise FaultyRow(Fault(where, "missing picture", f"{printable(path)}: {error}")) from error


def printable(path: Path) -> str:
    """A path as any console and log takes it: a NUL or half a character stands as its escape."""
    return str(path).replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()


def cover(image: Image.Image, size_hw: Sequence[int]) -> Tensor:
    """The picture scaled to cover `size_hw` (LANCZOS), its middle cut out: [3, H, W] in 0..1."""
    height, width = size_hw
    scale = max(height / image.height, width / image.width)
    scaled_wh = (max(width, int(image.width * scale)), max(height, int(image.height * scale)))
    left, top = (scaled_wh[0] - width) // 2, (scaled_wh[1] - height) // 2
    box = (left, top, left + width, top + height)
    if scaled_wh[0] * scaled_wh[1] <= EXTREME * width * height:
        return to_tensor(image.resize(scaled_wh, Image.Resampling.LANCZOS).crop(box))
    # An extreme strip would take gigabytes when scaled whole: only what the middle is made of is scaled.
    source = (
        left * image.width / scaled_wh[0],
        top * image.height / scaled_wh[1],
        (left + width) * image.width / scaled_wh[0],
        (top + height) * image.height / scaled_wh[1],
    )
    return to_tensor(image.resize((width, height), Image.Resampling.LANCZOS, box=source))


def to_tensor(image: Image.Image) -> Tensor:
    """[3, H, W] in 0..1."""
    pixels: NDArray[Any] = np.array(image)
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
