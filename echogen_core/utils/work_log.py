"""What several processes have finished in a folder that they share: a log that survives a kill.

FOLDER/<name>-<process>.jsonl gets one line per finished file, flushed to disk after the file is stored.
FOLDER/settings.json says what the files are made with.
"""

from __future__ import annotations

import json
import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import Field, asdict, fields
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from .json_text import parse_json, read_json
from .printable import counted, printable
from .processes import ProcessGroup
from .writing import append_line, write_text

SETTINGS = "settings.json"
TYPES: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "bool": (bool,),
    "int": (int,),
    "float": (float, int),
}
"""Annotation of a record's field -> types of its values in JSON."""


class Finished(Protocol):
    """The record of a finished file: a frozen dataclass whose fields have one of TYPES."""

    @property
    def key(self) -> Hashable:
        """What it is found by."""

    @property
    def path(self) -> str:
        """The file's path below the folder."""


R = TypeVar("R", bound=Finished)


class WorkLog(Generic[R]):
    """The records of a folder; each process writes its own file."""

    def __init__(
        self,
        folder: Path,
        name: str,
        record: type[R],
        process: int = 0,
        earlier_names: Mapping[str, str] | None = None,
    ) -> None:
        """name: of the files. record: its class. earlier_names: of its fields -> what they are called now."""
        self.folder = folder
        self._name = name
        self._record = record
        self._own = folder / f"{name}-{process}.jsonl"
        self._earlier_names = earlier_names or {}
        self._types = {field.name: TYPES[str(field.type)] for field in _fields(record)}

    def read(self) -> dict[Hashable, R]:
        """The records by their keys; as `records`."""
        return {record.key: record for record in self.records()}

    def records(self) -> Iterator[R]:
        """Every record whose file still exists; a last line that a kill cut off is ignored.

        Raises ValueError for a damaged line elsewhere.
        """
        there = _Listing(self.folder)
        for path in sorted(self.folder.glob(f"{self._name}-*.jsonl")):
            # what follows the last line break is incomplete
            for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
                try:
                    record = self._parse(line)
                except ValueError as error:
                    raise ValueError(
                        f"Line {number} of {path} is damaged ({error}): delete that line, and its picture "
                        "is made again."
                    ) from error
                if record.path in there:
                    yield record

    def add(self, record: R) -> None:
        """Writes one line, flushed to disk."""
        values: Any = record
        append_line(self._own, json.dumps(asdict(values), ensure_ascii=False), fsync=True)

    def check_complete(self, missing: Sequence[str], expected: int) -> None:
        """Called when all processes are done. missing: paths of files that have no record.

        Raises ValueError if there are any: another process's records aren't in this folder.
        """
        if missing:
            raise ValueError(
                f"Expected {counted(expected, 'finished picture')} in {self.folder}, missing: "
                f"{len(missing)}, the first {missing[0]}. Several machines need one --out, on a disk that "
                f"they share: copy the pictures and {self._name}-*.jsonl of all into one folder, or start "
                "again with a shared one."
            )

    def _parse(self, line: bytes) -> R:
        """A line of the log. ValueError when it is damaged."""
        values = parse_json(line, finite=False)
        if not isinstance(values, dict):
            raise ValueError(f"expected an object, got {type(values).__name__}")
        values = {self._earlier_names.get(name, name): value for name, value in values.items()}
        if differ := sorted(self._types.keys() ^ values.keys()):
            raise ValueError(f"missing or unknown: {', '.join(differ)}")
        if wrong := [name for name, value in values.items() if type(value) not in self._types[name]]:
            raise ValueError(f"values of another type: {', '.join(wrong)}")
        record: R = self._record(**values)
        return record


def _fields(record: Any) -> tuple[Field[Any], ...]:
    """Of a class that `Finished` says is a dataclass, which no type can."""
    return fields(record)


class _Listing:
    """Which files are below a folder. Each folder is listed once: asking for a million takes minutes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: dict[str, frozenset[str]] = {}

    def __contains__(self, path: str) -> bool:
        parent, _, name = path.rpartition("/")
        if parent not in self._names:
            found: frozenset[str] = frozenset()
            with (
                suppress(FileNotFoundError),
                os.scandir(self._folder / parent) as entries,
            ):
                found = frozenset(entry.name for entry in entries if entry.is_file())
            self._names[parent] = found
        return name in self._names[parent]


def agree_on_settings(folder: Path, settings: Mapping[str, Any], what: str, group: ProcessGroup) -> None:
    """`claim` by the first process, then by all: they must have one folder and one set of settings.

    Raises ValueError as `claim`, and where the first process's settings aren't in the folder.
    """
    if group.rank == 0:
        claim(folder, settings, what)
    group.barrier()
    if not (folder / SETTINGS).is_file():
        raise ValueError(
            f"Expected {folder / SETTINGS}, which the first process has just written, but it isn't there on "
            "this machine: several machines need the same --out, a folder on a disk that they share."
        )
    claim(folder, settings, what)


def claim(folder: Path, settings: Mapping[str, Any], what: str) -> None:
    """Stores the settings that a folder's files are made with, or compares with the stored ones.

    what: the files, in a word. Raises ValueError naming the settings that differ: what two models, for
    instance, have made must not be mixed.
    """
    path = folder / SETTINGS
    if not path.is_file():
        with suppress(FileExistsError):  # another command was first: its settings hold
            write_text(path, json.dumps(settings, indent=1, ensure_ascii=False), new=True)
    stored = _read_settings(path, what)
    if differ := [name for name in {**stored, **settings} if stored.get(name) != settings.get(name)]:
        details = "; ".join(f"{name}: {stored.get(name)} then, {settings.get(name)} now" for name in differ)
        raise ValueError(
            f"{folder} holds {what} made with other settings ({details}). Use another --out, or the same "
            "settings."
        )


def _read_settings(path: Path, what: str) -> dict[str, Any]:
    try:
        stored = read_json(path)
        if not isinstance(stored, dict):
            raise ValueError(f"expected an object, got {type(stored).__name__}")
    except ValueError as error:
        raise ValueError(
            f"{printable(path)}, the settings that the {what} beside it were made with, is damaged ({error})."
            f" Use another --out, or delete the file if those {what} were made with the same settings."
        ) from error
    return stored
