"""The folder of a run, in which one command works at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..utils.locks import exclusive_lock

logger = logging.getLogger(__name__)


@contextmanager
def only_run(out: Path) -> Iterator[None]:
    """Makes the folder and locks it for the block: two commands would overwrite each other's files.

    Waits a moment for the lock, since readers of pictures outlive a killed run by seconds.
    Raises BlockingIOError when another command has it, OSError when the folder can't be written to.
    """
    asked = 0

    def waiting() -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise BlockingIOError(
                f"{out} is in use by another run: wait until it ends, or choose another --out."
            )
        logger.info("%s is in use: waiting for the run before this one to end.", out)

    out.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(out / ".lock", waiting):
        yield
