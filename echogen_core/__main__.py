"""Make pictures, and download or convert weight files, without ComfyUI.

Training and measuring have commands of their own: python -m echogen_core.training, and
python -m echogen_core.evaluation
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence

from .utils.option_parser import OptionParser
from .utils.program import run_program

PROGRAM = "python -m echogen_core"
COMMANDS = ("generate", "batch", "models", "convert")
"""Modules of the sub-commands, in the order in which --help lists them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; the exit status is that of `run_program`."""
    return run_program(PROGRAM, lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    args = _parser().parse_args(argv)
    return int(args.run(args))


def _parser() -> argparse.ArgumentParser:
    parser = OptionParser(prog=PROGRAM, description=__doc__)
    subparsers = parser.add_subparsers(dest="command", required=True)
    for name in COMMANDS:  # imported here, where a signal is heard: that takes seconds
        command = importlib.import_module(f".commands.{name}", __package__)
        command.add_parser(subparsers).set_defaults(run=command.run)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
