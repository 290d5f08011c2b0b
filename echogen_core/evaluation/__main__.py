"""`python -m echogen_core.evaluation`: measurements of finished models.

nano        examine the built-in miniature on its held-out subjects
dreambench  DINO, CLIP-I and CLIP-T on DreamBench, beside the published table
ablations   the same with paths off, other encoders, and over a grid of γ
latency     seconds of a picture, part by part
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import Any

from . import command_dreambench, command_latency, command_nano

COMMANDS: tuple[Any, ...] = (command_nano, command_dreambench, command_latency)
"""Modules with `add_parser(subparsers)`, which sets `run(args) -> int`."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m echogen_core.evaluation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = made.add_subparsers(dest="what", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a measurement; 2 with a message on standard error when something it needs is missing."""
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
