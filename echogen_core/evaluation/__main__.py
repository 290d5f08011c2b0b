"""Measures a finished model.

dreambench  DINO, CLIP-I and CLIP-T on DreamBench, beside the published table
ablations   the same with a path off, another encoder, and over a grid of γ
latency     seconds per picture, stage by stage
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections.abc import Sequence

from ..utils.option_parser import OptionParser
from ..utils.stopping import until_stopped

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
    """Runs a command; 2, with a message on standard error, where the input is at fault.

    Stopped by a signal: see `until_stopped`.
    """
    return until_stopped(PROGRAM, lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    args = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        status: int = args.run(args)
        return status
    except (ValueError, OSError, ModuleNotFoundError) as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
