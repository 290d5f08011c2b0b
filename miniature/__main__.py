"""Makes and evaluates the miniature: `python -m miniature STAGE`; miniature/README.md tells how.

Every stage lists its options with --help. Each can be stopped (Ctrl+C, a signal, a power cut); run again, it
continues.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Sequence
from typing import NamedTuple

from echogen_core.utils.program import INPUT_ERROR, run_program

PROGRAM = "python -m miniature"


class Stage(NamedTuple):
    """A stage: the module with its `main`, and what it does."""

    module: str
    purpose: str


STAGES = {
    "prepare": Stage("data.prepare", "render and crop the training pictures"),
    "pack": Stage("data.pack", "pack prepared pictures to move them to another machine, or unpack them"),
    "tokenizer": Stage("training.tokenizer", "train the BSQ tokenizer"),
    "semantic": Stage("training.semantic", "train the semantic encoder"),
    "content": Stage("training.content", "train the content encoder on the tokenizer's latents"),
    "transformer": Stage("training.transformer", "train the transformer and text encoder, write the bundle"),
    "evaluate": Stage("evaluation.evaluate", "evaluate a bundle on held-out subjects"),
    "editing": Stage("evaluation.editing.stage", "evaluate editing with a bundle on held-out subjects"),
    "enlarge": Stage("training.enlarge", "initialise a miniature from one with other sizes"),
    "null-features": Stage("training.null_features", "train what stands for a prompt or reference not given"),
    "decoder": Stage("training.decoder", "train a bundle's decoder to draw sharply, at twice the size"),
    "all": Stage("training.all_stages", "train a miniature from packed data within minutes, on a GPU"),
    "cut": Stage("training.cut", "fine-tune the built-in cut's network"),
}


def usage() -> str:
    """The help of the command line: all stages, in the order in which they make a miniature."""
    lines = [f"  {name:16} {stage.purpose}" for name, stage in STAGES.items()]
    return "\n".join(
        [
            f"usage: {PROGRAM} STAGE [options]",
            "",
            "stages, the first seven in the order in which they make a miniature:",
            *lines,
            "",
            f"`{PROGRAM} STAGE --help` lists a stage's options; miniature/README.md has the commands.",
            "",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a stage; the exit status is that of `run_program`, INPUT_ERROR also for an unknown stage."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in ("-h", "--help"):
        sys.stdout.write(usage())
        return 0
    if not arguments or arguments[0] not in STAGES:
        got = repr(arguments[0]) if arguments else "none"
        sys.stderr.write(f"{usage()}{PROGRAM}: expected a stage, got {got}.\n")
        return INPUT_ERROR
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    return run_program(f"{PROGRAM} {arguments[0]}", lambda: _run(*arguments))


def _run(name: str, *arguments: str) -> int:
    stage = importlib.import_module(f".{STAGES[name].module}", __package__)
    return int(stage.main(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
