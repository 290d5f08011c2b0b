"""torch's files, the zip and the older stream, read as data: nothing in them is called.

torch.load would build all that a file names. Here only the tensors in its mappings come to be, with the same
numbers, from where the file says that these lie. Every failure is a ValueError with the file's name, except
where the machine has no memory left.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from ...utils.disk import format_size
from ...utils.printable import printable
from ..mismatches import DOWNLOAD_AGAIN, join_names
from .pickle_reader import Pickled, UnsafePickle
from .torch_storage import Opaque, Storage, Stored
from .zip_records import ZipRecord, check_sums, read_records

logger = logging.getLogger(__name__)

CONVERT_HINT = (
    "where you trust it, on a machine that may run it, keep its tensors alone: "
    "python -c \"import torch; c = torch.load('IN', weights_only=False); "
    "torch.save(c.get('state_dict', c), 'OUT.pth')\""
)
"""How to convert a file that runs code to one of tensors only."""

MAX_PICKLE_BYTES = 32 << 20
MAX_CHEAP_RECORD = 1 << 16
"""Bytes of a record that is small enough to have its checksum checked."""
MAX_CHECKED_BYTES = 8 << 20
"""All such records of a file together."""
TEXT_ALLOWANCE = 16 << 20
"""Bytes of text that reading a pickle may copy, beyond twice the size of the file."""
MAX_DEPTH = 16
"""Mappings in mappings; the published files have three."""

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


def read_torch(path: Path, zipped: bool, shapes_only: bool) -> tuple[dict[str, Any], dict[str, str]]:
    """Mappings and tensors of a checkpoint, and name -> form ("sparse") of tensors that cannot be read.

    Optimizer settings, counters and the like are left out.

    shapes_only: tensors on the meta device; their numbers are not looked at.
    Raises ValueError: damaged, not a checkpoint, or wanting to run code. OSError: no memory to map it.
    """
    try:
        found = _scan_zip(path, shapes_only) if zipped else _scan_stream(path)
    except UnsafePickle as error:
        raise _refused(path, str(error)) from error
    except ValueError as error:
        raise ValueError(
            f"{path} is a damaged or truncated PyTorch file ({printable(error)}). {DOWNLOAD_AGAIN}"
        ) from error
    return _only_tensors(found.content, path, _to_meta if shapes_only else _StorageReader(found).tensor)


@dataclass(frozen=True)
class _ScannedFile:
    """A file's content, and where each of its storages lies: key -> first byte and size.

    turned: its numbers are of the other order of bytes.
    """

    path: Path
    zipped: bool
    content: Any
    places: Mapping[str, tuple[int, int]]
    turned: bool = False


def _only_tensors(
    content: Any, path: Path, make: Callable[[Stored], Tensor]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The mappings and tensors in a tree; ValueError where it is none, contains itself or never ends."""
    if not isinstance(content, dict):
        kinds: dict[type, str] = {Stored: "a Tensor", Opaque: "an object without tensors"}
        kind = kinds.get(type(content), f"a {type(content).__name__}")
        raise ValueError(f"{path} holds {kind}, not named tensors. Expected a checkpoint (state dict).")
    done: dict[int, dict[str, Any]] = {}
    unsupported: dict[str, str] = {}

    def keep(branch: dict[Any, Any], above: tuple[int, ...]) -> dict[str, Any]:
        if id(branch) in above or len(above) >= MAX_DEPTH:
            raise ValueError(f"{path} has mappings nested without end. Expected a checkpoint (state dict).")
        if id(branch) not in done:
            kept: dict[str, Any] = {}
            for key, value in branch.items():
                if isinstance(value, Stored):
                    kept[str(key)] = make(value)
                elif isinstance(value, dict):
                    kept[str(key)] = keep(value, (*above, id(branch)))
                elif isinstance(value, Opaque) and value.tensor:
                    unsupported[str(key)] = value.tensor
            done[id(branch)] = kept
        return done[id(branch)]

    tree = keep(content, ())
    if unsupported and make is not _to_meta:
        names = join_names([f"{name} ({kind})" for name, kind in unsupported.items()])
        logger.warning("%s: tensors that are no plain numbers are left out: %s.", path, names)
    return tree, unsupported


def _to_meta(stored: Stored) -> Tensor:
    return torch.empty_strided(stored.size, stored.stride, dtype=stored.dtype, device="meta")


@dataclass
class _StorageReader:
    """A file whose tensors are asked for: mapped (the zip), or read (the stream) storage by storage."""

    found: _ScannedFile
    storages: dict[str, torch.UntypedStorage] = field(default_factory=dict)
    whole: torch.UntypedStorage | None = None

    def tensor(self, stored: Stored) -> Tensor:
        """Its numbers, not copied."""
        tensor = torch.empty(0, dtype=stored.dtype)
        if stored.storage is None:
            return tensor
        begin, end = stored.storage.begin, stored.storage.begin + stored.storage.nbytes
        tensor.set_(self._storage(stored.storage)[begin:end], stored.offset, stored.size, stored.stride)
        if stored.conj:
            tensor = tensor.conj()
        return torch._neg_view(tensor) if stored.neg else tensor

    def _storage(self, wanted: Storage) -> torch.UntypedStorage:
        if wanted.key not in self.storages:
            start, size = self.found.places[wanted.key]
            storage = self._mapped(start, size) if self.found.zipped else self._read(start, size)
            if self.found.turned:
                storage.byteswap(wanted.dtype)
            self.storages[wanted.key] = storage
        return self.storages[wanted.key]

    def _mapped(self, start: int, size: int) -> torch.UntypedStorage:
        if self.whole is None:
            path = self.found.path
            try:
                whole = torch.UntypedStorage.from_file(str(path), False, path.stat().st_size)
            except RuntimeError as error:
                raise mapping_error(path, error) from error
            assert isinstance(whole, torch.UntypedStorage)
            self.whole = whole
        return self.whole[start : start + size]

    def _read(self, start: int, size: int) -> torch.UntypedStorage:
        """In memory: the older stream puts numbers anywhere, not where a processor could take them from."""
        numbers = bytearray(size)
        with self.found.path.open("rb") as file:
            file.seek(start)
            if file.readinto(numbers) != size:
                raise ValueError(f"{self.found.path} has become shorter. {DOWNLOAD_AGAIN}")
        if not size:
            return torch.UntypedStorage(0)
        return torch.frombuffer(numbers, dtype=torch.uint8).untyped_storage()


def _scan_zip(path: Path, shapes_only: bool) -> _ScannedFile:
    records = read_records(path)
    if "constants.pkl" in records or "data.pkl" not in records:
        raise (
            UnsafePickle("it is a program (TorchScript)")
            if "constants.pkl" in records
            else ValueError("the record data.pkl is missing")
        )
    if records["data.pkl"].size > MAX_PICKLE_BYTES:
        raise ValueError(
            f"its names and shapes take {records['data.pkl'].size:,} bytes, at most {MAX_PICKLE_BYTES:,}"
        )
    check_sums(path, _small(records, all_of_them=not shapes_only))
    pickled = Pickled(2 * path.stat().st_size + TEXT_ALLOWANCE)
    content = pickled.read(io.BytesIO(_content(path, records["data.pkl"])))
    for storage in pickled.storages.values():
        record = records.get(f"data/{storage.key}")
        if record is None or record.size != storage.nbytes:
            size = "missing" if record is None else f"of {record.size} bytes"
            raise ValueError(
                f"the record of storage {storage.key[:80]!r} is {size}, expected {storage.nbytes}"
            )
    order = _content(path, records["byteorder"]) if "byteorder" in records else b"little"
    if order not in (b"little", b"big"):
        raise ValueError("its byte order is unknown")
    places = {key: records[f"data/{key}"][:2] for key in pickled.storages}
    return _ScannedFile(path, True, content, places, order.decode() != sys.byteorder)


def _small(records: Mapping[str, ZipRecord], all_of_them: bool) -> Iterable[ZipRecord]:
    """Those whose checksums are cheap; not those of numbers, unless all are wanted."""
    budget = MAX_CHECKED_BYTES
    for name, record in records.items():
        cheap = record.size <= (MAX_PICKLE_BYTES if name == "data.pkl" else min(budget, MAX_CHEAP_RECORD))
        if cheap and (all_of_them or not name.startswith("data/")):
            budget -= record.size
            yield record


def _content(path: Path, record: ZipRecord) -> bytes:
    with path.open("rb") as file:
        file.seek(record.start)
        return file.read(record.size)


def _scan_stream(path: Path) -> _ScannedFile:
    """The older stream: five pickles, then all storages, each after its count."""
    with path.open("rb") as file:
        head = io.BytesIO(file.read(MAX_PICKLE_BYTES))
        pickled = Pickled(2 * path.stat().st_size + TEXT_ALLOWANCE)
        if pickled.read(head) != _MAGIC or pickled.read(head) != _PROTOCOL:
            raise ValueError("not written by torch")
        system = pickled.read(head)
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise ValueError("written on a machine with another byte order")
        content, keys = pickled.read(head), pickled.read(head)
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise ValueError("its list of storages is malformed")
        if len({*keys}) != len(keys) or {*keys} != {*pickled.storages}:
            raise ValueError("its list of storages does not match its tensors")
        file.seek(head.tell())
        places = {key: _find(file, pickled.storages[key]) for key in keys}
    return _ScannedFile(path, False, content, places, sys.byteorder != "little")


def _find(file: BinaryIO, storage: Storage) -> tuple[int, int]:
    """First byte and size of the next storage, which is passed over."""
    count = int.from_bytes(file.read(8), "little")
    start = file.tell()
    if count != storage.count or start + storage.nbytes > os.fstat(file.fileno()).st_size:
        raise ValueError(f"storage {storage.key[:80]!r} is truncated")
    file.seek(start + storage.nbytes)
    return start, storage.nbytes


def _refused(path: Path, why: str) -> ValueError:
    return ValueError(
        f"{path} wants to run code when it is opened, and is refused: {printable(why)}. "
        f"Expected a file of tensors only: get the safetensors version, or {CONVERT_HINT}"
    )


def mapping_error(path: Path, error: Exception) -> OSError:
    """The error for a file that the system can't map into memory, with what to do."""
    size = format_size(path.stat().st_size)
    return OSError(
        f"Can't map {path} ({size}) into memory ({_first_line(error)}). Close other "
        "programs or add swap space (a larger page file), so that memory and swap together exceed the file."
    )


def _first_line(error: Exception) -> str:
    return printable(
        next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
    )
