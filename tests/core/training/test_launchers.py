"""torchrun and `accelerate launch` read the whole command line: our options must not look like theirs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import pytest
from accelerate.commands.launch import launch_command_parser
from torch.distributed.run import get_args_parser

from echogen_core.evaluation.__main__ import parser as evaluation_parser
from echogen_core.training.run_options import make_parser

LAUNCHERS = {"torchrun": get_args_parser, "accelerate launch": launch_command_parser}
COMMANDS = {"training": make_parser, "evaluation": evaluation_parser}


def options(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Long options of a parser and of its sub-commands; --help is everybody's."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                yield from options(sub)
        yield from (name for name in action.option_strings if name.startswith("--") and name != "--help")


@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_option_is_an_abbreviation_of_a_launchers(command: str, launcher: str) -> None:
    theirs = set(options(LAUNCHERS[launcher]()))
    ours = set(options(COMMANDS[command]()))
    assert len(theirs) > 20 and len(ours) > 10
    clashes = {(own, other) for own in ours for other in theirs if other.startswith(own)}
    assert not clashes


def test_the_test_sees_what_went_wrong_once() -> None:
    assert "--start" not in options(make_parser())
    assert any(name.startswith("--start") for name in options(get_args_parser()))
