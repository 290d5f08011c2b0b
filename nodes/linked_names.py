"""Names of files that come over links: what a loader's fingerprint can go by.

ComfyUI asks for fingerprints without the values of links, so a linked loader can't say which file it stands
for. It would run for ever if it took all that it might be: other nodes write such files. It goes by those
that it has loaded already: another name over the link makes ComfyUI run it anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
