"""Processes that work for a stage. A signal to all of a terminal's processes is their parent's to heed."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.pool import Pool

_HELD = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def pool(count: int, tasks: int | None = None) -> Iterator[Pool]:
    """`count` new processes, ended with the block: what they are writing then is taken away.

    tasks: after how many of them another process takes a worker's place; None: never.
    """
    made = None
    try:
        with _held_back():
            made = multiprocessing.get_context("spawn").Pool(count, _begin, maxtasksperchild=tasks)
        yield made
    finally:
        if made is not None:
            made.terminate()
            made.join()


def deaf_to_signals() -> None:
    """For a worker whose parent ends it by other means."""
    for number in _HELD:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def _held_back() -> Iterator[None]:
    """Signals wait; in processes that are started meanwhile, and by threads that are, until `_begin`."""
    if sys.platform == "win32":
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # its start lets them through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin() -> None:
    """Deaf to Ctrl+C. SIGTERM, by which the parent ends a worker, unwinds what it is at."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)


def _leave(number: int, _frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)
