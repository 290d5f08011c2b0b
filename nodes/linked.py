"""Values that come over a link are checked like typed ones; ComfyUI itself checks only what is typed."""

from __future__ import annotations

import functools
import inspect
from typing import Any, TypeVar

from comfy_api.latest import io

from echogen_core.encoders.text import by_library
from echogen_core.printable import printable

from .sockets import described, expected

Node = TypeVar("Node", bound=type[io.ComfyNode])

_NUMBERS: dict[str, Any] = {"INT": int, "FLOAT": float}


def checked(node: Node) -> Node:
    """The node, whose `execute` now refuses what does not fit its widgets, and says so.

    The inputs of its `validate_inputs` are left to that, as ComfyUI leaves them.
    ValueError names the input, what it takes and what came.
    """
    run = node.execute.__func__
    names = list(inspect.signature(run).parameters)[1:]
    own = inspect.signature(node.validate_inputs).parameters if "validate_inputs" in _overridden(node) else {}

    @functools.wraps(run)
    def execute(cls: Any, *args: Any, **values: Any) -> Any:
        values |= zip(names, args, strict=False)
        # As ComfyUI last asked for it: defining it walks through the model folders for lists that
        # `validate_inputs` does without.
        for field in (node.SCHEMA or node.GET_SCHEMA()).inputs:
            if field.optional and values.get(field.id) is None:
                values.pop(field.id, None)  # as if left open
            elif field.id in values:
                values[field.id] = _fitting(field, values[field.id], field.id in own)
        answer = (
            node.validate_inputs(**{name: values[name] for name in own if name in values}) if own else True
        )
        if answer is not True:
            raise ValueError(answer)
        return _survived(run, cls, values)

    node.execute = classmethod(execute)
    return node


def _survived(run: Any, cls: Any, values: dict[str, Any]) -> Any:
    try:
        return run(cls, **values)
    except BaseException as error:
        # ComfyUI's worker ends with what is no Exception, and all prompts after it wait for ever.
        if isinstance(error, Exception) or not by_library(error):
            raise
        raise RuntimeError(f"A library failed inside: {printable(error)}.") from error


def _overridden(node: Node) -> set[str]:
    """What the node or a parent of ours defines, rather than ComfyUI."""
    ours = node.__mro__[: node.__mro__.index(io.ComfyNode)]
    return {name for parent in ours for name in vars(parent)}


def _fitting(field: Any, value: Any, own_check: bool) -> Any:
    kind = field.get_io_type()
    if value is None:
        raise _unfit(field, kind, value)
    if kind in _NUMBERS:
        return _number(field, _NUMBERS[kind], value)
    if kind == "BOOLEAN":
        return value if isinstance(value, bool) else bool(_number(field, float, value, within=False))
    if kind == "STRING":
        if not isinstance(value, str | int | float):
            raise _unfit(field, "a text", value)
        return str(value)
    if kind == "COMBO" and (not isinstance(value, str) or not (own_check or value in field.options)):
        raise _unfit(field, "one of " + printable(", ".join(map(str, field.options)), 1000), value)
    if wanted := expected(kind, value):
        raise _unfit(field, wanted, value)
    return value


def _number(field: Any, kind: Any, value: Any, within: bool = True) -> Any:
    try:
        number = kind(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise _unfit(field, "a number", value) from None
    if within and not field.min <= number <= field.max:
        raise _unfit(field, f"{field.min:g} to {field.max:g}", value)
    return number


def _unfit(field: Any, wanted: str, value: Any) -> ValueError:
    return ValueError(
        f"{field.display_name or field.id}: expected {wanted}, got {described(value)}. Change it, or the "
        "node that it comes from."
    )
