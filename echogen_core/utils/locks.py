"""One process at a time: through filelock, whose locks are the system's own and end with their process."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .disk import explained

logger = logging.getLogger(__name__)

ASKED_AGAIN = 10.0
"""Seconds between two reports to somebody who waits."""


@contextmanager
def alone(path: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Nobody else who asks for `path` is inside at the same time.

    path: the lock's file; taken away at the end.
    waiting: called at once, and then every ASKED_AGAIN seconds, while another process is inside. None: nobody
        waits.
    Raises BlockingIOError when another one is inside and nobody waits; ModuleNotFoundError without filelock;
    OSError when the lock's file cannot be made. On a disk without locks all may enter, which the log says.
    """
    try:
        from filelock import FileLock, Timeout
    except ImportError as error:
        raise ModuleNotFoundError(
            "This needs filelock, which comes with torch and huggingface_hub: pip install filelock"
        ) from error
    with explained(path):
        path.touch()  # what is wrong with the folder is said here; below, an error is the lock's
    lock = FileLock(path)
    pause = 0.0
    while True:
        try:
            lock.acquire(timeout=pause, poll_interval=0.2)
            break
        except Timeout:
            if waiting is None:
                raise BlockingIOError(f"Another process holds {path}.") from None
            waiting()
            pause = ASKED_AGAIN
        except (OSError, NotImplementedError) as error:
            logger.warning(
                "%s cannot be locked (%s): do not start a second process on the same files.", path, error
            )
            break
    try:
        yield
    finally:
        # before it is free: the next one makes another. Windows refuses, and takes it away by itself
        with suppress(FileNotFoundError, PermissionError):
            os.unlink(path)
        lock.release()
