"""Something of this pack in a process of its own that stops at a chosen moment, says so, and waits.

The moment is a function by its dotted name, whose first call waits before anything is done; with @TEXT the
first one that has TEXT among its arguments. It is let go on; or it is killed there.

Import it as tests.core.stopped: another process finds its functions by that name.
"""

from __future__ import annotations

import multiprocessing
import os
import pkgutil
import signal
import tempfile
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

from . import warm_process

ROOT = Path(__file__).resolve().parents[2]
POSIX = os.name == "posix"
"""Elsewhere terminate() is what kill() is: nobody can clean up."""


class Process:
    """One that stops at `moment`; ended with the block, if it has not ended by itself.

    It has torch and the pack imported, and is the head of a process group, as what a terminal starts is.
    """

    def __init__(self, moment: str, program: str, *arguments: object, **environment: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._said = Path(self._folder.name) / "said"
        self._line, its = multiprocessing.Pipe()
        words = [its, moment, program, *map(str, arguments)]
        self.running = warm_process.start(f"{__name__}:run", words, environment, self._said, daemon=False)
        its.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if POSIX:
            with suppress(ProcessLookupError):
                os.killpg(self._pid, signal.SIGKILL)
        self.running.kill()
        self.running.join()
        self._line.close()
        self._folder.cleanup()

    @property
    def _pid(self) -> int:
        assert self.running.pid is not None
        return self.running.pid

    def arrive(self) -> Process:
        """Waits for the moment."""
        try:
            self._line.recv()
        except EOFError:
            raise AssertionError(self._said.read_text("utf-8")) from None
        return self

    def end(self, number: int = signal.SIGTERM, group: bool = False) -> tuple[int, str]:
        """Exit status after a signal, and what was said. group: its own processes get the signal as well."""
        if POSIX:
            (os.killpg if group else os.kill)(self._pid, number)
        else:
            self.running.terminate()
        return self._ended()

    def leave(self) -> None:
        """Lets it go on."""
        self._line.send(None)

    def go_on(self) -> tuple[int, str]:
        """Exit status after the moment, and what was said."""
        self.leave()
        return self._ended()

    def _ended(self) -> tuple[int, str]:
        return warm_process.status(self.running, 300), self._said.read_text("utf-8")


def run(words: list[Any]) -> int:
    """LINE MOMENT MODULE:FUNCTION ARGUMENT...; LINE: a connection to who waits for the moment."""
    line, moment, program, *arguments = words
    if POSIX:
        os.setsid()
    _wait_at(moment, line)
    return int(pkgutil.resolve_name(program)(arguments))


def _wait_at(moment: str, line: Connection) -> None:
    name, _, text = moment.partition("@")
    owner_name, _, attribute = name.rpartition(".")
    owner: Any = pkgutil.resolve_name(owner_name)
    real = getattr(owner, attribute)

    def waiting(*arguments: Any, **options: Any) -> Any:
        if any(text in str(value) for value in arguments):
            setattr(owner, attribute, real)
            line.send(None)
            while not line.poll(0.05):  # in short waits: a signal just before a wait is heard after it
                pass
            line.recv()
        return real(*arguments, **options)

    setattr(owner, attribute, waiting)
