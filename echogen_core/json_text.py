"""JSON from outside: names once, numbers that are numbers, no depth without end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LARGEST = 64 << 20
"""Bytes of a file; the largest tokenizers have a third of that."""
MOST_VALUES = 4_000_000
"""Of a document: each may take twenty times the memory that it takes in the file."""


def parse_json(text: str | bytes, names_once: bool = True) -> Any:
    """The document. Raises ValueError: no JSON, not in UTF-8, nested too deeply, a name twice, no number,
    values without end.

    names_once: false takes the last of several values for a name, as most readers do.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    if text.count(",") > MOST_VALUES:
        raise ValueError(f"more than {MOST_VALUES:,} values")
    once = _once if names_once else None
    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_json(path: Path, names_once: bool = True) -> Any:
    """The document in a file. Raises ValueError, without the file's name, as `parse_json`."""
    if path.stat().st_size > LARGEST:
        raise ValueError(f"larger than {LARGEST >> 20} MB")
    return parse_json(path.read_bytes(), names_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands in it twice")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number")
