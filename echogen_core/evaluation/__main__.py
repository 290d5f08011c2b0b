"""Measures a finished model.

dreambench  DINO, CLIP-I and CLIP-T on DreamBench, beside the published table
ablations   the same with a path off, another encoder, and over a grid of γ
latency     seconds per picture, stage by stage
"""

from __future__ import annotations

import argparse
import importlib
import logging
from collections.abc import Sequence

from ..utils.option_parser import OptionParser
from ..utils.program import run_program

PROGRAM = "python -m echogen_core.evaluation"
COMMANDS = ("dreambench", "latency")
"""Each has a module command_<name> whose `add_parser(subparsers)` sets `run(args) -> int`."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = OptionParser(prog=PROGRAM, description=__doc__)
    subparsers = made.add_subparsers(dest="what", required=True)
    for name in COMMANDS:  # imported here, where a signal is handled: importing torch takes seconds
        importlib.import_module(f".command_{name}", __package__).add_parser(subparsers)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; the exit status is that of `run_program`."""
    return run_program(PROGRAM, lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    args = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    return int(args.run(args))


if __name__ == "__main__":
    raise SystemExit(main())
