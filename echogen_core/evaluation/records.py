"""The record of each finished picture: a log that survives a kill, and the Parquet file made from it.

OUT/scores-<process>.jsonl gets one line per picture, flushed to disk after the picture is stored.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from ..utils.json_text import parse_json, read_json
from ..utils.printable import printable
from ..utils.writing import append_line, write_atomically, write_picture, write_text

SETTINGS = "settings.json"
_TYPES = {"str": (str,), "bool": (bool,), "int": (int,), "float": (float, int)}


class Key(NamedTuple):
    """Which picture: variant, subject, and the indices of the prompt and of the picture, from 0."""

    variant: str
    subject: str
    prompt_index: int
    picture: int

    @property
    def path(self) -> str:
        """Its path below the output folder."""
        return f"pictures/{self.variant}/{self.subject}/{self.prompt_index:02d}_{self.picture}.png"


@dataclass(frozen=True)
class Record:
    """One row of raw scores. real_pictures: number of pictures that DINO and CLIP-I are averaged over."""

    variant: str
    subject: str
    subject_class: str
    live: bool
    prompt_index: int
    prompt: str
    picture: int
    seed: int
    real_pictures: int
    dino: float
    clip_i: float
    clip_t: float

    @property
    def key(self) -> Key:
        """What the picture is found by."""
        return Key(self.variant, self.subject, self.prompt_index, self.picture)


def check_parquet() -> None:
    """Raises ModuleNotFoundError without pyarrow: before hours of work rather than after."""
    try:
        importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise ModuleNotFoundError(
            "The raw scores are written as Parquet, which needs pyarrow: run `pip install pyarrow`."
        ) from error


def write_parquet(records: Iterable[Record], path: Path) -> None:
    """Writes the records in the order given; the same records make the same file."""
    arrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    kinds = {"str": arrow.string(), "bool": arrow.bool_(), "int": arrow.int32(), "float": arrow.float64()}
    schema = arrow.schema([(field.name, kinds[str(field.type)]) for field in fields(Record)])
    table = arrow.Table.from_pylist([asdict(record) for record in records], schema=schema)
    write_atomically(path, lambda file: parquet.write_table(table, file))


def write_png(image: Image.Image, path: Path, optimize: bool = False) -> None:
    """Store a picture, whole or not at all. optimize: smaller, but slower to write."""
    write_picture(path, image, "PNG", optimize=optimize)


class Log:
    """The records of an output folder; each process writes its own file."""

    def __init__(self, folder: Path, process: int = 0) -> None:
        self.folder = folder
        self._own = folder / f"scores-{process}.jsonl"

    def read(self) -> dict[Key, Record]:
        """Every record whose picture still exists; a last line that a kill cut off is ignored.

        Raises ValueError for a damaged line elsewhere.
        """
        found: dict[Key, Record] = {}
        for path in sorted(self.folder.glob("scores-*.jsonl")):
            # what follows the last line break is incomplete
            for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
                try:
                    record = _parse(line)
                except ValueError as error:
                    raise ValueError(
                        f"Line {number} of {path} is damaged ({error}): delete that line, and its picture "
                        "is made again."
                    ) from error
                if (self.folder / record.key.path).is_file():
                    found[record.key] = record
        return found

    def add(self, record: Record) -> None:
        """Write one line, flushed to disk."""
        append_line(self._own, json.dumps(asdict(record), ensure_ascii=False), fsync=True)


def _parse(line: bytes) -> Record:
    """A line of the log; earlier versions called the variant "arm". ValueError when it is damaged."""
    values = parse_json(line, finite=False)
    if not isinstance(values, dict):
        raise ValueError(f"expected an object, got {type(values).__name__}")
    values = {"variant" if name == "arm" else name: value for name, value in values.items()}
    types = {field.name: _TYPES[str(field.type)] for field in fields(Record)}
    if differ := sorted(types.keys() ^ values.keys()):
        raise ValueError(f"missing or unknown: {', '.join(differ)}")
    if wrong := [name for name, value in values.items() if type(value) not in types[name]]:
        raise ValueError(f"values of another type: {', '.join(wrong)}")
    return Record(**values)


def check_shared(folder: Path) -> None:
    """Called after the first process's `claim`: refuses a folder that isn't the same for all processes.

    Raises ValueError when the first process's settings aren't in it.
    """
    if not (folder / SETTINGS).is_file():
        raise ValueError(
            f"Expected {folder / SETTINGS}, which the first process has just written, but it isn't there on "
            "this machine: several machines need the same --out, a folder on a disk that they share."
        )


def claim(folder: Path, settings: dict[str, Any]) -> None:
    """Stores the settings that a folder's scores are made with, or compares with the stored ones.

    Raises ValueError naming the settings that differ: scores of two models must not be mixed.
    """
    path = folder / SETTINGS
    if not path.is_file():
        with suppress(FileExistsError):  # another command was first: its settings hold
            write_text(path, json.dumps(settings, indent=1, ensure_ascii=False), new=True)
    stored = _read_settings(path)
    if differ := [name for name in {**stored, **settings} if stored.get(name) != settings.get(name)]:
        details = "; ".join(f"{name}: {stored.get(name)} then, {settings.get(name)} now" for name in differ)
        raise ValueError(
            f"{folder} holds scores made with other settings ({details}). Use another --out, or the same "
            "settings."
        )


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        stored = read_json(path)
        if not isinstance(stored, dict):
            raise ValueError(f"expected an object, got {type(stored).__name__}")
    except ValueError as error:
        raise ValueError(
            f"{printable(path)}, the settings that the scores beside it were made with, is damaged ({error})."
            " Use another --out, or delete the file if those scores were made with the same settings."
        ) from error
    return stored
