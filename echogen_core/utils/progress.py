"""How far a long piece of work is, how fast it goes, and when it ends, in one line."""

from __future__ import annotations

import sys
import time
from datetime import timedelta

from .printable import counted

SECONDS_BETWEEN_LINES = 30.0
"""Without a terminal, where each report is a line that stays."""
_TERMINAL_SECONDS = 0.2
_WIDTH = 78


class Pace:
    """The rate since it was made, and what it means for the end."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._began = time.monotonic()

    def left(self, done: int) -> str:
        """How long the rest takes at this rate, as 1:05:30; '?' before anything is done."""
        if not done:
            return "?"
        return str(timedelta(seconds=round((self._total - done) * self._seconds / done)))

    def rate(self, done: int) -> str:
        """How many a second, or how many seconds each."""
        if not done or not self._seconds:
            return "?"
        per_second = done / self._seconds
        return f"{per_second:.1f} a second" if per_second >= 1 else f"{1 / per_second:.1f} s each"

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._began


class Progress:
    """Reports to standard error: one line that is rewritten, or lines in between without a terminal.

    Use it as a context; the last report comes at its end.
    """

    def __init__(self, noun: str, total: int, quiet: bool = False) -> None:
        """noun: what is counted, in the singular. quiet: says nothing, for all processes but one."""
        self._noun = noun
        self._total = total
        self._done = 0
        self._quiet = quiet
        self._pace = Pace(total)
        self._rewrites = sys.stderr.isatty()
        self._reported, self._reported_done = float("-inf"), 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._quiet or not self._done:
            return
        if self._done != self._reported_done:
            self._report()
        sys.stderr.write("\n" if self._rewrites else "")

    def step(self, count: int) -> None:
        """So many more are done."""
        self._done += count
        between = _TERMINAL_SECONDS if self._rewrites else SECONDS_BETWEEN_LINES
        due = self._done < self._total and time.monotonic() - self._reported >= between
        if count and due and not self._quiet:
            self._report()

    def _report(self) -> None:
        self._reported, self._reported_done = time.monotonic(), self._done
        words = (
            f"{self._done:,} of {counted(self._total, self._noun)}, {self._pace.rate(self._done)}, "
            f"{self._pace.left(self._done)} left"
        )
        sys.stderr.write(f"\r{words:<{_WIDTH}}" if self._rewrites else f"{words}\n")
        sys.stderr.flush()
