"""torch's files, the zip and the older stream: looked through as data first, then opened by torch.

Every failure is a ValueError with the file's name, except where the machine has no memory left to map.
"""

from __future__ import annotations

import io
import mmap
import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .archive import Record, check_sums, read_records
from .faults import AGAIN, printable
from .pickled import Pickled, Storage, WantsCode

ELSEWHERE = (
    "where you trust it, on a machine that may run it, keep its tensors alone: "
    "python -c \"import torch; c = torch.load('IN', weights_only=False); "
    "torch.save(c.get('state_dict', c), 'OUT.pth')\""
)
"""How to make a file that wants code into one of tensors."""

LARGEST_PICKLE = 32 << 20
SMALL = 1 << 16
"""Bytes of a record whose checksum costs nothing beside what is read anyway."""
ALL_SMALL = 8 << 20
SLACK = 16 << 20
MOST_LEVELS = 16
"""Mappings in mappings; the published files have three."""

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


def read_torch(path: Path, zipped: bool, shapes_only: bool) -> dict[str, Any]:
    """Mappings and tensors of a checkpoint; optimizer settings, counters and the like are left out.

    shapes_only: tensors on the meta device; their numbers are not looked at.
    Raises ValueError: damaged, not a checkpoint, or wanting to run code. OSError: no memory to map it.
    """
    try:
        content = _look_through_zip(path, shapes_only) if zipped else _look_through_stream(path)
    except WantsCode as error:
        raise _refused(path, str(error)) from error
    except ValueError as error:
        raise ValueError(
            f"{path} is a damaged or cut off PyTorch file ({printable(error)}). {AGAIN}"
        ) from error
    shapes = only_tensors(content, path)
    return shapes if shapes_only else only_tensors(_load(path, zipped), path)


def only_tensors(content: Any, path: Path) -> dict[str, Any]:
    """The mappings and tensors in a tree; ValueError where it is none, contains itself or never ends."""
    if not isinstance(content, Mapping):
        raise ValueError(
            f"{path} holds a {type(content).__name__}, not named tensors. Expected a checkpoint (state dict)."
        )
    done: dict[int, dict[str, Any]] = {}

    def keep(branch: Mapping[Any, Any], above: tuple[int, ...]) -> dict[str, Any]:
        if id(branch) in above or len(above) >= MOST_LEVELS:
            raise ValueError(
                f"{path} holds mappings within mappings without end. Expected a checkpoint (state dict)."
            )
        if id(branch) not in done:
            kept: dict[str, Any] = {}
            for key, value in branch.items():
                if isinstance(value, Tensor):
                    # without the attributes that a pickle may have given it
                    kept[str(key)] = Tensor.detach(value)
                elif isinstance(value, Mapping):
                    kept[str(key)] = keep(value, (*above, id(branch)))
            done[id(branch)] = kept
        return done[id(branch)]

    return keep(content, ())


def _look_through_zip(path: Path, shapes_only: bool) -> Any:
    records = read_records(path)
    if "constants.pkl" in records or "data.pkl" not in records:
        raise (
            WantsCode("it is a program (TorchScript)")
            if "constants.pkl" in records
            else ValueError("the record data.pkl is missing")
        )
    if records["data.pkl"].size > LARGEST_PICKLE:
        raise ValueError(f"its names and shapes take {records['data.pkl'].size} bytes: too many")
    check_sums(path, _small(records, all_of_them=not shapes_only))
    pickled = Pickled(2 * path.stat().st_size + SLACK)
    content = pickled.read(io.BytesIO(_content(path, records["data.pkl"])))
    for storage in pickled.storages.values():
        record = records.get(f"data/{storage.key}")
        if record is None or record.size != storage.nbytes:
            size = "missing" if record is None else f"of {record.size} bytes"
            raise ValueError(
                f"the record of storage {storage.key[:80]!r} is {size} instead of {storage.nbytes}"
            )
    if "byteorder" in records and _content(path, records["byteorder"]) not in (b"little", b"big"):
        raise ValueError("its order of bytes is unknown")
    return content


def _small(records: Mapping[str, Record], all_of_them: bool) -> Iterable[Record]:
    """Those whose checksums are cheap; not those of numbers, unless all are wanted."""
    room = ALL_SMALL
    for name, record in records.items():
        cheap = record.size <= (LARGEST_PICKLE if name == "data.pkl" else min(room, SMALL))
        if cheap and (all_of_them or not name.startswith("data/")):
            room -= record.size
            yield record


def _content(path: Path, record: Record) -> bytes:
    with path.open("rb") as file:
        file.seek(record.start)
        return file.read(record.size)


def _look_through_stream(path: Path) -> Any:
    """The tree of the older stream: five pickles, then all storages, each after its count."""
    size = path.stat().st_size
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as stream:
        pickled = Pickled(2 * size + SLACK)
        head: Any = stream
        if pickled.read(head) != _MAGIC or pickled.read(head) != _PROTOCOL:
            raise ValueError("not torch's own")
        system = pickled.read(head)
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise ValueError("written by a machine of another order of bytes")
        content, keys = pickled.read(head), pickled.read(head)
        if (
            not isinstance(keys, list)
            or {*map(str, keys)} != {*pickled.storages}
            or len({*map(str, keys)}) != len(keys)
        ):
            raise ValueError("its list of storages is another")
        for key in keys:
            _skip(stream, pickled.storages[str(key)])
        if stream.tell() != size:
            raise ValueError("something follows its last storage")
    return content


def _skip(stream: mmap.mmap, storage: Storage) -> None:
    count = int.from_bytes(stream.read(8), "little")
    if count != storage.count or stream.tell() + storage.nbytes > stream.size():
        raise ValueError(f"storage {storage.key[:80]!r} is cut")
    stream.seek(storage.nbytes, 1)


def _load(path: Path, zipped: bool) -> Any:
    """The object, by the restricted unpickler that builds tensors and containers only."""
    try:
        # The older stream format has no place for tensors to be mapped from.
        return torch.load(path, map_location="cpu", mmap=zipped, weights_only=True)
    except MemoryError:
        raise
    except pickle.UnpicklingError as error:
        if re.search(r"unsupported (global|class)|not an allowed global", str(error), re.IGNORECASE):
            raise _refused(path, _first_line(error)) from error
        raise ValueError(f"{path} is no readable PyTorch file ({_first_line(error)}). {AGAIN}") from error
    # A damaged stream makes the unpickler fail in many ways.
    except Exception as error:
        if "mmap" in str(error):
            raise unmapped(path, error) from error
        raise ValueError(
            f"{path} is a damaged or cut off PyTorch file ({_first_line(error)}). {AGAIN}"
        ) from error


def _refused(path: Path, why: str) -> ValueError:
    return ValueError(
        f"{path} wants to run code when it is opened, which is refused: {printable(why)}. "
        f"Expected a file of tensors only: get the safetensors version, or {ELSEWHERE}"
    )


def unmapped(path: Path, error: Exception) -> OSError:
    """What to do where the system maps no file of this size."""
    gigabytes = path.stat().st_size / 1e9
    return OSError(
        f"{path} ({gigabytes:.1f} GB) cannot be mapped into memory ({_first_line(error)}). Close other "
        "programs or add swap space (a larger page file), so that memory and swap together exceed the file."
    )


def _first_line(error: Exception) -> str:
    """The telling line of torch's long messages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "nsupported" in line or "GLOBAL" in line]
    return printable((telling or lines or ["no reason given"])[0])
