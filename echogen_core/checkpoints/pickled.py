"""What the pickle of a torch file says, read as data: nothing is called, and no tensor is made.

torch's restricted unpickler runs no foreign code, but it lets a file of a few bytes ask for storages, byte
arrays and tensors of any size, and expand a tensor without end. Here every tensor becomes one on the meta
device, after a check that its numbers lie in the file; whatever else would build something is refused.
"""

from __future__ import annotations

import inspect
import pickletools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import torch
from torch import Tensor

MOST_STEPS = 1_000_000
"""Instructions; a tensor takes about forty."""
MOST_AXES = 16
_LARGEST_KEY = 1 << 53

_TYPES: dict[str, torch.dtype | None] = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}
STORAGES: dict[str, torch.dtype | None] = {
    **{f"torch {name}": dtype for name, dtype in _TYPES.items()},
    **{f"torch.cuda {name}": dtype for name, dtype in _TYPES.items()},
    "torch.storage UntypedStorage": None,  # counted in bytes
}

NAMES = ("torch Tensor", "torch.nn.parameter Parameter")
"""Stand beside tensors that have attributes."""


class WantsCode(ValueError):
    """The pickle names a function or class that is no part of a file of tensors."""


@dataclass(frozen=True)
class Named:
    """A function, class or type by its module and name."""

    name: str


@dataclass(frozen=True)
class Storage:
    """Numbers in the file: the type of one (None: bytes), their key and count."""

    dtype: torch.dtype | None
    key: str
    count: int

    @property
    def nbytes(self) -> int:
        return self.count * (self.dtype.itemsize if self.dtype else 1)


class Opaque:
    """Something small that holds no tensor."""


@dataclass
class Pickled:
    """The pickles of one file, read one after the other.

    room: bytes that its tensors may have in all; several may share a storage. storages: key -> storage, all
    that were named.
    """

    room: int
    storages: dict[str, Storage] = field(default_factory=dict)
    steps: int = 0
    stack: list[Any] = field(default_factory=list)
    marks: list[list[Any]] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def read(self, stream: BinaryIO) -> Any:
        """The next object: dicts, lists and tuples of plain values and of tensors on the meta device.

        Raises ValueError, without the file's name: damaged, too large, or with what a file of tensors lacks;
        WantsCode in particular.
        """
        self.stack, self.marks, self.memo = [], [], {}
        for code, value, _ in pickletools.genops(stream):
            self.steps += 1
            step = _STEPS.get(code.name)
            if step is None or self.steps > MOST_STEPS:
                raise ValueError(
                    f"{code.name} is nothing that torch writes" if step is None else "it never ends"
                )
            try:
                step(self, value)
            except (IndexError, KeyError) as error:
                raise ValueError(f"{code.name} lacks what it needs") from error
        if len(self.stack) != 1 or self.marks:
            raise ValueError("it ends in the middle")
        return self.stack.pop()

    def take(self) -> list[Any]:
        """What came after the last mark."""
        taken, self.stack = self.stack, self.marks.pop()
        return taken

    def pack(self, count: int) -> None:
        """The last values as a tuple."""
        if len(self.stack) < count:
            raise IndexError
        self.stack[len(self.stack) - count :] = [tuple(self.stack[len(self.stack) - count :])]

    def name(self, value: str) -> None:
        """A function or class; WantsCode for one that torch does not need for tensors."""
        if value.startswith("__builtin__ "):  # its name in Python 2, which the second protocol writes
            value = value.replace("__builtin__", "builtins", 1)
        if value not in STORAGES and value not in NAMES and value not in _CALLS and _dtype(value) is None:
            raise WantsCode(f"it names {value.replace(' ', '.', 1)}")
        self.stack.append(Named(value))

    def call(self, function: Any, arguments: Any) -> Any:
        """What a call stands for. Nothing but the functions below is ever called."""
        call = _CALLS.get(function.name) if isinstance(function, Named) else None
        if call is None or not isinstance(arguments, tuple):
            shown = (
                function.name.replace(" ", ".") if isinstance(function, Named) else type(function).__name__
            )
            raise ValueError(f"expected tensors and plain settings, got a call of {shown}")
        try:
            _ARGUMENTS[call].bind(self, *arguments)
        except TypeError as error:
            raise ValueError(f"a call with other arguments than it takes ({error})") from error
        return call(self, *arguments)

    def charge(self, content: Any) -> None:
        """Counts what a call copies: it may be asked for again and again."""
        if isinstance(content, str):
            self.room -= len(content)
        elif isinstance(content, Sequence | Mapping):
            self.steps += len(content)
        if self.room < 0 or self.steps > MOST_STEPS:
            raise ValueError("it copies the same over and over")

    def fill(self, items: Sequence[Any]) -> None:
        """Keys and values, in turn, into the dict below them."""
        if not isinstance(self.stack[-1], dict) or len(items) % 2:
            raise ValueError("values without keys")
        for key, value in zip(items[::2], items[1::2], strict=True):
            self.stack[-1][_key(key)] = value

    def extend(self, items: Sequence[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise ValueError("values without a list")
        self.stack[-1].extend(items)

    def build(self) -> None:
        """Attributes: of numpy's types, and a state dict's versions. Others could hide a method."""
        state, holder = self.stack.pop(), self.stack[-1]
        versions = isinstance(holder, dict) and isinstance(state, dict) and set(state) <= {"_metadata"}
        if not versions and not isinstance(holder, Opaque):
            raise ValueError(f"attributes of a {type(holder).__name__}")

    def find_storage(self, identity: Any) -> Storage:
        """The storage that a persistent id (kind, type, key, place, count; in old files a view) names."""
        if (
            not isinstance(identity, tuple)
            or len(identity) not in (5, 6)
            or identity[5:] not in ((), (None,))
        ):
            raise ValueError("a storage of an unknown form")
        kind, named, key, _, count = identity[:5]
        if not isinstance(named, Named) or named.name not in STORAGES or kind != "storage":
            raise ValueError("a storage of an unknown kind")
        if not isinstance(key, str) or not _is_size(count):
            raise ValueError("a storage of an unknown size")
        storage = Storage(STORAGES[named.name], key, count)
        if self.storages.setdefault(key, storage) != storage:
            raise ValueError(f"storage {key[:80]!r} is of two sizes")
        return storage

    def tensor(
        self, storage: Any, offset: Any, size: Any, stride: Any, dtype: torch.dtype | None = None
    ) -> Tensor:
        """A tensor's shape and type; ValueError where its numbers are not in the storage."""
        axes = isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride) <= MOST_AXES
        if not isinstance(storage, Storage) or not axes or not all(map(_is_size, (offset, *size, *stride))):
            raise ValueError("a tensor of an unknown form")
        kind = dtype or storage.dtype or torch.uint8
        held, count = storage.nbytes // kind.itemsize, 1
        for side in size:
            count *= side
        last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
        if count > held or (count and last >= held):
            raise ValueError(f"a tensor {list(size)} whose storage has {held} numbers")
        self.room -= count * kind.itemsize
        if self.room < 0:
            raise ValueError("its tensors together are larger than the file")
        return torch.empty_strided(size, stride, dtype=kind, device="meta")


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 62


def _key(key: Any) -> Any:
    """ValueError for a key whose hash could take the interpreter down (a tuple of great depth), or keep it.

    Large numbers can be chosen so that all have one hash.
    """
    for part in key if isinstance(key, tuple) else (key,):
        number = isinstance(part, int | float) and abs(part) < _LARGEST_KEY
        if not number and not isinstance(part, str | bytes | None):
            raise ValueError(f"a key of the type {type(part).__name__}")
    return key


def _dtype(name: str) -> torch.dtype | None:
    module, _, short = name.partition(" ")
    found = getattr(torch, short, None) if module == "torch" else None
    return found if isinstance(found, torch.dtype) else None


# --- calls, by what a pickle names


def _rebuilt(pickled: Pickled, storage: Any, offset: Any, size: Any, stride: Any, *settings: Any) -> Tensor:
    return pickled.tensor(storage, offset, size, stride)


def _rebuilt_v3(
    pickled: Pickled,
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    grad: Any,
    hooks: Any,
    dtype: Any,
    *_: Any,
) -> Tensor:
    kind = _dtype(dtype.name) if isinstance(dtype, Named) else None
    if kind is None:
        raise ValueError("a tensor of an unknown type")
    return pickled.tensor(storage, offset, size, stride, kind)


def _parameter(pickled: Pickled, tensor: Any, *settings: Any) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise ValueError("a parameter without a tensor")
    return tensor


def _with_attributes(pickled: Pickled, function: Any, kind: Any, arguments: Any, state: Any) -> Any:
    if not isinstance(kind, Named) or kind.name not in NAMES:
        raise ValueError("a tensor of a class of its own")
    return pickled.call(function, arguments)


def _mapping(pickled: Pickled, content: Any = ()) -> dict[Any, Any]:
    pickled.charge(content)
    if isinstance(content, Mapping):
        return dict(content)
    if not isinstance(content, list | tuple) or not all(
        isinstance(p, list | tuple) and len(p) == 2 for p in content
    ):
        raise ValueError("a dict of something else than pairs")
    return {_key(key): value for key, value in content}


def _set(pickled: Pickled, content: Any) -> Opaque:
    pickled.charge(content)
    if not isinstance(content, list) or len([_key(key) for key in content]) != len(content):
        raise ValueError("a set of something else than a list")
    return Opaque()


def _encoded(pickled: Pickled, content: Any, encoding: Any) -> Opaque:
    pickled.charge(content)
    if not isinstance(content, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError("bytes of an unknown form")
    return Opaque()


def _plain(pickled: Pickled, *arguments: Any) -> Opaque:
    """Of plain values alone, none of them a size."""
    for argument in arguments:
        pickled.charge(argument)
        if not isinstance(argument, str | float | bool | list | tuple | Opaque | None):
            raise ValueError(f"expected plain settings, got a {type(argument).__name__} in their place")
    return Opaque()


def _numbers(pickled: Pickled, *arguments: Any) -> Opaque:
    """As `_plain`, of small numbers too (a device's number, the parts of a shape)."""
    return _plain(pickled, *(a for a in arguments if type(a) is not int))


_CALLS: dict[str, Callable[..., Any]] = {
    "torch._utils _rebuild_tensor": _rebuilt,
    "torch._utils _rebuild_tensor_v2": _rebuilt,
    "torch._utils _rebuild_tensor_v3": _rebuilt_v3,
    "torch._utils _rebuild_parameter": _parameter,
    "torch._utils _rebuild_parameter_with_state": _parameter,
    "torch._tensor _rebuild_from_type_v2": _with_attributes,
    "collections OrderedDict": _mapping,
    "collections Counter": _mapping,
    "torch Size": _plain,
    "torch device": _numbers,
    "builtins set": _set,
    "builtins complex": _numbers,
    "builtins bytearray": _plain,
    "_codecs encode": _encoded,
    "numpy dtype": _numbers,
    "numpy.core.multiarray scalar": _plain,
    "numpy._core.multiarray scalar": _plain,
}
_ARGUMENTS = {call: inspect.signature(call) for call in _CALLS.values()}


def _get(pickled: Pickled, place: int) -> None:
    pickled.stack.append(pickled.memo[place])


def _put(pickled: Pickled, place: int) -> None:
    pickled.memo[place] = pickled.stack[-1]


def _mark(pickled: Pickled, _: Any) -> None:
    pickled.marks.append(pickled.stack)
    pickled.stack = []


def _tuple(pickled: Pickled, _: Any) -> None:
    taken = tuple(pickled.take())
    pickled.stack.append(taken)


def _call(pickled: Pickled, _: Any) -> None:
    arguments, function = pickled.stack.pop(), pickled.stack.pop()
    pickled.stack.append(pickled.call(function, arguments))


def _push(make: Callable[[Any], Any]) -> Callable[[Pickled, Any], None]:
    return lambda pickled, value: pickled.stack.append(make(value))


_STEPS: dict[str, Callable[[Pickled, Any], None]] = {
    "PROTO": lambda pickled, value: None,
    "STOP": lambda pickled, value: None,
    "NONE": _push(lambda _: None),
    "NEWTRUE": _push(lambda _: True),
    "NEWFALSE": _push(lambda _: False),
    "EMPTY_TUPLE": _push(lambda _: ()),
    "EMPTY_LIST": _push(lambda _: []),
    "EMPTY_DICT": _push(lambda _: {}),
    "EMPTY_SET": _push(lambda _: Opaque()),
    **dict.fromkeys(
        ("BININT", "BININT1", "BININT2", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING", "LONG1"),
        _push(lambda v: v),
    ),
    "BINGET": _get,
    "LONG_BINGET": _get,
    "BINPUT": _put,
    "LONG_BINPUT": _put,
    "MARK": _mark,
    "TUPLE": _tuple,
    "TUPLE1": lambda pickled, value: pickled.pack(1),
    "TUPLE2": lambda pickled, value: pickled.pack(2),
    "TUPLE3": lambda pickled, value: pickled.pack(3),
    "GLOBAL": lambda pickled, value: pickled.name(value),
    "REDUCE": _call,
    "NEWOBJ": _call,
    "BUILD": lambda pickled, value: pickled.build(),
    "BINPERSID": lambda pickled, value: pickled.stack.append(pickled.find_storage(pickled.stack.pop())),
    "APPEND": lambda pickled, value: pickled.extend([pickled.stack.pop()]),
    "APPENDS": lambda pickled, value: pickled.extend(pickled.take()),
    "SETITEM": lambda pickled, value: pickled.fill([pickled.stack.pop(-2), pickled.stack.pop()]),
    "SETITEMS": lambda pickled, value: pickled.fill(pickled.take()),
}
"""What torch's restricted unpickler knows, and no more."""
