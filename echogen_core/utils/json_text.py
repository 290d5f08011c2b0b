"""JSON from outside: no name twice in an object, finite numbers, bounded depth and memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LARGEST = 64 << 20
"""Bytes of a file; the largest tokenizers (Gemma's) take half of that."""
ROOM, TIMES = 200 << 20, 2
"""Bytes of memory that a document may take: ROOM, and TIMES its own size unless the caller says otherwise."""

_WEIGHTS = {b'"': 30, b":": 160, b"{": 232, b"[": 88, b",": 40}
"""Bytes of memory that CPython needs at most for what begins or ends with each sign."""
_PIECE = 1 << 20


def parse_json(text: str | bytes, names_once: bool = True, finite: bool = True, times: int = TIMES) -> Any:
    """The parsed document.

    names_once: false takes the last of several values for a name, as most readers do. finite: false accepts
    NaN and Infinity, which Python's own writer produces. times: see TIMES.
    Raises ValueError: not JSON, not UTF-8, nested too deeply, a name twice, NaN or infinity, or values that
    would take far more memory than the text itself.
    """
    _check_weight(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text, times)
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    once = _once if names_once else None
    constant = _no_number if finite else None
    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_json(path: Path, names_once: bool = True, finite: bool = True, times: int = TIMES) -> Any:
    """The document in a file. Raises ValueError, without its name, as `parse_json` and `read_bounded`."""
    return parse_json(read_bounded(path), names_once, finite, times)


def read_bounded(path: Path) -> bytes:
    """A file's content, no more than its size says. ValueError where that is nothing, or over LARGEST."""
    size = path.stat().st_size
    if size > LARGEST:
        raise ValueError(f"larger than {LARGEST >> 20} MB")
    if size == 0:  # some of the system's own say so, and keep a reader waiting
        raise ValueError("empty (0 bytes)")
    with path.open("rb") as file:
        return file.read(size)


def _check_weight(raw: bytes, times: int) -> None:
    """ValueError where reading a document would take too much memory; nothing is read for it yet."""
    allowed = times * len(raw) + ROOM
    letters = len(raw) + 2 * len(raw) * _width(raw)  # the bytes, the text, and the texts made of it
    if letters + sum(weight * raw.count(sign) for sign, weight in _WEIGHTS.items()) <= allowed:
        return
    plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    taken, inside = letters + _WEIGHTS[b'"'] * plain.count(b'"'), False
    for start in range(0, len(plain), _PIECE):  # what stands outside of texts alone
        if taken > allowed:
            raise ValueError(f"it would take {taken >> 20} MB of memory or more to read")
        parts = plain[start : start + _PIECE].split(b'"')
        outside = b"".join(parts[inside::2])
        taken += sum(_WEIGHTS[sign] * outside.count(sign) for sign in (b":", b"{", b"[", b","))
        inside ^= len(parts) % 2 == 0
    if taken > allowed:
        raise ValueError(f"it would take {taken >> 20} MB of memory or more to read")


def _width(raw: bytes) -> int:
    """Bytes that a letter takes in memory."""
    if any(bytes([first]) in raw for first in range(0xF0, 0xF5)) or b"\\ud" in raw or b"\\uD" in raw:
        return 4
    return 1 if raw.isascii() and b"\\u" not in raw else 2


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice in one object")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not a number")
