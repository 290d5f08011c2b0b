"""Something of this pack in a process of its own that stops at a chosen moment, says so, and waits.

    python -m tests.core.stopped MOMENT MODULE:FUNCTION ARGUMENT...

MOMENT: a function by its dotted name, whose first call waits before anything is done; with @TEXT the first
one that has TEXT among its arguments. A line on standard input lets it go on; or it is killed there.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
POSIX = os.name == "posix"
"""Elsewhere terminate() is what kill() is: nobody can clean up."""


class Process:
    """One that stops at `moment`; ended with the block, if it has not ended by itself."""

    def __init__(self, moment: str, program: str, *arguments: object, **environment: str) -> None:
        self.running = subprocess.Popen(
            [sys.executable, "-m", "tests.core.stopped", moment, program, *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # a terminal's, which signals all of its processes at once
        )

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if POSIX:
            with suppress(ProcessLookupError):
                os.killpg(self.running.pid, signal.SIGKILL)
        self.running.kill()
        self.running.communicate()

    def arrive(self) -> Process:
        """Waits for the moment."""
        assert self.running.stdout is not None
        lines = iter(self.running.stdout.readline, "")
        assert any(line == "here\n" for line in lines), self.running.communicate()[1]
        return self

    def end(self, number: int = signal.SIGTERM, group: bool = False) -> tuple[int, str]:
        """Exit status after a signal, and what was said. group: its own processes get the signal as well."""
        if group and POSIX:
            os.killpg(self.running.pid, number)
        else:
            self.running.send_signal(number)
        said = self.running.communicate(timeout=300)[1]
        return self.running.returncode, said

    def leave(self) -> None:
        """Lets it go on."""
        assert self.running.stdin is not None
        self.running.stdin.write("\n")
        self.running.stdin.flush()

    def go_on(self) -> tuple[int, str]:
        """Exit status after the moment, and what was said."""
        said = self.running.communicate("\n", timeout=300)[1]
        return self.running.returncode, said


def _wait_at(moment: str) -> None:
    name, _, text = moment.partition("@")
    owner_name, _, attribute = name.rpartition(".")
    owner: Any = pkgutil.resolve_name(owner_name)
    real = getattr(owner, attribute)

    def waiting(*arguments: Any, **options: Any) -> Any:
        if any(text in str(value) for value in arguments):
            setattr(owner, attribute, real)
            sys.stdout.write("here\n")
            sys.stdout.flush()
            _wait_for_a_line()
        return real(*arguments, **options)

    setattr(owner, attribute, waiting)


def _wait_for_a_line() -> None:
    """In short waits: a signal that comes just before a wait is heard after it."""
    while POSIX and not select.select([sys.stdin], [], [], 0.05)[0]:
        pass
    sys.stdin.readline()


if __name__ == "__main__":
    moment, program, *arguments = sys.argv[1:]
    _wait_at(moment)
    module, _, function = program.partition(":")
    raise SystemExit(getattr(importlib.import_module(module), function)(arguments))
