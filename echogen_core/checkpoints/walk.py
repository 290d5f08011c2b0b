"""Files below folders, for every list: whatever lies there the walk ends, and it is remembered.

Nothing is opened. Left out, with all below them, are names that no UTF-8 has: a browser could be sent them,
but every log, terminal or file of text that writes one dies of it.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, NamedTuple, TypeAlias

from .faults import printable

logger = logging.getLogger(__name__)

FEW = 256
"""Up to so many files and folders, all are looked at each time."""
FOR_SECONDS = 0.2
"""Of more, sizes and times hold so long: ComfyUI asks for a dozen lists at once. New files show at once."""
MOST_ALIASES = 8
"""How often a folder is entered by ways that lead through links."""
MOST_FOLDERS = 20_000
"""Folders in one walk: a link to / must not become a search of the whole disk."""
LONGEST_PATH = 4096
"""Letters; what is longer is no path on most systems."""
_TICK_NS = 50_000_000  # a folder may change again within its clock's tick, and not show it

_gone: list[Callable[[Iterable[str]], None]] = []


class FileStamp(NamedTuple):
    """What changes when a file does: its bytes; nanoseconds of its last writing, and of any last change."""

    size: int
    written: int
    changed: int


Stamp: TypeAlias = FileStamp | tuple[tuple[str, FileStamp], ...]
"""A file's, or those of the files in a folder, by their names."""


class Search(NamedTuple):
    """What a walk looks for.

    endings: of files, in lower case; the files' own may be in any. whole: a folder below the top with a file
    of such a name is found as one thing, and not looked into. deep: in folders below as well. links: also
    behind links to folders. hidden: also what begins with a dot.
    """

    endings: tuple[str, ...]
    whole: tuple[str, ...] = ()
    deep: bool = True
    links: bool = True
    hidden: bool = False


class Entry(NamedTuple):
    """What a walk finds.

    name: path below the top, with / everywhere. place: its whole path. stamp: as `stamp_of`. folder: whether
    it is one.
    """

    name: str
    place: str
    stamp: Stamp | None
    folder: bool


class _Seen(NamedTuple):
    """A walk's findings, and by what to know that they still hold."""

    entries: tuple[Entry, ...]
    folders: tuple[tuple[str, int | None], ...]
    at: float
    settled: bool


class _Place(NamedTuple):
    path: str
    prefix: str
    linked: bool
    above: Any  # (identity of the folder above, the one above that), or None


_seen: dict[tuple[str, Search], _Seen] = {}


def entries(top: str | Path, search: Search) -> tuple[Entry, ...]:
    """What lies below a folder, in the order of the names. Nothing where it is none, or cannot be read.

    The very same tuple as before where nothing has changed.
    """
    key = (os.fspath(top), search)
    before = _seen.get(key)
    if before is not None and _holds(before):
        return before.entries
    now = _walk(key[0], search, () if before is None else before.entries)
    if before is not None and before.entries == now.entries:
        now = now._replace(entries=before.entries)
    elif before is not None:
        gone = {entry.place for entry in before.entries} - {entry.place for entry in now.entries}
        for forget in _gone if gone else ():
            forget(gone)
    _seen[key] = now
    return now.entries


def find(top: str | Path, name: object, search: Search) -> Entry | None:
    """The one that `entries` lists under a name, without a walk; None for any other name, or value."""
    if not isinstance(name, str) or not is_text(name):
        return None
    place = os.path.join(top, name)
    if len(name) > LONGEST_PATH or not os.path.lexists(place):
        return None
    parts = name.split("/")
    if PurePath(name).parts != tuple(parts) or PurePath(name).anchor or ".." in parts:
        return None
    if not search.hidden and any(part.startswith(".") for part in parts):
        return None
    if not search.deep and len(parts) > 1:
        return None
    above = [os.path.join(top, *parts[:count]) for count in range(1, len(parts))]
    if any(_is_whole(folder, search) for folder in above):
        return None
    folder = os.path.isdir(place)
    listed = _is_whole(place, search) if folder else name.lower().endswith(search.endings)
    return Entry(name, place, stamp_of(place), folder) if listed else None


def stamp_of(path: str | Path) -> Stamp | None:
    """The stamp of a file, or of a folder; None where there is neither (nothing, a pipe, a device)."""
    found = _stat(path)
    if found is None:
        return None
    if stat.S_ISDIR(found.st_mode):
        return _folder_stamp(_listing(path))
    return _file_stamp(found)


def is_text(name: str) -> bool:
    """Whether UTF-8 has a name."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(path: str | Path) -> str:
    """A path for a message."""
    return printable(path, LONGEST_PATH)


def on_gone(forget: Callable[[Iterable[str]], None]) -> None:
    """From now on calls `forget` with the places of what walks no longer find."""
    _gone.append(forget)


def _holds(seen: _Seen) -> bool:
    if max(len(seen.entries), len(seen.folders)) <= FEW or not seen.settled:
        return False
    if time.monotonic() - seen.at > FOR_SECONDS:
        return False
    return len(seen.folders) > FEW or all(_written(path) == written for path, written in seen.folders)


def _walk(top: str, search: Search, before: tuple[Entry, ...]) -> _Seen:
    """From above to below, so that of several ways to a folder the short ones come first.

    What has not changed is taken from `before`: thousands of new objects would wake Python's garbage
    collection, which is slow beside a loaded torch.
    """
    known = {entry.place: entry for entry in before}
    began, now = time.monotonic(), time.time_ns()
    found: list[Entry] = []
    folders: list[tuple[str, int | None]] = []
    visits: Counter[Any] = Counter()
    # Windows has links to folders ("junctions") that do not say so.
    waiting = deque([_Place(top, "", os.name == "nt", None)])
    while waiting and len(folders) < MOST_FOLDERS:
        here = waiting.popleft()
        self = _stat(here.path)
        folders.append((here.path, None if self is None else self.st_mtime_ns))
        if self is None or _goes_round(here, identity := _identity(here.path, self), visits):
            continue
        listing = [entry for entry in _listing(here.path) if _is_wanted(entry.name, here.path, search)]
        below = {entry.name for entry in listing if _is_folder(entry)}
        if here.prefix and any(e.name in search.whole for e in listing if e.name not in below):
            found.append(Entry(here.prefix[:-1], here.path, _folder_stamp(listing), True))
            continue
        found += [
            _file(entry, here.prefix, known)
            for entry in listing
            if entry.name not in below and entry.name.lower().endswith(search.endings)
        ]
        if search.deep:
            waiting.extend(_below(here, identity, listing, below, search.links))
    if waiting:
        _say_once(f"{shown(top)} has more than {MOST_FOLDERS} folders; those further down are not listed.")
    found.sort(key=lambda entry: entry.name.replace("/", "\0"))  # part by part
    settled = all(written is None or written < now - _TICK_NS for _, written in folders)
    return _Seen(tuple(found), tuple(folders), began, settled)


def _file(entry: os.DirEntry[str], prefix: str, known: Mapping[str, Entry]) -> Entry:
    stamp, before = _entry_stamp(entry), known.get(entry.path)
    if before is not None and before.stamp == stamp:
        return before
    return Entry(prefix + entry.name, entry.path, stamp, False)


def _below(
    here: _Place, identity: Any, listing: Iterable[os.DirEntry[str]], below: set[str], links: bool
) -> Iterator[_Place]:
    """The folders in a folder, in the order of their names."""
    for entry in sorted((entry for entry in listing if entry.name in below), key=lambda entry: entry.name):
        if links or not entry.is_symlink():
            linked = here.linked or entry.is_symlink()
            yield _Place(entry.path, f"{here.prefix}{entry.name}/", linked, (identity, here.above))


def _goes_round(here: _Place, identity: Any, visits: Counter[Any]) -> bool:
    """Whether a way through links leads back to a folder that it came through, or too often to the same."""
    if not here.linked:
        return False
    above = here.above
    while above is not None:
        if above[0] == identity:
            return True
        above = above[1]
    visits[identity] += 1
    return visits[identity] > MOST_ALIASES


def _identity(path: str, found: os.stat_result) -> Any:
    """What is the same for two ways to one folder; some network drives number none."""
    return (found.st_dev, found.st_ino) if found.st_ino else os.path.realpath(path)


def _is_whole(folder: str, search: Search) -> bool:
    names = (os.path.join(folder, name) for name in search.whole)
    return any(os.path.lexists(name) and not os.path.isdir(name) for name in names)


def _is_wanted(name: str, folder: str, search: Search) -> bool:
    if not is_text(name):
        _say_once(f"{printable(name)} in {shown(folder)} is left out: its name is no text. Rename it.")
        return False
    return search.hidden or not name.startswith(".")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _listing(folder: str | Path) -> list[os.DirEntry[str]]:
    """What is in a folder; nothing where it cannot be read."""
    try:
        with os.scandir(folder) as found:
            return list(found)
    except (OSError, ValueError):
        return []


def _stat(path: str | Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (OSError, ValueError):
        return None


def _written(path: str) -> int | None:
    found = _stat(path)
    return None if found is None else found.st_mtime_ns


def _entry_stamp(entry: os.DirEntry[str]) -> FileStamp | None:
    try:
        return _file_stamp(entry.stat())
    except OSError:
        return None


def _file_stamp(found: os.stat_result) -> FileStamp | None:
    if not stat.S_ISREG(found.st_mode):
        return None
    return FileStamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _folder_stamp(listing: Iterable[os.DirEntry[str]]) -> tuple[tuple[str, FileStamp], ...]:
    stamps = ((entry.name, _entry_stamp(entry)) for entry in listing)
    return tuple(sorted((name, stamp) for name, stamp in stamps if stamp is not None))


_said: set[str] = set()


def _say_once(text: str) -> None:
    if text not in _said:
        _said.add(text)
        logger.warning("%s", text)
