"""Values that come over a link are checked like typed ones; ComfyUI itself checks only what is typed."""

from __future__ import annotations

import functools
import inspect
from typing import Any, TypeVar

from comfy_api.latest import io

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
    # Once: a schema walks the model folders for its lists, which `validate_inputs` looks through by itself.
    fields = functools.cache(lambda: node.define_schema().inputs)

    @functools.wraps(run)
    def execute(cls: Any, *args: Any, **values: Any) -> Any:
        values |= zip(names, args, strict=False)
        for field in fields():
            if field.id in values and not (field.optional and values[field.id] is None):
                values[field.id] = _fitting(field, values[field.id], field.id in own)
        answer = node.validate_inputs(**{name: values[name] for name in own}) if own else True
        if answer is not True:
            raise ValueError(answer)
        return run(cls, **values)

    node.execute = classmethod(execute)
    return node


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
        raise _unfit(field, "one of " + ", ".join(map(str, field.options)), value)
    return value


def _number(field: Any, kind: Any, value: Any, within: bool = True) -> Any:
    try:
        number = kind(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise _unfit(field, "a number", value) from None
    if within and not field.min <= number <= field.max:
        raise _unfit(field, f"{field.min:g} to {field.max:g}", value)
    return number


def _unfit(field: Any, expected: str, value: Any) -> ValueError:
    return ValueError(
        f"{field.display_name or field.id}: expected {expected}, got {str(value)[:80]!r}. Change it, or the "
        "node that it comes from."
    )
