"""How a command line ends: one line on standard error and an exit status."""

from __future__ import annotations

import sys
from collections.abc import Callable

from .optional_packages import MissingPackageError
from .stopping import until_stopped

INPUT_ERROR = 2
"""Exit status when the input is at fault, as argparse has it for options."""


def run_program(program: str, run: Callable[[], int]) -> int:
    """The exit status of `run`; INPUT_ERROR, with "<program>: <message>", for an error the user can fix.

    Those are ValueError, OSError and packages that are not installed; any other exception is a defect and
    propagates. Stopped by a signal: see `until_stopped`.

    program: the command, as messages name it ("python -m echogen_core").
    """

    def guarded() -> int:
        try:
            return run()
        except (ValueError, OSError, MissingPackageError, ModuleNotFoundError) as error:
            sys.stderr.write(f"{program}: {error}\n")
            return INPUT_ERROR

    return until_stopped(program, guarded)
