"""A file of jobs, row by row: CSV, JSON lines or Parquet.

Rows have the numbers that people see: in CSV as a spreadsheet counts them, with the names of the columns as
row 1; in JSON lines the number of the line; in Parquet from 1.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from ..utils.json_text import parse_json
from ..utils.option_checks import OptionError, typed
from ..utils.parquet import check_parquet, parquet_columns, read_parquet
from ..utils.printable import printable

LARGEST_CELL = 1 << 20
"""Characters of a CSV cell."""
_DELIMITERS = ",;\t"
_DECLARED = re.compile(r'"?sep=([^\w\s"]|\t)"?\1*', re.IGNORECASE)
"""Excel's own first line, which says what separates and which no spreadsheet shows or counts."""


class Fault(NamedTuple):
    """What is wrong with a row. column: '' where no single one is at fault."""

    row: int
    column: str
    message: str

    def __str__(self) -> str:
        return f"Row {self.row}{self.column and f', {self.column}'}: {self.message}"


class FaultyCell(ValueError):
    """A cell that can't be used, in every row that holds the same. column, message: as in Fault."""

    def __init__(self, column: str, message: str) -> None:
        super().__init__(message)
        self.column = column
        self.message = message

    @classmethod
    def of(cls, error: OptionError) -> FaultyCell:
        """The column of the option's name."""
        return cls(error.option, f"it {error.reason}")

    def in_row(self, number: int, options: Container[str] = ()) -> Fault:
        """options: columns in which the row has what the command line says."""
        of_option = f" It comes from {typed(self.column)}." if self.column in options else ""
        return Fault(number, self.column, f"{self.message}{of_option}")


class Cells(NamedTuple):
    """A row as it was written: its number, and column -> value, without empty ones."""

    number: int
    values: Mapping[str, Any]


def read_jobs(path: Path, columns: Sequence[str]) -> Iterator[Cells | Fault]:
    """The rows of a file; blank lines are passed over.

    columns: the names that are known. gamma-t, Gamma T and gamma_t are the same name.
    Raises OSError where there is no file or it can't be read, ValueError for another kind of file, a header
    with an unknown name or none, and one that is no UTF-8 or no Parquet; ModuleNotFoundError where Parquet
    needs pyarrow.
    """
    readers: Mapping[str, Callable[[Path, Sequence[str]], Iterator[Cells | Fault]]] = {
        ".csv": _read_csv,
        ".jsonl": _read_json_lines,
        ".parquet": _read_parquet,
    }
    if path.suffix.lower() not in readers:
        raise ValueError(f"Expected jobs in a file that ends in {', '.join(readers)}, got {printable(path)}.")
    if not path.is_file():
        raise FileNotFoundError(f"No jobs at {printable(path)}. Check the path.")
    try:
        yield from readers[path.suffix.lower()](path, columns)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{printable(path)} isn't UTF-8 (byte {error.start}). Save it as UTF-8; in a spreadsheet, "
            '"CSV UTF-8".'
        ) from error


def _read_csv(path: Path, columns: Sequence[str]) -> Iterator[Cells | Fault]:
    csv.field_size_limit(LARGEST_CELL)
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        if declared := _DECLARED.fullmatch(first.rstrip("\r\n")):
            delimiter, first = declared[1], file.readline()
        else:  # spreadsheets write what their country separates by
            delimiter = max(_DELIMITERS, key=first.count)
        rows = csv.reader(chain([first], file), delimiter=delimiter, strict=True)
        names = [_plain(name) for name in next(rows, [])]
        while names and not names[-1]:  # as spreadsheets leave them
            names.pop()
        _check_names(path, names, columns)
        number = 1
        while True:
            number += 1
            try:
                values = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                yield Fault(
                    number,
                    "",
                    f"it is no CSV ({error}). Look at its quotation marks, and at the rows after it.",
                )
                continue
            if any(value.strip() for value in values[len(names) :]):
                yield Fault(
                    number, "", f"expected at most {len(names)} cells, as there are columns, got "
                    f'{len(values)}. Put a text with {delimiter!r} into quotation marks.'
                )  # fmt: skip
            elif any(value.strip() for value in values):
                yield Cells(number, _filled(zip(names, values, strict=False)))


def _read_json_lines(path: Path, columns: Sequence[str]) -> Iterator[Cells | Fault]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if not line.strip():
                continue
            try:
                values = parse_json(line)
                if not isinstance(values, dict):
                    raise ValueError(f"got {type(values).__name__}")
            except UnicodeDecodeError:
                raise
            except ValueError as error:
                yield Fault(number, "", f"expected an object in JSON ({printable(error)}).")
                continue
            names = [_plain(name) for name in values]
            if unknown := [name for name in names if name not in columns]:
                yield Fault(number, printable(unknown[0]), _unknown(columns))
            elif twice := _repeated(names):
                yield Fault(number, twice, "expected it once, got it twice. Leave one out.")
            else:
                yield Cells(number, _filled(zip(names, values.values(), strict=True)))


def _read_parquet(path: Path, columns: Sequence[str]) -> Iterator[Cells | Fault]:
    check_parquet(f"{printable(path)} is Parquet")
    _check_names(path, [_plain(name) for name in parquet_columns(path)], columns)
    for number, values in enumerate(read_parquet(path), start=1):
        yield Cells(number, _filled((_plain(name), value) for name, value in values.items()))


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def _filled(values: Any) -> dict[str, Any]:
    return {name: value for name, value in values if not _is_empty(value)}


def _is_empty(value: Any) -> bool:
    """A table's missing number is NaN, which differs from itself."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or value == [] or value != value


def _check_names(path: Path, names: Sequence[str], columns: Sequence[str]) -> None:
    if not any(names):
        raise ValueError(f"{printable(path)} has no names of columns in its first row. Write them there.")
    for place, name in enumerate(names, start=1):
        if name not in columns:
            shown = f"'{printable(name)}'" if name else f"{place}, which has no name"
            raise ValueError(f"{printable(path)}, column {shown}: {_unknown(columns)}")
    if twice := _repeated(names):
        raise ValueError(f"{printable(path)} has two columns '{twice}'. Leave one out.")


def _repeated(names: Sequence[str]) -> str:
    """The first name that occurs twice; '' for none."""
    return next((name for name in names if names.count(name) > 1), "")


def _unknown(columns: Sequence[str]) -> str:
    return f"expected a name out of {', '.join(columns)}. Rename it, or leave it out."
