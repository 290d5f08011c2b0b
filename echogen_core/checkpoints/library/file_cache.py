"""What was found out about files, until they change: answers, and why there is none.

ComfyUI asks from the prompt's thread and from the server's at once. Nothing is locked: at worst both find the
same out, and neither waits for the other.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from ...encoders.text import by_library
from ...utils.printable import printable
from .folder_listing import Stamp, shown, stamp_of
from .walk import on_gone

logger = logging.getLogger(__name__)

PASSING_SECONDS = 5.0
"""How long a failure counts that may not be the file's fault: no memory, no permission, a lost drive."""

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Failure:
    """Why a file gave no answer, in words. kind: what to raise in its place."""

    text: str
    kind: type[ValueError] | type[OSError] = ValueError

    def error(self) -> ValueError | OSError:
        """A new exception that says it."""
        return self.kind(self.text)


class _Known(NamedTuple):
    stamp: Stamp
    answer: object
    until: float


class FileCache(Generic[Answer]):
    """A question about files, and what came of asking it."""

    def __init__(self, ask: Callable[[Path], Answer]) -> None:
        """ask: may raise whatever reading a file raises."""
        self._ask = ask
        self._known: dict[str, _Known] = {}
        on_gone(self._forget)

    def of(self, path: str | Path, stamp: Stamp | None = None) -> Answer | Failure:
        """The answer for a file or a folder, asked once until it changes.

        stamp: as `stamp_of`, where the caller has just seen it. Never raises, save for an interruption.
        """
        place = os.fspath(path)
        stamp = stamp_of(place) if stamp is None else stamp
        if stamp is None:
            self._forget([place])
            return _nothing_to_read(place)
        known = self._known.get(place)
        if known is not None and known.stamp == stamp and time.monotonic() < known.until:
            return known.answer  # type: ignore[return-value]
        answer = self._asked(Path(path))
        passing = isinstance(answer, Failure) and issubclass(answer.kind, OSError)
        self._known[place] = _Known(
            stamp, answer, time.monotonic() + PASSING_SECONDS if passing else math.inf
        )
        return answer

    def _asked(self, path: Path) -> Answer | Failure:
        try:
            return self._ask(path)
        except (ValueError, OSError, MemoryError) as error:
            return _failure(path, error)
        # A list outlives every file: what a reader did not foresee is its defect, and is logged as one.
        except BaseException as error:
            if not by_library(error):
                raise
            logger.warning("Can't read %s.", shown(path), exc_info=True)
            return Failure(
                f"Can't read {shown(path)}: {type(error).__name__} ({printable(error)}). Download it again, "
                "or "
                "move it out of the folder."
            )

    def _forget(self, places: Iterable[str]) -> None:
        for place in places:
            self._known.pop(place, None)


def _failure(path: Path, error: Exception) -> Failure:
    if isinstance(error, MemoryError):
        return Failure(f"Can't read {shown(path)}: not enough memory is free.", OSError)
    # Only what no log can write; the words of a reader have lines of their own.
    text = str(error).encode("utf-8", "backslashreplace").decode()
    for kind in (FileNotFoundError, OSError):
        if isinstance(error, kind):
            return Failure(text, kind)
    return Failure(text)


def _nothing_to_read(place: str) -> Failure:
    if not os.path.exists(place):
        return Failure(
            f"{shown(place)} does not exist. Check the name, or download the file there.", FileNotFoundError
        )
    return Failure(f"{shown(place)} is a pipe or a device. Expected a weight file or a folder.")
