"""`python -m miniature STAGE`.

prepare, tokenizer, semantic, content, transformer and decoder, in this order, make nano; evaluate examines
it; cut trains the built-in cut's network on. Each stage says with --help what it takes; each can be stopped
(Ctrl+C, a signal, a power cut) and run again.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Sequence
from typing import NamedTuple

from echogen_core.optional_packages import MissingPackageError
from echogen_core.stopping import until_stopped

PROGRAM = "python -m miniature"


class Stage(NamedTuple):
    """A stage: the module whose `main` runs it, and what it makes."""

    module: str
    makes: str


STAGES = {
    "prepare": Stage("data.prepare", "pictures from the packages of 3-D models, panoramas and icons"),
    "pack": Stage("data.pack", "prepared pictures in a small form, to travel, and back"),
    "enlarge": Stage("training.enlarge", "a beginning out of a miniature of other sizes"),
    "tokenizer": Stage("training.tokenizer", "nano's BSQ tokenizer"),
    "semantic": Stage("training.semantic", "nano's semantic encoder"),
    "content": Stage("training.content", "nano's content encoder"),
    "transformer": Stage("training.transformer", "nano's transformer with its text encoder, then its bundle"),
    "decoder": Stage("training.decoder", "nano's decoder, on, with codes as its transformer draws them"),
    "evaluate": Stage("evaluation.command", "the miniature's examination on its held-out subjects"),
    "cut": Stage("training.cut", "the built-in cut's network, on from U²-Netp's published weights"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Hands over to the stage's own command line; 2 when there is no such stage, or its input is at fault."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] not in STAGES:
        lines = [f"  {name:12} {stage.makes}" for name, stage in STAGES.items()]
        sys.stderr.write(f"usage: {PROGRAM} STAGE ...\n" + "\n".join(lines) + "\n")
        return 0 if arguments in (["-h"], ["--help"]) else 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    return until_stopped(f"{PROGRAM} {arguments[0]}", lambda: _run(*arguments))


def _run(name: str, *arguments: str) -> int:
    stage = importlib.import_module(f".{STAGES[name].module}", __package__)
    try:
        return int(stage.main(arguments) or 0)
    except (OSError, MissingPackageError, ModuleNotFoundError, ValueError) as error:
        sys.stderr.write(f"{PROGRAM} {name}: {error}\n")
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
