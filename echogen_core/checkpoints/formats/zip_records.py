"""The records of torch's zip files, checked before anything is mapped or unpacked.

torch.save stores every record as it is, one after the other; only a comment may follow the table of contents.
Tensors are mapped from where the table says that they lie: a record that is packed, cut or somewhere else
would be taken for numbers. Source: the zip format's specification.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, NamedTuple

MAX_RECORDS = 100_000
"""Ten times as many as the largest models have."""

_END = struct.Struct("<4s4H2IH")
_END_64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR = struct.Struct("<4sIQI")
_ENTRY = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_MAX_COMMENT_BYTES = 0xFFFF
_LARGE = 0xFFFFFFFF
"""Stands for a number that follows in 64 bits."""
_FLAGS = 0x0808
"""What may be set: names in UTF-8, sizes behind the record as well."""


class ZipRecord(NamedTuple):
    """Where a record lies in the file, in bytes, and its checksum; 0: none was written."""

    start: int
    size: int
    crc: int


class _Entry(NamedTuple):
    name: bytes
    header: int  # place of the record's own header
    size: int
    crc: int


def read_records(path: Path) -> dict[str, ZipRecord]:
    """Name, without that of the archive, -> record.

    Raises ValueError, without the file's name, unless all records are stored, whole and apart from each
    other.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        count, start, end = _find_table(file, size)
        if count > MAX_RECORDS:
            raise ValueError(f"expected at most {MAX_RECORDS} records, got {count}")
        file.seek(start)
        entries = _entries(file.read(end - start), count)
        records: dict[str, ZipRecord] = {}
        free = 0  # where the last record ended
        for entry in sorted(entries, key=lambda entry: entry.header):
            begin = _begin(file, entry)
            if entry.header < free or begin + entry.size > start:
                raise ValueError(f"record {entry.name[:80]!r} reaches into another or past the end")
            free = begin + entry.size
            records[_own_name(entry.name, entries[0].name)] = ZipRecord(begin, entry.size, entry.crc)
    if len({name.lower() for name in records}) != len(entries):  # torch asks for names in any case
        raise ValueError("two records have one name")
    return records


def check_sums(path: Path, records: Iterable[ZipRecord]) -> None:
    """ValueError, without the file's name, where a record's content is not what its checksum was made of."""
    with path.open("rb") as file:
        for record in records:
            file.seek(record.start)
            if record.crc and zlib.crc32(file.read(record.size)) != record.crc:
                raise ValueError(f"the checksum of the record at byte {record.start} is another")


def _find_table(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """Number of entries, first byte and end of the table of contents.

    What follows its end is a comment; the last such end counts.
    """
    file.seek(max(0, size - _MAX_COMMENT_BYTES - _END.size - _LOCATOR.size - _END_64.size))
    before, tail = file.tell(), file.read()
    place = tail.rfind(b"PK\5\6", 0, max(0, len(tail) - _END.size + 4))
    if place < 0:
        raise ValueError("its table of contents is missing")
    _, _, _, _, count, length, start, _ = _END.unpack_from(tail, place)
    end = before + place
    if place >= _LOCATOR.size and tail.startswith(b"PK\6\7", place - _LOCATOR.size):
        place -= _LOCATOR.size + _END_64.size
        end = before + place
        if place < 0 or _LOCATOR.unpack_from(tail, place + _END_64.size)[2] != end:
            raise ValueError("the end of its table of contents is not where it should be")
        mark, _, _, _, _, _, _, large_count, large_length, large_start = _END_64.unpack_from(tail, place)
        small = ((count, large_count, 0xFFFF), (length, large_length, _LARGE), (start, large_start, _LARGE))
        if mark != b"PK\6\6" or any(one not in (other, full) for one, other, full in small):
            raise ValueError("the two ends of its table of contents contradict each other")
        count, length, start = large_count, large_length, large_start
    if start + length != end or count * _ENTRY.size > length:
        raise ValueError("its table of contents is cut")
    return count, start, end


def _entries(table: bytes, count: int) -> list[_Entry]:
    entries = []
    place = 0
    for _ in range(count):
        if place + _ENTRY.size > len(table):
            raise ValueError("its table of contents is cut")
        (
            mark,
            _,
            _,
            flags,
            method,
            _,
            _,
            crc,
            packed,
            size,
            name_length,
            extra_length,
            comment,
            _,
            _,
            _,
            header,
        ) = _ENTRY.unpack_from(table, place)
        place += _ENTRY.size
        name = table[place : place + name_length]
        extra = table[place + name_length : place + name_length + extra_length]
        place += name_length + extra_length + comment
        size, packed, header = _large(extra, size, packed, header)
        if mark != b"PK\1\2" or place > len(table):
            raise ValueError("its table of contents is cut")
        if method or flags & ~_FLAGS or packed != size:
            raise ValueError(f"record {name[:80]!r} is packed or encrypted; torch stores records as they are")
        entries.append(_Entry(name, header, size, crc))
    if place != len(table) or not entries:
        raise ValueError("its table of contents has no entries, or more than it says")
    return entries


def _large(extra: bytes, *numbers: int) -> list[int]:
    """The numbers, those that stand in 64 bits in the entry's extra field from there."""
    wide = b""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1:
            wide = extra[4 : 4 + length]
            break
        extra = extra[4 + length :]
    found = []
    for number in numbers:
        if number == _LARGE and len(wide) >= 8:
            number, wide = int.from_bytes(wide[:8], "little"), wide[8:]
        found.append(number)
    return found


def _begin(file: BinaryIO, entry: _Entry) -> int:
    """Where the record's content begins, said by its own header, which must be that of this entry."""
    file.seek(entry.header)
    head = file.read(_LOCAL.size)
    if len(head) < _LOCAL.size:
        raise ValueError(f"record {entry.name[:80]!r} lies past the end")
    mark, _, flags, method, _, _, _, _, _, name_length, extra_length = _LOCAL.unpack(head)
    if mark != b"PK\3\4" or method or flags & ~_FLAGS or file.read(name_length) != entry.name:
        raise ValueError(f"record {entry.name[:80]!r} is not where the table of contents says")
    return entry.header + _LOCAL.size + name_length + extra_length


def _own_name(name: bytes, first: bytes) -> str:
    """The name behind that of the archive, which torch takes from the first record."""
    top, slash, _ = first.partition(b"/")
    if not slash or not name.startswith(top + slash):
        raise ValueError(f"record {name[:80]!r} is not of an archive of torch")
    return name[len(top) + 1 :].decode("utf-8", "replace")
