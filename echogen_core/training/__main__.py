"""`python -m echogen_core.training`: see `command`."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence

from ..utils.program import run_program
from . import PROGRAM


def main(argv: Sequence[str] | None = None) -> int:
    """Trains; the exit status is that of `run_program`."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    return run_program(PROGRAM, lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    # imported here, where a signal is handled: importing torch takes seconds
    command = importlib.import_module(".command", __package__)
    return int(command.main(argv) or 0)


if __name__ == "__main__":
    raise SystemExit(main())
