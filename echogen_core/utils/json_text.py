"""JSON from outside: no name twice in an object, finite numbers, bounded depth and memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .printable import printable

MAX_BYTES = 64 << 20
"""Bytes of a file; the largest tokenizers (Gemma's) take half of that."""
BASE_MEMORY, MEMORY_FACTOR = 200 << 20, 2
"""Bytes of memory that a document may take: BASE_MEMORY plus (by default) MEMORY_FACTOR times its size."""

_TOKEN_BYTES = {b'"': 30, b":": 160, b"{": 232, b"[": 88, b",": 40}
"""Bytes of memory that CPython needs at most for what begins or ends with each sign."""
_PIECE = 1 << 20


def parse_json(
    text: str | bytes,
    reject_duplicate_keys: bool = True,
    finite: bool = True,
    memory_factor: int = MEMORY_FACTOR,
) -> Any:
    """The parsed document.

    reject_duplicate_keys: False takes the last of several values for a key, as most readers do. finite: False
    accepts NaN and Infinity, which Python's own writer produces. memory_factor: see MEMORY_FACTOR.
    Raises ValueError: not JSON, not UTF-8, nested too deeply, a name twice, NaN or infinity, or values that
    would take far more memory than the text itself.
    """
    _check_memory(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text, memory_factor)
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    once = _unique_keys if reject_duplicate_keys else None
    constant = _reject_constant if finite else None
    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_json(
    path: Path, reject_duplicate_keys: bool = True, finite: bool = True, memory_factor: int = MEMORY_FACTOR
) -> Any:
    """The document in a file. Raises ValueError, without its name, as `parse_json` and `read_bounded`."""
    return parse_json(read_bounded(path), reject_duplicate_keys, finite, memory_factor)


def read_bounded(path: Path) -> bytes:
    """A file's content, no more than its size says. ValueError where that is nothing, or over MAX_BYTES."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES >> 20} MB")
    if size == 0:  # some of the system's own say so, and keep a reader waiting
        raise ValueError("empty (0 bytes)")
    with path.open("rb") as file:
        return file.read(size)


def _check_memory(raw: bytes, memory_factor: int) -> None:
    """ValueError where reading a document would take too much memory; nothing is read for it yet."""
    allowed = memory_factor * len(raw) + BASE_MEMORY
    letters = len(raw) + 2 * len(raw) * _width(raw)  # the bytes, the text, and the texts made of it
    if letters + sum(weight * raw.count(sign) for sign, weight in _TOKEN_BYTES.items()) <= allowed:
        return
    plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    taken, inside = letters + _TOKEN_BYTES[b'"'] * plain.count(b'"'), False
    for start in range(0, len(plain), _PIECE):  # what stands outside of texts alone
        if taken > allowed:
            raise ValueError(f"it would take {taken >> 20} MB of memory or more to read")
        parts = plain[start : start + _PIECE].split(b'"')
        outside = b"".join(parts[inside::2])
        taken += sum(_TOKEN_BYTES[sign] * outside.count(sign) for sign in (b":", b"{", b"[", b","))
        inside ^= len(parts) % 2 == 0
    if taken > allowed:
        raise ValueError(f"it would take {taken >> 20} MB of memory or more to read")


def _width(raw: bytes) -> int:
    """Bytes that a letter takes in memory."""
    if any(bytes([first]) in raw for first in range(0xF0, 0xF5)) or b"\\ud" in raw or b"\\uD" in raw:
        return 4
    return 1 if raw.isascii() and b"\\u" not in raw else 2


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"the name '{printable(twice)}' occurs twice in one object")
    return found


def _reject_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a number")
