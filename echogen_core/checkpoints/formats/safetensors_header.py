"""The header of a safetensors file: its metadata, and every tensor's type, shape and place, all checked.

Layout as in safetensors_writer.py. The safetensors library checks most of it as well, when the numbers are
read; here only the header is read, and what would surprise a reader later (names twice, sizes that torch
cannot hold, values without end) is refused too. Source: the format's specification.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...utils.json_text import parse_json
from ...utils.printable import printable
from .safetensors_writer import DTYPES

MAX_HEADER_BYTES = 64 << 20
MAX_TENSORS = 50_000
MAX_AXES = 16

TYPES: dict[str, torch.dtype] = {name: dtype for dtype, name in DTYPES.items()} | {
    "C64": torch.complex64,
    "U16": torch.uint16,
    "U32": torch.uint32,
    "U64": torch.uint64,
}
"""Types by their names in files."""

BITS: dict[str, int] = {
    **{name: dtype.itemsize * 8 for name, dtype in TYPES.items()},
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "F4": 4,
}
"""Bits of a number, of all types of the format. Those that torch has no arithmetic for cannot be loaded."""


class Header(NamedTuple):
    """metadata: as written. tensors: on the meta device; types that are not in TYPES as bytes.

    unloadable: name -> type of those.
    """

    metadata: dict[str, str]
    tensors: dict[str, Tensor]
    unloadable: dict[str, str]


def read_header(path: Path) -> Header:
    """Raises ValueError, without the file's name, where the file is not as the format demands."""
    size = path.stat().st_size
    if size == 0:  # some of the system's own say so, and keep a reader waiting
        raise ValueError("empty (0 bytes)")
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(size - 8, MAX_HEADER_BYTES):
            raise ValueError(f"a header of {length} bytes in a file of {size}")
        text = file.read(length)
    entries = parse_json(text)
    if not isinstance(entries, dict):
        raise ValueError(f"expected a JSON object as header, got a {type(entries).__name__}")
    metadata = entries.pop("__metadata__", None) or {}
    if len(entries) > MAX_TENSORS:
        raise ValueError(f"{len(entries):,} tensors, expected at most {MAX_TENSORS:,}")
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("metadata values that are not strings")
    places = {name: _place(name, entry) for name, entry in entries.items()}
    _check_cover(places, size - 8 - length)
    shapes = {name: (entries[name]["shape"], entries[name]["dtype"]) for name in sorted(entries)}
    tensors = {
        name: torch.empty(shape, dtype=TYPES.get(kind, torch.uint8), device="meta")
        for name, (shape, kind) in shapes.items()
    }
    return Header(metadata, tensors, {name: kind for name, (_, kind) in shapes.items() if kind not in TYPES})


def _place(name: str, entry: Any) -> tuple[int, int]:
    """First byte and end of a tensor's numbers, checked against its type and shape."""
    shown = printable(name, 80)
    if not isinstance(entry, Mapping) or not {*entry} >= {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{shown} lacks a type, a shape or data offsets")
    kind, shape, place = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in BITS:
        raise ValueError(f"{shown} has the unknown type {printable(kind, 40)}")
    if not _sizes(shape) or len(shape) > MAX_AXES or not _sizes(place) or len(place) != 2:
        raise ValueError(f"{shown} has the shape {printable(shape, 80)} at {printable(place, 80)}")
    if math.prod(max(side, 1) for side in shape) >= 1 << 60:  # torch counts bytes in 64 bits, of none too
        raise ValueError(f"{shown} has the shape {printable(shape, 80)}, which no memory holds")
    bits = BITS[kind] * math.prod(shape)
    if bits != 8 * (place[1] - place[0]):
        raise ValueError(
            f"{shown} of shape {printable(shape, 80)} and type {kind} has the wrong number of bytes"
        )
    return place[0], place[1]


def _sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and 0 <= size < 1 << 48 for size in value)


def _check_cover(places: Mapping[str, tuple[int, int]], size: int) -> None:
    """ValueError unless the tensors lie one after the other, without gaps, up to the file's end."""
    end = 0
    for name, (begin, stop) in sorted(places.items(), key=lambda item: item[1]):
        if begin != end:
            raise ValueError(f"{printable(name, 80)} begins at byte {begin} instead of {end}")
        end = stop
    if end != size:
        raise ValueError(f"its tensors take {end} bytes, but {size} follow the header")
