"""Values computed from files, or the reason why there is none, cached until the file changes.

ComfyUI calls from the prompt's thread and from the server's at once. Nothing is locked: at worst both compute
the same value, and neither waits for the other.
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
from .walk import on_removed

logger = logging.getLogger(__name__)

TRANSIENT_ERROR_TTL = 5.0
"""Seconds for which a failure is cached that may not be the file's fault: no memory, permission or drive."""

Value = TypeVar("Value")


@dataclass(frozen=True)
class Failure:
    """Why a file has no value, as a message. kind: the exception to raise for it."""

    text: str
    kind: type[ValueError] | type[OSError] = ValueError

    def error(self) -> ValueError | OSError:
        """A new exception that says it."""
        return self.kind(self.text)


class _Cached(NamedTuple):
    stamp: Stamp
    value: object
    until: float


class FileCache(Generic[Value]):
    """A function of a path, cached by the file's stamp."""

    def __init__(self, compute: Callable[[Path], Value]) -> None:
        """compute: may raise whatever reading a file raises."""
        self._compute = compute
        self._cached: dict[str, _Cached] = {}
        on_removed(self._forget)

    def of(self, path: str | Path, stamp: Stamp | None = None) -> Value | Failure:
        """The value for a file or a folder, computed once until it changes.

        stamp: as `stamp_of`, where the caller has just seen it. Never raises, save for an interruption.
        """
        place = os.fspath(path)
        stamp = stamp_of(place) if stamp is None else stamp
        if stamp is None:
            self._forget([place])
            return _nothing_to_read(place)
        cached = self._cached.get(place)
        if cached is not None and cached.stamp == stamp and time.monotonic() < cached.until:
            return cached.value  # type: ignore[return-value]
        value = self._computed(Path(path))
        transient = isinstance(value, Failure) and issubclass(value.kind, OSError)
        self._cached[place] = _Cached(
            stamp, value, time.monotonic() + TRANSIENT_ERROR_TTL if transient else math.inf
        )
        return value

    def _computed(self, path: Path) -> Value | Failure:
        try:
            return self._compute(path)
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
            self._cached.pop(place, None)


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
        return Failure(f"{shown(place)} does not exist. Check the path.", FileNotFoundError)
    return Failure(f"{shown(place)} is a pipe or a device. Expected a weight file or a folder.")
