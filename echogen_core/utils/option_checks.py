"""Command-line options that can't be used or would have no effect: refused, never ignored."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import NamedTuple


class OptionError(ValueError):
    """An option, or the cell of a table whose column has its name, that can't be used.

    option: the name, such as gamma_i. reason: goes on from it ("has no effect on ..."), and says what to do.
    """

    def __init__(self, option: str, reason: str) -> None:
        super().__init__(f"{typed(option)} {reason}")
        self.option = option
        self.reason = reason


def typed(option: str) -> str:
    """An option's name as it is typed: --gamma-i."""
    return f"--{option.replace('_', '-')}"


class Unused(NamedTuple):
    """An option that has no effect in some cases.

    option: as it is typed (--gamma-i), or a positional argument's metavar. when: whether this is such a case.
    reason: goes on from "<option> has no effect", and says what to do.
    """

    option: str
    when: Callable[[argparse.Namespace], bool]
    reason: str


def refuse_unused(
    args: argparse.Namespace, rules: Sequence[Unused], parser: argparse.ArgumentParser | None = None
) -> None:
    """Raises ValueError for the first option that was given and has no effect.

    An option counts as given when its value is neither None, False nor empty, nor its default in `parser`.
    """
    for option, when, reason in rules:
        name = option.lstrip("-").replace("-", "_").lower()
        value = getattr(args, name)
        given = value is not None and value is not False and value not in ([], "")  # 0 is given
        given = given and (parser is None or value != parser.get_default(name))
        if given and when(args):
            raise ValueError(f"{option} has no effect {reason}")
