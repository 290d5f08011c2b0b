"""One process at a time: through filelock, whose locks are the system's own and end with their process."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .disk import explained

logger = logging.getLogger(__name__)

WAITING_REPORT_SECONDS = 10.0
"""Seconds between two calls of `waiting`."""


@contextmanager
def exclusive_lock(path: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Holds the lock file `path`: one process at a time is inside.

    path: removed at the end.
    waiting: called at once, and then every WAITING_REPORT_SECONDS, while another process is inside. None:
        don't wait.
    Raises BlockingIOError when another process is inside and `waiting` is None, ModuleNotFoundError without
    filelock, OSError when the lock file can't be made. On a disk without locks all may enter; that is logged.
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
            pause = WAITING_REPORT_SECONDS
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
