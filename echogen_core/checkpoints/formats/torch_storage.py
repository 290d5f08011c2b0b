"""What a torch file says of its tensors: where the numbers of each lie, and what may be named there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

MAX_AXES = 64
_MAX_SIZE = 1 << 62
_MAX_NUMEL = 1 << 48

_TYPES: dict[str, torch.dtype] = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexFloat": torch.complex64,
    "ComplexDouble": torch.complex128,
}
_QUANTISED: dict[str, torch.dtype] = {
    "torch QInt8Storage": torch.qint8,
    "torch QUInt8Storage": torch.quint8,
    "torch QInt32Storage": torch.qint32,
    "torch QUInt4x2Storage": torch.quint4x2,
    "torch QUInt2x4Storage": torch.quint2x4,
}
STORAGES: dict[str, torch.dtype] = {
    **{f"torch {name}Storage": dtype for name, dtype in _TYPES.items()},
    **{f"torch.cuda {name}Storage": dtype for name, dtype in _TYPES.items()},
    **_QUANTISED,
    "torch.storage UntypedStorage": torch.uint8,
    "torch.storage TypedStorage": torch.uint8,
}
TENSORS: dict[str, torch.dtype] = {
    **{f"torch {name}Tensor": dtype for name, dtype in _TYPES.items()},
    **{f"torch.cuda {name}Tensor": dtype for name, dtype in _TYPES.items()},
    "torch Tensor": torch.float32,
}
"""Classes of tensors, in the oldest files called without arguments and given their numbers afterwards."""

UNSUPPORTED_TENSORS: dict[str, str] = {
    "torch._utils _rebuild_sparse_tensor": "sparse",
    "torch._utils _rebuild_qtensor": "quantised",
    "torch._utils _rebuild_meta_tensor_no_storage": "without numbers",
    "torch._utils _rebuild_nested_tensor": "nested",
    "torch._utils _rebuild_wrapper_subclass": "of a class of its own",
    "torch._utils _rebuild_device_tensor_from_numpy": "of numpy",
    **{f"torch{place}.sparse {name}Tensor": "sparse" for place in ("", ".cuda") for name in _TYPES},
}
"""Functions and classes of tensors that can't be read -> their form."""


@dataclass(frozen=True)
class Named:
    """A function, class or type by its module and name."""

    name: str

    def __str__(self) -> str:
        return self.name.replace(" ", ".", 1)


@dataclass(frozen=True)
class Storage:
    """Numbers in the file: type, key of their record, count, and how many come before them in the record."""

    dtype: torch.dtype
    key: str
    count: int
    first: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes of its numbers."""
        return self.count * self.dtype.itemsize

    @property
    def begin(self) -> int:
        """First byte in the record."""
        return self.first * self.dtype.itemsize


@dataclass(eq=False)
class Stored:
    """A tensor by where its numbers lie; storage: None where it has none. conj, neg: torch's lazy signs."""

    dtype: torch.dtype
    storage: Storage | None = None
    offset: int = 0
    size: tuple[int, ...] = (0,)
    stride: tuple[int, ...] = (1,)
    conj: bool = False
    neg: bool = False


@dataclass(eq=False)
class Opaque:
    """What is left out. tensor: what it is, where it is one ("sparse")."""

    tensor: str = ""


def read_identity(identity: Any) -> tuple[Storage, Storage]:
    """The whole storage that a persistent id stands for, and the view of it that is meant.

    identity: kind, type, key, place, count; in old files also None or a view: its key, the numbers before it,
    and its own. ValueError where it is of another form.
    """
    if not isinstance(identity, tuple) or len(identity) not in (5, 6):
        raise ValueError("a storage of an unknown form")
    kind, named, key, _, count = identity[:5]
    if not isinstance(named, Named) or named.name not in STORAGES or kind != "storage":
        raise ValueError("a storage of an unknown kind")
    if not isinstance(key, str) or not _is_size(count):
        raise ValueError("a storage of an unknown size")
    whole = Storage(STORAGES[named.name], key, count)
    if identity[5:] in ((), (None,)):
        return whole, whole
    view = identity[5]
    if not isinstance(view, tuple) or len(view) != 3 or not all(map(_is_size, view[1:])):
        raise ValueError("a view of an unknown form")
    if view[1] + view[2] > count:
        raise ValueError(f"a view past the end of storage {key[:80]!r}")
    return whole, Storage(whole.dtype, key, view[2], view[1])


def place(storage: Any, offset: Any, size: Any, stride: Any, dtype: torch.dtype | None = None) -> Stored:
    """A tensor in a storage; ValueError where its numbers are not in there."""
    axes = isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride) <= MAX_AXES
    if not isinstance(storage, Storage) or not axes or not all(map(_is_size, (offset, *size, *stride))):
        raise ValueError("a tensor of an unknown form")
    kind = dtype or storage.dtype
    if kind in _QUANTISED.values():
        raise ValueError("a tensor of an unknown type")
    held, count = storage.nbytes // kind.itemsize, 1
    for side in size:
        count *= side or 1  # torch multiplies the sides of empty tensors too
    if count >= _MAX_NUMEL:
        raise ValueError("a tensor of more numbers than there can be")
    if 0 in size:
        return Stored(kind, storage, 0, size, stride)
    if (last := offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))) >= held:
        raise ValueError(f"a tensor {list(size)} up to number {last} whose storage has {held}")
    return Stored(kind, storage, offset, size, stride)


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MAX_SIZE


def constant(name: str) -> Any:
    """A type of numbers or of their quantisation, which stands for itself."""
    module, _, short = name.partition(" ")
    found = getattr(torch, short, None) if module == "torch" else None
    return found if isinstance(found, torch.dtype | torch.qscheme) else None
