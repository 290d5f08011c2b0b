"""Commands of the checks: watched for signs of life, and ended together with all that they have started."""

from __future__ import annotations

import codecs
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from .say import say

# Longer than pytest gives a single test, so that pytest names the test that hangs before this ends them all.
MAX_SILENT_SECONDS = 900.0
GRACE_SECONDS = 20.0  # a browser test ends its server and its Chromium in that time
POLL_SECONDS = 0.1


class OutputTimeout(Exception):
    """A command printed nothing for so long that it was stopped."""


class Stopped(Exception):
    """A command was stopped on request."""


def run(
    command: Sequence[str],
    folder: Path,
    environ: Mapping[str, str],
    log: Path,
    *,
    echo: bool = False,
    stop: threading.Event | None = None,
    max_silent_seconds: float | None = None,
) -> int:
    """Runs a command with its output appended to `log`; returns its exit status.

    echo: its output is shown as it comes. max_silent_seconds: how long it may print nothing (default:
    MAX_SILENT_SECONDS). A command that makes progress is never cut off, however slow the machine is.
    Raises OutputTimeout after that time, and Stopped once `stop` is set. Nothing that the command started
    in its process group outlives the call, nor, where it is cut off, anything else that it started.
    """
    limit = MAX_SILENT_SECONDS if max_silent_seconds is None else max_silent_seconds
    with log.open("ab") as output:
        process = start(command, folder, environ, output.fileno())
        reader = Reader(log, output.tell(), echo)
        heard = time.monotonic()
        try:
            while process.poll() is None:
                if reader.read():
                    heard = time.monotonic()
                elif time.monotonic() - heard > limit:
                    raise OutputTimeout(f"stopped: it had printed nothing for {limit:.0f} s")
                if stop is not None and stop.is_set():
                    raise Stopped("stopped")
                with suppress(subprocess.TimeoutExpired):
                    process.wait(POLL_SECONDS)
        except BaseException:
            end(process)
            raise
        finally:
            reader.read()
    end_group(process.pid)
    return process.returncode


def start(
    command: Sequence[str], folder: Path, environ: Mapping[str, str], output: int
) -> subprocess.Popen[bytes]:
    """Starts a command as the head of a process group of its own, where the system has such groups."""
    return subprocess.Popen(
        command,
        cwd=folder,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=os.name != "nt",
    )


class Reader:
    """Follows a log file from a byte on."""

    def __init__(self, log: Path, place: int, echo: bool) -> None:
        self.log, self.place, self.echo = log, place, echo
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read(self) -> bool:
        """Whether there is more than at the last call; shows it."""
        with self.log.open("rb") as file:
            file.seek(self.place)
            new = file.read()
        self.place += len(new)
        if new and self.echo:
            say(self.decoder.decode(new), end="")
        return bool(new)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process from `start` and all of its descendants; on POSIX with Ctrl+C first."""
    if os.name == "nt":
        kill = ["taskkill", "/T", "/F", "/PID", str(process.pid)]
        subprocess.run(kill, capture_output=True, check=False)
        process.wait()
        return
    groups = groups_of(process.pid)  # before it ends: orphans no longer tell who started them
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)
    if process.poll() is None:
        groups |= groups_of(process.pid)
    for group in groups:
        end_group(group)
    process.wait()


def end_group(group: int) -> None:
    """Kills what is left of a process group; nothing on Windows, which has none."""
    if os.name != "nt":
        # PermissionError: macOS, where only processes that have ended but were not waited for are left.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def groups_of(process: int) -> set[int]:
    """The process groups of a process and of all its descendants (a browser makes one of its own)."""
    table = process_table()
    family, groups = {process}, {process}
    while True:
        children = {pid for pid, (parent, _) in table.items() if parent in family} - family
        if not children:
            return groups - {os.getpgrp()}
        family |= children
        groups |= {table[pid][1] for pid in children}


def process_table() -> dict[int, tuple[int, int]]:
    """Every process's number, with its parent's and its process group's."""
    if Path("/proc/self/stat").exists():
        lines = [line for file in Path("/proc").glob("[0-9]*/stat") if (line := stat_line(file))]
    else:
        lines = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid=,pgid="], capture_output=True, text=True, check=True
        ).stdout.splitlines()
    rows = [tuple(map(int, line.split())) for line in lines]
    return {pid: (parent, group) for pid, parent, group in rows}


def stat_line(file: Path) -> str:
    """Number, parent and group from a process's file in /proc; empty when the process has just ended."""
    try:
        number, _, rest = file.read_text(encoding="utf-8", errors="replace").partition(" ")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    # The program's name, in parentheses, may hold spaces and parentheses.
    _, parent, group, *_ = rest.rpartition(")")[2].split()
    return f"{number} {parent} {group}"
