"""Make pictures, and download or convert weight files, without ComfyUI.

Training and measuring have commands of their own: python -m echogen_core.training, and
python -m echogen_core.evaluation
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from .utils.option_parser import OptionParser
from .utils.stopping import until_stopped

PROGRAM = "python -m echogen_core"
COMMANDS = ("generate", "models", "convert")
"""Modules of the sub-commands, in the order in which --help lists them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; 0 when done, 1 with a message on standard error when the input is at fault.

    Stopped by a signal: see `until_stopped`.
    """
    return until_stopped(PROGRAM, lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        status: int = args.run(args)
        return status
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = OptionParser(prog=PROGRAM, description=__doc__)
    subparsers = parser.add_subparsers(dest="command", required=True)
    for name in COMMANDS:  # imported here, where a signal is heard: that takes seconds
        command = importlib.import_module(f".commands.{name}", __package__)
        command.add_parser(subparsers).set_defaults(run=command.run)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
