"""Inputs that name files, and the names that come over links: what a loader's fingerprint can go by.

ComfyUI asks for fingerprints without the values of links, so a linked loader can't say which file it stands
for. It would run for ever if it took all that it might be: other nodes write such files. It goes by those
that it has loaded already: another name over the link makes ComfyUI run it anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import model_files

_first: dict[tuple[str, str], Any] = {}
"""(kind of loader, name) -> the fingerprint when it was first loaded."""


def note(loader: str, name: str, fingerprint: Any) -> None:
    """Remembers what a name stood for when that kind of loader first loaded it."""
    _first.setdefault((loader, name), fingerprint)


def changed(loader: str, fingerprint: Callable[[str], Any]) -> list[tuple[str, Any]]:
    """The names noted that stand for something else now, with its fingerprint; it stays the same until then.

    fingerprint: that of a name, today.
    """
    names = [(name, first) for (kind, name), first in _first.items() if kind == loader]
    return [(name, now) for name, first in names if (now := fingerprint(name)) != first]


class FileInput:
    """A loader's input that names one file. Its check and its fingerprint never raise."""

    def __init__(self, loader: str, find: Callable[[Any], Path]) -> None:
        """loader: its kind. find: the file of a name; ValueError or FileNotFoundError, in words, without."""
        self._loader = loader
        self._find = find

    def check(self, name: Any) -> bool | str:
        """True, or what is wrong with a name. None: a link provides it."""
        if name is None:
            return True
        try:
            self._find(name)
        except (ValueError, FileNotFoundError) as error:
            return str(error)
        return True

    def fingerprint(self, name: Any) -> Any:
        """That of the name's file, '' without one; for a link (None) see `changed`."""
        if name is None:
            return changed(self._loader, self.fingerprint)
        try:
            return model_files.fingerprint([self._find(name)])
        except (ValueError, FileNotFoundError):
            return ""

    def file(self, name: str) -> Path:
        """The file to load. Raises as `find`."""
        path = self._find(name)
        note(self._loader, name, model_files.fingerprint([path]))
        return path
