"""`python -m echogen_core.training`: see `command`."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Sequence

from ..utils.optional_packages import MissingPackageError
from ..utils.stopping import until_stopped
from . import PROGRAM


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status of the command; stopped by a signal as in `until_stopped`."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    return until_stopped(PROGRAM, lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    # imported here, where a signal is handled: importing torch takes seconds
    command = importlib.import_module(".command", __package__)
    try:
        return int(command.main(argv) or 0)
    except (OSError, MissingPackageError, ValueError) as error:
        sys.stderr.write(f"{PROGRAM}: {error}\n")
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
