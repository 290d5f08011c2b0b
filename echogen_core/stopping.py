"""Command lines that are stopped: they clean up, say one line, and leave the exit status of their signal."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_SIGNALS = ("SIGTERM", "SIGHUP", "SIGBREAK")
"""What ends a process from outside, by the names that this system has: kill, a closed window or terminal."""


class Stopped(BaseException):
    """A signal of _SIGNALS, raised in the main thread as Ctrl+C raises KeyboardInterrupt.

    Not an Exception: nothing that looks after errors may take it for one.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def until_stopped(what: str, run: Callable[[], int]) -> int:
    """The exit status of `run`; 130 after Ctrl+C and 143 after SIGTERM, with a line on standard error.

    What is being written is taken away on the way out (see writing.py).

    what: the command, as the line names it.
    """
    try:
        with _signals_raised():
            return run()
    except KeyboardInterrupt:
        number = int(signal.SIGINT)
    except Stopped as stopped:
        number = stopped.number
    sys.stderr.write(f"{what}: stopped ({signal.Signals(number).name}).\n")
    return 128 + number


@contextmanager
def _signals_raised() -> Iterator[None]:
    """Only of signals that would end the process: what a caller (nohup, a launcher) has set up stays."""
    found = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # Python handles signals nowhere else
        before = {number: signal.getsignal(number) for number in found}
        before = {number: handler for number, handler in before.items() if handler is signal.SIG_DFL}
    for number in before:
        signal.signal(number, _raise)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(number: int, _frame: object) -> None:
    raise Stopped(number)
