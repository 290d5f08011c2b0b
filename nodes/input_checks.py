"""Checks of values that arrive over links: ComfyUI itself validates widget values only."""

from __future__ import annotations

import functools
import inspect
from typing import Any, TypeVar

from comfy_api.latest import io

from echogen_core.encoders.text import by_library
from echogen_core.utils.printable import printable

from .wire_types import describe_value, mismatch

Node = TypeVar("Node", bound=type[io.ComfyNode])

_NUMBERS: dict[str, Any] = {"INT": int, "FLOAT": float}


def with_input_checks(node: Node) -> Node:
    """The same node, with an `execute` that checks its inputs against the schema first.

    Inputs that the node's own `validate_inputs` takes are left to that, as ComfyUI does.
    Raises ValueError with the input's name, what it expects and what it got.
    """
    run = node.execute.__func__
    names = list(inspect.signature(run).parameters)[1:]
    validated = (
        inspect.signature(node.validate_inputs).parameters if "validate_inputs" in _overridden(node) else {}
    )

    @functools.wraps(run)
    def execute(cls: Any, *args: Any, **values: Any) -> Any:
        values |= zip(names, args, strict=False)
        # The schema as ComfyUI last asked for it: defining it anew would list the model folders.
        for field in (node.SCHEMA or node.GET_SCHEMA()).inputs:
            if field.optional and values.get(field.id) is None:
                values.pop(field.id, None)  # as if not connected
            elif field.id in values:
                values[field.id] = _checked_value(field, values[field.id], field.id in validated)
        answer = (
            node.validate_inputs(**{name: values[name] for name in validated if name in values})
            if validated
            else True
        )
        if answer is not True:
            raise ValueError(answer)
        return _run_safely(run, cls, values)

    node.execute = classmethod(execute)
    return node


def _run_safely(run: Any, cls: Any, values: dict[str, Any]) -> Any:
    try:
        return run(cls, **values)
    except BaseException as error:
        # What is not an Exception ends ComfyUI's worker thread, and later prompts wait for ever.
        if isinstance(error, Exception) or not by_library(error):
            raise
        raise RuntimeError(
            f"A library crashed: {printable(error)}. Check the node's inputs and files, and run it again."
        ) from error


def _overridden(node: Node) -> set[str]:
    """Names that the node, or a base class of ours, defines."""
    ours = node.__mro__[: node.__mro__.index(io.ComfyNode)]
    return {name for parent in ours for name in vars(parent)}


def _checked_value(field: Any, value: Any, validated: bool) -> Any:
    kind = field.get_io_type()
    if value is None:
        raise _mismatch_error(field, kind, value)
    if kind in _NUMBERS:
        return _number(field, _NUMBERS[kind], value)
    if kind == "BOOLEAN":
        return value if isinstance(value, bool) else bool(_number(field, float, value, within=False))
    if kind == "STRING":
        if not isinstance(value, str | int | float):
            raise _mismatch_error(field, "a text", value)
        return str(value)
    if kind == "COMBO" and (not isinstance(value, str) or not (validated or value in field.options)):
        raise _mismatch_error(field, "one of " + printable(", ".join(map(str, field.options)), 1000), value)
    if expected := mismatch(kind, value):
        raise _mismatch_error(field, expected, value)
    return value


def _number(field: Any, kind: Any, value: Any, within: bool = True) -> Any:
    try:
        number = kind(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise _mismatch_error(field, "a number", value) from None
    if within and not field.min <= number <= field.max:
        raise _mismatch_error(field, f"{field.min:g} to {field.max:g}", value)
    return number


def _mismatch_error(field: Any, expected: str, value: Any) -> ValueError:
    return ValueError(
        f"{field.display_name or field.id}: expected {expected}, got {describe_value(value)}. "
        "Change it, or the node connected to it."
    )
