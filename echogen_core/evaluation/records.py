"""What is known about each finished picture: a log that survives a kill, and the Parquet made of it.

OUT/scores-<process>.jsonl gets one line a picture, written and flushed after the picture itself was stored.
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

from ..writing import append_line, write_picture, write_text, write_whole

SETTINGS = "settings.json"


class Key(NamedTuple):
    """Which picture: variant, subject, place of the prompt and of the picture among its equals, from 0."""

    variant: str
    subject: str
    prompt_index: int
    picture: int

    @property
    def path(self) -> str:
        """Where it lies below the output folder."""
        return f"pictures/{self.variant}/{self.subject}/{self.prompt_index:02d}_{self.picture}.png"


@dataclass(frozen=True)
class Record:
    """One row of raw scores. real_pictures: how many DINO and CLIP-I are means over."""

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
        return Key(self.variant, self.subject, self.prompt_index, self.picture)


def check_parquet() -> None:
    """Raises ModuleNotFoundError, saying what to install, before hours of work rather than after them."""
    try:
        importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise ModuleNotFoundError(
            "The raw scores are written as Parquet, which needs pyarrow: run `pip install pyarrow`."
        ) from error


def write_parquet(records: Iterable[Record], path: Path) -> None:
    """All records in the order given; the same records give the same file."""
    arrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    kinds = {"str": arrow.string(), "bool": arrow.bool_(), "int": arrow.int32(), "float": arrow.float64()}
    schema = arrow.schema([(field.name, kinds[str(field.type)]) for field in fields(Record)])
    table = arrow.Table.from_pylist([asdict(record) for record in records], schema=schema)
    write_whole(path, lambda file: parquet.write_table(table, file))


def write_png(image: Image.Image, path: Path, optimize: bool = False) -> None:
    """Store a picture whole or not at all; optimize: smaller, and slower to write."""
    write_picture(path, image, "PNG", optimize=optimize)


class Log:
    """The records of an output folder, written by several processes, each to its own file."""

    def __init__(self, folder: Path, process: int = 0) -> None:
        self.folder = folder
        self._own = folder / f"scores-{process}.jsonl"

    def read(self) -> dict[Key, Record]:
        """Everything finished whose picture is still there; a line that a kill cut off is no record.

        Raises ValueError for a damaged line elsewhere.
        """
        found: dict[Key, Record] = {}
        for path in sorted(self.folder.glob("scores-*.jsonl")):
            # what follows the last line break was cut off
            for number, line in enumerate(path.read_text(encoding="utf-8").split("\n")[:-1], start=1):
                try:
                    record = _parse(line)
                except (ValueError, TypeError, AttributeError) as error:
                    raise ValueError(
                        f"Line {number} of {path} is damaged ({error}): delete that line, its picture "
                        "will be made again."
                    ) from error
                if (self.folder / record.key.path).is_file():
                    found[record.key] = record
        return found

    def add(self, record: Record) -> None:
        """Write one line, down to the disk."""
        append_line(self._own, json.dumps(asdict(record), ensure_ascii=False), lasting=True)


def _parse(line: str) -> Record:
    """A line of the log; version 0.1.0 called the variant "arm"."""
    values = json.loads(line)
    return Record(**{"variant" if name == "arm" else name: value for name, value in values.items()})


def check_shared(folder: Path) -> None:
    """To be called after the first process's `claim`: refuses a folder that is not the same for all.

    Raises ValueError when what the first process keeps in it is not seen here.
    """
    if not (folder / SETTINGS).is_file():
        raise ValueError(
            f"Expected {folder / SETTINGS}, which the first process has just written, but it is not there on "
            "this machine: several machines need the same --out, a folder on a disk that they share."
        )


def claim(folder: Path, settings: dict[str, Any]) -> None:
    """Keep the settings that scores of this folder were made with, or compare with those kept.

    Raises ValueError naming the settings that differ: scores of two models must not be mixed.
    """
    path = folder / SETTINGS
    if not path.is_file():
        with suppress(FileExistsError):  # another command came first: its settings count
            write_text(path, json.dumps(settings, indent=1, ensure_ascii=False), new=True)
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if differ := [name for name in {**kept, **settings} if kept.get(name) != settings.get(name)]:
        details = "; ".join(f"{name}: {kept.get(name)} then, {settings.get(name)} now" for name in differ)
        raise ValueError(
            f"{folder} holds scores made with other settings ({details}). Use another --out, or the same "
            "settings."
        )
