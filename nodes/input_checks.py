"""Checks of values that arrive over links, which ComfyUI leaves unchecked, and of drop-downs.

ComfyUI 0.3.75 does not check the drop-downs of such nodes at all, and no version those that a node validates.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from comfy_api.latest import io

from echogen_core.encoders.text import by_library
from echogen_core.utils.printable import printable

from .wire_types import WIRE_TYPES, describe_value

Node = TypeVar("Node", bound=type[io.ComfyNode])

_NUMBERS: dict[str, Callable[[Any], Any]] = {"INT": int, "FLOAT": float}
_LONGEST_LIST = 1000  # characters of a drop-down's options in a message


def with_input_checks(node: Node) -> Node:
    """The same node, with an `execute` that checks its inputs against the schema first.

    Its own `validate_inputs` decides which texts its drop-downs take, in a prompt as over a link.
    Raises ValueError with the input's name, what it expects, what it got and what to do.
    """
    run = node.execute.__func__
    names = list(inspect.signature(run).parameters)[1:]
    validated = _check_types_first(node) if "validate_inputs" in _overridden(node) else []

    @functools.wraps(run)
    def execute(cls: Any, *args: Any, **values: Any) -> Any:
        values |= zip(names, args, strict=False)
        for field in _fields(node):
            if field.optional and values.get(field.id) is None:
                values.pop(field.id, None)  # as if not connected
            elif field.id in values:
                values[field.id] = _checked_value(field, values[field.id], field.id in validated)
        if validated:
            answer = node.validate_inputs(**{name: values[name] for name in validated if name in values})
            if answer is not True:
                raise ValueError(answer)
        return _run_safely(run, cls, values)

    node.execute = classmethod(execute)
    return node


def _check_types_first(node: Node) -> list[str]:
    """Makes a node's `validate_inputs` refuse what is no text, in the words of this module; its inputs."""
    validate = node.validate_inputs.__func__

    def validate_inputs(cls: Any, /, **values: Any) -> bool | str:
        for field in _fields(node):
            if values.get(field.id) is not None:  # None: a link provides it
                try:
                    _checked_value(field, values[field.id], validated=True)
                except ValueError as error:
                    return str(error)
        answer: bool | str = validate(cls, **values)
        return answer

    # ComfyUI reads the names of its parameters: those are the inputs that it does not check itself.
    validate_inputs.__signature__ = inspect.signature(validate)  # type: ignore[attr-defined]
    node.validate_inputs = classmethod(validate_inputs)
    return list(inspect.signature(validate).parameters)[1:]


def _fields(node: Node) -> list[Any]:
    """A node's inputs."""
    # As ComfyUI last asked for them: defining them anew would list the model folders.
    return list((node.SCHEMA or node.GET_SCHEMA()).inputs)


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
    """The value as ComfyUI would pass it on had it been typed; ValueError for one that it would refuse.

    validated: any text will do, the node's own `validate_inputs` knows which exist.
    """
    kind = field.get_io_type()
    if kind in _NUMBERS or kind == "BOOLEAN":
        return _checked_number(field, value)
    if kind == "STRING":
        fits = isinstance(value, str | int | float)
        value = str(value) if fits else value
    elif kind == "COMBO":
        fits = isinstance(value, str) and (validated or value in field.options)
    else:
        fits = value is not None and (kind not in WIRE_TYPES or WIRE_TYPES[kind].fits(value))
    if not fits:
        raise _mismatch_error(field, value)
    return value


def _checked_number(field: Any, value: Any) -> Any:
    convert = _NUMBERS.get(field.get_io_type(), float)
    try:
        number = convert(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise _mismatch_error(field, value) from None
    if field.get_io_type() == "BOOLEAN":
        if number != number:
            raise _mismatch_error(field, value)
        return bool(number)
    if not field.min <= number <= field.max:
        raise _mismatch_error(field, value)
    return number


def _mismatch_error(field: Any, value: Any) -> ValueError:
    wire = WIRE_TYPES.get(field.get_io_type())
    advice = wire.missing if wire and value is None else "Change it, or the node connected to it."
    name = field.display_name or field.id
    return ValueError(f"{name}: expected {_expected(field)}, got {describe_value(value)}. {advice}")


def _expected(field: Any) -> str:
    """What an input takes, in words."""
    kind = field.get_io_type()
    if kind == "COMBO":
        return "one of " + printable(", ".join(map(str, field.options)), _LONGEST_LIST)
    if kind == "INT":
        return f"a whole number from {field.min} to {field.max}"
    if kind == "FLOAT":
        return f"a number from {field.min:g} to {field.max:g}"
    plain = {"BOOLEAN": "true or false", "STRING": "a text"}
    return plain.get(kind) or (WIRE_TYPES[kind].expected if kind in WIRE_TYPES else str(kind))
