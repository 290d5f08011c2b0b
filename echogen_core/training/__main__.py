"""`python -m echogen_core.training`: see `command`."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Sequence

from ..optional_packages import MissingPackageError
from ..stopping import until_stopped

PROGRAM = "python -m echogen_core.training"


def main(argv: Sequence[str] | None = None) -> int:
    """Trains; 2, with a message on standard error, where the input is at fault. Stopped: `until_stopped`."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    return until_stopped(PROGRAM, lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    command = importlib.import_module(
        ".command", __package__
    )  # here, where a signal is heard: it takes seconds
    try:
        return int(command.main(argv) or 0)
    except (OSError, MissingPackageError, ValueError) as error:
        sys.stderr.write(f"{PROGRAM}: {error}\n")
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
