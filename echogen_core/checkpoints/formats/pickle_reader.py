"""What the pickle of a torch file says, read as data: nothing is called, and no tensor is made.

torch's restricted unpickler runs no foreign code, but it lets a file of a few bytes ask for storages, byte
arrays and tensors of any size, and calls whatever another program has allowed it to. Here a tensor is where
its numbers lie, after a check that they do lie in the file; what else would be built is left out.
"""

from __future__ import annotations

import inspect
import pickletools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import torch

from .torch_storage import (
    STORAGES,
    TENSORS,
    UNSUPPORTED_TENSORS,
    Named,
    Opaque,
    Storage,
    Stored,
    constant,
    place,
    read_identity,
)

MAX_STEPS = 4_000_000
"""Opcodes; a tensor takes about forty. One that makes a container counts as CONTAINER_COST."""
CONTAINER_COST = 4
MAX_KEY_DEPTH = 16
"""Levels of nested tuples in a key."""
_MAX_INT_KEY = 1 << 53


class UnsafePickle(ValueError):
    """The pickle names a function or class that a file of tensors doesn't need."""


def _allowed() -> set[str]:
    """What other programs in this process allow files to name (ComfyUI does, for Lightning's checkpoints)."""
    pairs = (one if isinstance(one, tuple) else (one, "") for one in torch.serialization.get_safe_globals())
    return {name or f"{one.__module__}.{one.__qualname__}" for one, name in pairs}


@dataclass
class Pickled:
    """The pickles of one file, read one after the other.

    byte_budget: bytes of text that may be copied. storages: key -> the whole of each storage that was named.
    """

    byte_budget: int
    storages: dict[str, Storage] = field(default_factory=dict)
    allowed: set[str] = field(default_factory=_allowed)
    steps: int = 0
    stack: list[Any] = field(default_factory=list)
    marks: list[list[Any]] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def read(self, stream: BinaryIO) -> Any:
        """The next object: dicts, lists and tuples of plain values, `Stored`, `Opaque` and `Named`.

        Raises ValueError, without the file's name: damaged, too large, or with what a file of tensors lacks;
        UnsafePickle in particular.
        """
        self.stack, self.marks, self.memo = [], [], {}
        for code, value, _ in pickletools.genops(stream):
            step = _STEPS.get(code.name)
            if step is None:
                raise ValueError(f"{code.name} is nothing that torch writes")
            self.steps += 1 if code.name in _CHEAP_OPCODES else CONTAINER_COST
            if self.steps > MAX_STEPS:
                raise ValueError("it never ends")
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
        """A function or class; UnsafePickle for one that neither torch nor this process allows."""
        if value.startswith("__builtin__ "):  # its name in Python 2, which the second protocol writes
            value = value.replace("__builtin__", "builtins", 1)
        named = Named(value)
        tables = (STORAGES, TENSORS, UNSUPPORTED_TENSORS, _CALLS)
        known = any(value in table for table in tables) or constant(value)
        if not known and str(named) not in self.allowed:
            raise UnsafePickle(f"it names {named}")
        self.stack.append(named)

    def call(self, function: Any, arguments: Any) -> Any:
        """What a call stands for. Nothing but the functions below is ever called."""
        name = function.name if isinstance(function, Named) else ""
        if (
            not name
            or not isinstance(arguments, tuple)
            or name in STORAGES
            or (name in TENSORS and arguments)
        ):
            shown = function if name else type(function).__name__
            raise ValueError(f"expected tensors and plain settings, got a call of {shown}")
        if name in TENSORS:
            return Stored(TENSORS[name])
        if name not in _CALLS:
            return Opaque(UNSUPPORTED_TENSORS.get(name, ""))
        fewest, most = _ARGUMENTS[name]
        if not fewest <= len(arguments) <= most:
            raise ValueError(f"a call of {function} with {len(arguments)} arguments")
        return _CALLS[name](self, *arguments)

    def spend_budget(self, content: Any = ()) -> None:
        """Counts a copy, which a pickle may ask for in a loop; ValueError when the budget is exhausted."""
        if isinstance(content, str | bytes):
            self.byte_budget -= len(content)
        else:
            self.steps += len(content) if isinstance(content, dict | list | tuple) else 0
        if self.byte_budget < 0 or self.steps > MAX_STEPS:
            raise ValueError("it copies the same over and over")

    def fill(self, items: Sequence[Any]) -> None:
        """Keys and values, in turn, into the dict below them."""
        if not isinstance(self.stack[-1], dict) or len(items) % 2:
            raise ValueError("values without keys")
        for key, value in zip(items[::2], items[1::2], strict=True):
            self.stack[-1][self.key(key)] = value

    def key(self, key: Any, level: int = 0) -> Any:
        """A key as it can be hashed: not in tuples of great depth, which could take the interpreter down.

        Large numbers can be chosen so that all have one hash, and become text.
        """
        if key is None or isinstance(key, str | bytes | Named | Stored | Opaque):
            return key
        if isinstance(key, int | float):
            return key if abs(key) < _MAX_INT_KEY else str(key)
        if not isinstance(key, tuple) or level > MAX_KEY_DEPTH:
            raise ValueError(f"a key of the type {type(key).__name__}")
        self.steps += CONTAINER_COST * len(key)
        self.spend_budget()
        return tuple(self.key(part, level + 1) for part in key)

    def extend(self, items: Sequence[Any]) -> None:
        """Append to the list on top of the stack. Raises ValueError where there is none."""
        if not isinstance(self.stack[-1], list):
            raise ValueError("values without a list")
        self.stack[-1].extend(items)

    def build(self) -> None:
        """Attributes, which are left out, or a tensor's numbers after it."""
        state, holder = self.stack.pop(), self.stack[-1]
        if isinstance(holder, Stored) and isinstance(state, tuple) and len(state) in (4, 5):
            # Four: a tensor of torch's first versions. Five: a variable, its tensor first. In place, as the
            # memo may hold it already.
            placed = place(*state, dtype=holder.dtype) if len(state) == 4 else state[0]
            if not isinstance(placed, Stored):
                raise ValueError("a tensor of an unknown form")
            vars(holder).update(vars(placed))
        elif not isinstance(holder, Stored | dict | Opaque):
            raise ValueError(f"attributes of a {type(holder).__name__}")

    def find_storage(self, identity: Any) -> Storage:
        """The storage that a persistent id names."""
        whole, view = read_identity(identity)
        if self.storages.setdefault(whole.key, whole) != whole:
            raise ValueError(f"storage {whole.key[:80]!r} is of two sizes")
        return view


# --- calls, by what a pickle names


def _rebuilt(
    pickled: Pickled, storage: Any, offset: Any, size: Any, stride: Any,
    grad: Any = False, hooks: Any = None, signs: Any = None,
) -> Stored:  # fmt: skip
    return _signed(place(storage, offset, size, stride), signs)


def _rebuilt_v3(
    pickled: Pickled, storage: Any, offset: Any, size: Any, stride: Any,
    grad: Any, hooks: Any, dtype: Any, signs: Any = None,
) -> Stored:  # fmt: skip
    return _signed(place(storage, offset, size, stride, dtype=_type(dtype)), signs)


def _type(dtype: Any) -> torch.dtype:
    found = constant(dtype.name) if isinstance(dtype, Named) else None
    if not isinstance(found, torch.dtype):
        raise ValueError("a tensor of an unknown type")
    return found


def _signed(tensor: Stored, signs: Any) -> Stored:
    if isinstance(signs, dict):
        tensor.conj = tensor.dtype.is_complex and signs.get("conj") is True
        tensor.neg = signs.get("neg") is True
    return tensor


def _parameter(pickled: Pickled, tensor: Any = None, *settings: Any) -> Any:
    if not isinstance(tensor, Stored | Opaque):
        raise ValueError("a parameter without a tensor")
    return tensor


def _moved(pickled: Pickled, tensor: Any, dtype: Any, place: Any, grad: Any) -> Any:
    same = isinstance(tensor, Stored) and tensor.dtype == _type(dtype)
    return tensor if same else Opaque("of another type than its numbers")


def _with_attributes(pickled: Pickled, function: Any, kind: Any, arguments: Any, state: Any) -> Any:
    if isinstance(function, Named) and _CALLS.get(function.name) is _with_attributes:
        raise ValueError("attributes of attributes")
    return pickled.call(function, arguments)


def _mapping(pickled: Pickled, content: Any = ()) -> dict[Any, Any]:
    pickled.spend_budget(content)
    if isinstance(content, dict):
        return dict(content)
    if not isinstance(content, list | tuple) or not all(
        isinstance(p, list | tuple) and len(p) == 2 for p in content
    ):
        raise ValueError("a dict of something else than pairs")
    return {pickled.key(key): value for key, value in content}


def _size(pickled: Pickled, content: Any = ()) -> tuple[Any, ...]:
    pickled.spend_budget(content)
    if not isinstance(content, list | tuple):
        raise ValueError("a size of an unknown form")
    return tuple(content)


def _encoded(pickled: Pickled, content: Any, encoding: Any = "") -> Any:
    pickled.spend_budget(content)
    if not isinstance(content, str) or encoding not in ("latin1", "latin-1"):
        return Opaque()
    return content.encode("latin-1")


def _bytes(pickled: Pickled, content: Any = "", *encoding: Any) -> Opaque:
    if isinstance(content, int | float):  # so many zeros
        raise ValueError(f"expected plain settings, got a {type(content).__name__} in their place")
    return Opaque()


def _left_out(pickled: Pickled, *arguments: Any) -> Opaque:
    return Opaque()


_CALLS: dict[str, Callable[..., Any]] = {
    "torch._utils _rebuild_tensor": _rebuilt,
    "torch._utils _rebuild_tensor_v2": _rebuilt,
    "torch._utils _rebuild_tensor_v3": _rebuilt_v3,
    "torch._utils _rebuild_parameter": _parameter,
    "torch._utils _rebuild_parameter_with_state": _parameter,
    "torch._utils _rebuild_device_tensor_from_cpu_tensor": _moved,
    "torch.nn.parameter Parameter": _parameter,
    "torch._tensor _rebuild_from_type_v2": _with_attributes,
    "collections OrderedDict": _mapping,
    "collections Counter": _mapping,
    "torch Size": _size,
    "_codecs encode": _encoded,
    "builtins bytearray": _bytes,
    "builtins set": _left_out,
    "builtins complex": _left_out,
    "torch device": _left_out,
    "torch.serialization _get_layout": _left_out,
}


def _count(call: Callable[..., Any]) -> tuple[int, float]:
    """Fewest and most arguments."""
    all_of_them = list(inspect.signature(call).parameters.values())[1:]
    single = [one for one in all_of_them if one.kind is not one.VAR_POSITIONAL]
    most = len(single) if single == all_of_them else float("inf")
    return sum(one.default is one.empty for one in single), most


_ARGUMENTS = {name: _count(call) for name, call in _CALLS.items()}


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
        ("BININT", "BININT1", "BININT2", "BINFLOAT", "BINUNICODE", "LONG1"),
        _push(lambda v: v),
    ),
    "SHORT_BINSTRING": _push(lambda v: v.encode("latin-1").decode()),  # Python 2's, read as UTF-8
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

_CONTAINER_OPCODES = {"EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET", "MARK", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"}
_CALL_OPCODES = {"REDUCE", "NEWOBJ", "BUILD", "GLOBAL", "BINPERSID", "LONG_BINPUT"}
_CHEAP_OPCODES = {*_STEPS} - _CONTAINER_OPCODES - _CALL_OPCODES
