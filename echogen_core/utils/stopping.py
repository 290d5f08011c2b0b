"""Command lines that are stopped: they clean up, say one line, and leave the exit status of their signal."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
"""What stops a process from outside, by the names that this system has: Ctrl+C, kill, a closed window."""
_UNTOUCHED = (signal.SIG_DFL, signal.default_int_handler)


class Stopped(BaseException):
    """A signal of _SIGNALS, raised in the main thread as Ctrl+C raises KeyboardInterrupt.

    Not an Exception: nothing that looks after errors may take it for one.
    """


def until_stopped(what: str, run: Callable[[], int]) -> int:
    """The exit status of `run`; 130 after Ctrl+C and 143 after SIGTERM, with a line on standard error.

    What is being written is taken away on the way out (see writing.py). What else goes wrong on that way,
    such as a process that was stopped as well and is missed, is of no account.

    what: the command, as the line names it.
    """
    received: list[int] = []
    try:
        with _signals_raised(received):
            status = run()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            received.append(signal.SIGINT)
        if not received:
            raise
    if not received:
        return status
    sys.stderr.write(f"{what}: stopped ({signal.Signals(received[0]).name}).\n")
    return 128 + received[0]


@contextmanager
def _signals_raised(received: list[int]) -> Iterator[None]:
    """Only of signals that would end the process: what a caller (nohup, a launcher) has set up stays.

    received: gets the numbers of those that came.
    """

    def stop(number: int, _frame: object) -> None:
        received.append(number)
        # what others look after is Ctrl+C's own
        raise KeyboardInterrupt if number == signal.SIGINT else Stopped

    found = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # Python handles signals nowhere else
        before = {number: signal.getsignal(number) for number in found}
        before = {number: handler for number, handler in before.items() if handler in _UNTOUCHED}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
