"""Tables in Parquet files, by pyarrow where it is installed."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from .writing import write_atomically


def check_parquet(what: str) -> None:
    """Raises ModuleNotFoundError without pyarrow: before hours of work rather than after.

    what: the beginning of the message, such as "The raw scores are written as Parquet".
    """
    if not has_parquet():
        raise ModuleNotFoundError(f"{what}, which needs pyarrow: run `pip install pyarrow`.")


def has_parquet() -> bool:
    """Whether pyarrow is installed."""
    try:
        importlib.import_module("pyarrow.parquet")
    except ImportError:
        return False
    return True


def write_parquet(record: type, records: Iterable[Any], path: Path) -> None:
    """Writes records in the order given; the same records make the same file.

    record: their class, a dataclass with fields of str, bool, int (0 to 2^64 - 1) and float.
    """
    arrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    kinds = {"str": arrow.string(), "bool": arrow.bool_(), "int": arrow.uint64(), "float": arrow.float64()}
    schema = arrow.schema([(field.name, kinds[str(field.type)]) for field in fields(record)])
    table = arrow.Table.from_pylist([asdict(each) for each in records], schema=schema)
    write_atomically(path, lambda file: parquet.write_table(table, file))


def parquet_columns(path: Path) -> list[str]:
    """The names of a file's columns, which may occur twice. Raises ValueError where it can't be read."""
    with _opened(path) as file:
        return list(file.schema_arrow.names)


def read_parquet(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file, a few thousand in memory at a time; of columns with one name, the last.

    Raises ValueError where it can't be read.
    """
    with _opened(path) as file:
        for batch in file.iter_batches():
            yield from batch.to_pylist()


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    arrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    try:
        with parquet.ParquetFile(path) as file:
            yield file
    except arrow.ArrowException as error:
        raise ValueError(f"Can't read {path} as Parquet ({error}). Write the file again.") from error
