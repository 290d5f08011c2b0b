"""A pool of worker processes that leaves signals to its parent.

Ctrl+C in a terminal, and a scheduler's kill, reach every process of the group; only the parent acts on them.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.pool import Pool

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def pool(count: int, tasks: int | None = None) -> Iterator[Pool]:
    """`count` spawned processes, terminated at the end of the block; unfinished files are removed.

    tasks: number of tasks after which a worker is replaced by a fresh process; None: never.
    """
    made = None
    try:
        with _signals_blocked():
            made = multiprocessing.get_context("spawn").Pool(count, _begin, maxtasksperchild=tasks)
        yield made
    finally:
        if made is not None:
            made.terminate()
            made.join()


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Blocks signals; processes and threads started meanwhile inherit that until `_begin`."""
    if sys.platform == "win32":
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # starting it unblocks them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin() -> None:
    """A worker ignores Ctrl+C; SIGTERM, sent by the parent, unwinds the task at hand."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _leave(number: int, _frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)
