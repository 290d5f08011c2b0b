"""The folder of a run: one command at a time works in it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..locks import alone

logger = logging.getLogger(__name__)


@contextmanager
def only_run(out: Path) -> Iterator[None]:
    """No other command works in a run's folder, made here, meanwhile: each would write over the other's.

    Waits a moment first: the processes that read pictures outlive a killed run by seconds.
    Raises BlockingIOError when there is another one, OSError when the folder cannot be written to.
    """
    asked = 0

    def waiting() -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise BlockingIOError(
                f"Another command is at work in {out}: wait until it ends, or give another --out."
            )
        logger.info("%s is in use: waiting for the run before this one to end.", out)

    out.mkdir(parents=True, exist_ok=True)
    with alone(out / ".lock", waiting):
        yield
