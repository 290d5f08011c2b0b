"""The options of every command: help, defaults, and what is refused in one line."""

from __future__ import annotations

import argparse
import importlib
import math
from collections.abc import Callable, Iterator
from itertools import chain
from typing import NamedTuple
from unittest import mock

import pytest

from echogen_core.__main__ import _parser as core_parser
from echogen_core.evaluation.__main__ import parser as evaluation_parser
from echogen_core.training.run_options import make_parser as training_parser
from echogen_core.utils.option_parser import OptionParser
from echogen_core.utils.option_types import Joined
from miniature.__main__ import STAGES


class _Asked(BaseException):
    """Raised with the parser in the place of its result."""


def _stage_parser(module: str) -> argparse.ArgumentParser:
    """The parser that a stage's `main` makes."""

    def ask(parser: argparse.ArgumentParser, *_given: object) -> None:
        raise _Asked(parser)

    main = importlib.import_module(f"miniature.{module}").main
    with mock.patch.object(argparse.ArgumentParser, "parse_args", ask), pytest.raises(_Asked) as asked:
        main([])
    parser = asked.value.args[0]
    assert isinstance(parser, argparse.ArgumentParser)
    return parser


def _commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parser, or those of its sub-commands."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield parser
    for action in below:
        yield from action.choices.values()


PARSERS = {
    parser.prog: parser
    for whole in (
        core_parser(),
        training_parser(),
        evaluation_parser(),
        *(_stage_parser(stage.module) for stage in STAGES.values()),
    )
    for parser in _commands(whole)
}


class Option(NamedTuple):
    """An option of a command, by its long name or its metavar."""

    prog: str
    name: str
    action: argparse.Action

    def __str__(self) -> str:
        return f"{self.prog} {self.name}"


OPTIONS = {
    prog: [
        Option(prog, max(action.option_strings, key=len, default=action.dest), action)
        for action in parser._actions
        if action.dest != "help"
    ]
    for prog, parser in PARSERS.items()
}


def test_every_command_is_looked_at() -> None:
    assert len(PARSERS) == 4 + 1 + 3 + len(STAGES)
    assert all(isinstance(parser, OptionParser) for parser in PARSERS.values())


@pytest.mark.parametrize("prog", PARSERS)
def test_an_option_has_help_which_shows_its_default(prog: str) -> None:
    for option in OPTIONS[prog]:
        action = option.action
        assert action.help, option
        shown = PARSERS[prog]._get_formatter()._get_help_string(action) or ""  # what --help prints
        default = action.default
        if not (action.required or default is None or default is False or default in ("", [])):
            assert "default" in shown, f"{option}: {shown}"
        assert not (isinstance(default, float) and math.isinf(default)) or "%(default)" not in shown, option


@pytest.mark.parametrize("prog", PARSERS)
def test_help_is_for_users(prog: str) -> None:
    said = PARSERS[prog].format_help()
    assert "Shape" not in said and "default: None" not in said
    assert "dreambench ..." not in said or prog.endswith("dreambench")


OUT_OF_RANGE: dict[str, tuple[str, ...]] = {
    # option -> texts that every command that has it refuses
    "--device": ("cuda:99", "gpu", "meta", "xla"),
    "--threads": ("0", "-1", "1.5", "many"),
    "--batch": ("0", "-3", "x"),
    "--seed": ("-1", "x", str(1 << 64)),
    "--gamma-t": ("-0.5", "99", "nan", "x"),
    "--gamma-i": ("-3", "8.1", "inf"),
    "--tau": ("0", "-1", "nan", "inf"),
    "--enlarge": ("0",),
    "--keep-scales": ("-1", "x"),
    "--feather": ("-1", "65", "nan"),
    "--negative": ("", " "),
    "--region": ("left half", "area=left", "colour=red", "gamma-t=9", "prompt=", "area=left half"),
    "--prompt": ("", " "),
    "--phrase": (" ",),
    "--runs": ("0",),
    "--workers": ("-1",),
    "--minutes": ("0", "-1", "nan"),
    "--at-most": ("-1", "inf"),
    "--lr": ("0", "-1"),
    "--share": ("-0.1", "1.1"),
    "--decoder-phase": ("2",),
    "--seeds": ("0", "-1", "x"),
    "--subjects": ("0",),
    "--batch-size": ("0", "x"),
    "--size": ("2M", "big"),
    "--quality": ("0", "101"),
    "--base-rate": ("0", "-1"),
    "--ema": ("1", "-0.1"),
    "--precision": ("fp16", "fp8"),
}
FREE_TEXT = {"python -m echogen_core.evaluation dreambench --subjects"} | {
    "python -m echogen_core.evaluation ablations --subjects"  # names or a number
}
ACCEPTED = {("python -m echogen_core batch --seeds", "0")}
"""A seed there, elsewhere a number of rounds."""
REFUSED = [
    (option, text)
    for option in chain.from_iterable(OPTIONS.values())
    if str(option) not in FREE_TEXT
    for text in OUT_OF_RANGE.get(option.name, ())
    if (str(option), text) not in ACCEPTED
]


@pytest.mark.parametrize("name", OUT_OF_RANGE)
def test_what_is_out_of_range_is_refused_in_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [(option, text) for option, text in REFUSED if option.name == name]
    assert asked, "no command has it"
    for option, text in asked:
        with pytest.raises(SystemExit, match="2"):
            PARSERS[option.prog].parse_args([f"{name}={text}"])
        said = capsys.readouterr().err
        assert said.startswith(f"{option.prog}: {name}: expected "), (text, said)
        assert said.count("\n") == 1 and len(said) < 300, (text, said)


@pytest.mark.parametrize("prog", PARSERS)
def test_numbers_have_a_range(prog: str) -> None:
    """No option takes just any number: the types are those of utils/option_types.py."""
    assert not [str(option) for option in OPTIONS[prog] if option.action.type in (int, float)]


@pytest.mark.parametrize("prog", PARSERS)
def test_a_default_is_in_its_own_range(prog: str) -> None:
    for option in OPTIONS[prog]:
        kind: Callable[[str], object] | None = option.action.type  # type: ignore[assignment]
        values = option.action.default if isinstance(option.action.default, list) else [option.action.default]
        for value in values:
            if isinstance(value, int | float) and not isinstance(value, bool) and value != math.inf:
                expected = [value] if isinstance(option.action, Joined) else value
                assert kind is not None and kind(str(value)) == expected, option


@pytest.mark.parametrize("prog", PARSERS)
def test_an_unknown_option_takes_one_line(prog: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        PARSERS[prog].parse_args(["--nothing"])
    said = capsys.readouterr().err
    assert said.startswith(f"{prog}: ") and said.count("\n") == 1
