"""Scans folders for the lists of files, in bounded time, and caches the result.

Nothing is opened. For what is left out see folder_listing.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from .folder_listing import (
    MAX_PATH_LENGTH,
    Item,
    Stamp,
    file_stamp,
    folder_stamp,
    is_text,
    list_folder,
    shown,
    stamp_of,
    stat_or_none,
    warn_once,
)

logger = logging.getLogger(__name__)

MAX_ALWAYS_SCANNED = 256
"""Files and folders up to which a scan is repeated on every call."""
CACHE_SECONDS, CACHE_FACTOR = 0.2, 10
"""A larger scan is reused for that many seconds, or that many times its own duration, whichever is longer:
ComfyUI asks for a dozen lists at once."""
ALWAYS_CHECKED_FOLDERS = 16
"""Folders, nearest the top first, whose changes show at once even in a reused scan."""
MAX_ALIASES = 8
"""How often one folder is entered through links."""
MAX_FOLDERS = 20_000
"""Folders in one walk: a link must not become a search of the whole disk."""
MAX_SCAN_SECONDS = 5.0
"""Time that one scan spends on folders that are new or have changed; the next scan does the rest."""
_SETTLED_NS = 3_000_000_000
"""A folder may change again within its clock's tick, and not show it; the slowest (FAT) takes two seconds."""
_removal_callbacks: list[Callable[[Iterable[str]], None]] = []


class Search(NamedTuple):
    """What a walk looks for.

    endings: of files, in lower case; matched in any case. marker_files: a folder below the top that contains
    a file of such a name is one entry, and is not entered. deep: include folders below. links: follow links
    to folders. hidden: include names that begin with a dot.
    """

    endings: tuple[str, ...]
    marker_files: tuple[str, ...] = ()
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


class _Listing(NamedTuple):
    """The items of a folder that matter to a search, and the folder's state; None where it may not show."""

    state: tuple[int, ...] | None
    items: tuple[Item, ...]


class _Place(NamedTuple):
    path: str
    prefix: str
    linked: bool
    above: Any  # (identity of the folder above, the one above that), or None


class _ScanResult(NamedTuple):
    """A scan: its entries, sorted, and by path; the folders' listings; until when it is reused."""

    entries: tuple[Entry, ...] = ()
    found: Mapping[str, Entry] = {}
    listings: Mapping[str, _Listing] = {}
    until: float = 0.0


_scans: dict[tuple[str, Search], _ScanResult] = {}


def entries(top: str | Path, search: Search) -> tuple[Entry, ...]:
    """What lies below a folder, in the order of the names. Nothing where it is none, or cannot be read.

    The very same tuple as before where nothing has changed.
    """
    key = (os.fspath(top), search)
    before = _scans.get(key, _ScanResult())
    if time.monotonic() < before.until and _unchanged(before):
        return before.entries
    now = _scans[key] = _Walk(key[0], search, before).run()
    if removed := before.found.keys() - now.found.keys():
        for forget in _removal_callbacks:
            forget(removed)
    return now.entries


def find(top: str | Path, name: object, search: Search) -> Entry | None:
    """The one that `entries` lists under a name, without a walk; None for any other name, or value."""
    if not isinstance(name, str) or not is_text(name):
        return None
    place = os.path.join(top, name)
    if len(name) > MAX_PATH_LENGTH or not os.path.lexists(place):
        return None
    parts = name.split("/")
    if PurePath(name).parts != tuple(parts) or PurePath(name).anchor or ".." in parts:
        return None
    if not search.hidden and any(part.startswith(".") for part in parts):
        return None
    if not search.deep and len(parts) > 1:
        return None
    above = [os.path.join(top, *parts[:count]) for count in range(1, len(parts))]
    if any(_is_model_folder(folder, search) for folder in above) or _links_to_parent(top, above):
        return None
    folder = os.path.isdir(place)
    listed = _is_model_folder(place, search) if folder else name.lower().endswith(search.endings)
    return Entry(name, place, stamp_of(place), folder) if listed else None


def on_removed(forget: Callable[[Iterable[str]], None]) -> None:
    """Registers `forget`, which is called with the paths that scans no longer find."""
    _removal_callbacks.append(forget)


def _unchanged(scan: _ScanResult) -> bool:
    states = (
        (folder, listing.state) for folder, listing in islice(scan.listings.items(), ALWAYS_CHECKED_FOLDERS)
    )
    return all(state and state == _state(stat_or_none(folder)) for folder, state in states)


class _Walk:
    """From above to below, and through links last: of several ways to a folder the plain ones come first.

    What has not changed is taken from the walk before: a folder's listing while the folder's own time stays,
    and what was found, as thousands of new objects would wake Python's garbage collection, which is slow
    beside a loaded torch.
    """

    def __init__(self, top: str, search: Search, before: _ScanResult) -> None:
        self._top, self._search, self._before = top, search, before
        self._began = time.monotonic()
        self._found: dict[str, Entry] = {}
        self._listings: dict[str, _Listing] = {}
        self._visits: Counter[Any] = Counter()
        self._waiting, self._behind_links = deque([_Place(top, "", False, None)]), deque[_Place]()
        self._changed = False

    @cached_property
    def _parents(self) -> set[Any]:
        return _parents(self._top)

    def run(self) -> _ScanResult:
        for _ in range(MAX_FOLDERS):
            if not (self._waiting or self._behind_links):
                break
            here = (self._waiting or self._behind_links).popleft()
            found = stat_or_none(here.path)
            if found is None or not stat.S_ISDIR(found.st_mode):
                continue
            identity = _identity(here.path, found)
            if not (here.linked and self._is_symlink_cycle(here, identity)):
                self._enter(here, identity, self._listing(here.path, found))
        if self._waiting or self._behind_links:
            warn_once(
                f"{shown(self._top)} has more than {MAX_FOLDERS} folders; those further down are not listed."
            )
        entries = self._before.entries
        if self._changed or len(self._found) != len(entries):
            entries = tuple(sorted(self._found.values(), key=_by_parts))
        now, few = time.monotonic(), len(self._found) + len(self._listings) <= MAX_ALWAYS_SCANNED
        until = now + max(CACHE_SECONDS, CACHE_FACTOR * (now - self._began))
        return _ScanResult(entries, self._found, self._listings, 0.0 if few else until)

    def _is_symlink_cycle(self, here: _Place, identity: Any) -> bool:
        """Whether a way through links leads back to where it came from, or too often to the same folder."""
        above = here.above
        while above is not None:
            if above[0] == identity:
                return True
            above = above[1]
        if identity in self._parents:
            warn_once(f"{shown(here.path)} leads to a folder around {shown(self._top)}: it is not followed.")
            return True
        self._visits[identity] += 1
        return self._visits[identity] > MAX_ALIASES

    def _listing(self, folder: str, found: os.stat_result) -> _Listing:
        state = _state(found)
        listing = self._before.listings.get(folder)
        # On Windows a listing is as good as asking for each file, and not all of its folders have a time.
        if listing is None or listing.state != state or os.name == "nt":
            if time.monotonic() <= self._began + MAX_SCAN_SECONDS:
                settled = max(found.st_mtime_ns, found.st_ctime_ns) < time.time_ns() - _SETTLED_NS
                listing = _Listing(state if settled else None, _relevant_items(folder, self._search))
            else:
                warn_once(
                    f"{shown(self._top)} takes long to look through; what is further down is listed later."
                )
                listing = listing or _Listing(None, ())
        self._listings[folder] = listing
        return listing

    def _enter(self, here: _Place, identity: Any, listing: _Listing) -> None:
        search, folders = self._search, []
        files: list[tuple[Item, os.stat_result | None]] = []
        for item in listing.items:
            found = None if item.folder else item.stat()
            if item.folder or (found is not None and stat.S_ISDIR(found.st_mode)):
                folders.append(item)
            else:
                files.append((item, found))
        if here.prefix and any(item.name in search.marker_files for item, _ in files):
            stamp = folder_stamp((item.name, found) for item, found in files)
            self._note(here.prefix[:-1], here.path, stamp, True)
            return
        for item, found in files:
            if item.name.lower().endswith(search.endings):
                self._note(here.prefix + item.name, item.path, file_stamp(found), False)
        for item in folders if search.deep else ():
            place = _Place(
                item.path, f"{here.prefix}{item.name}/", here.linked or item.link, (identity, here.above)
            )
            if not item.link:
                self._waiting.append(place)
            elif search.links or item.folder:
                self._behind_links.append(place)

    def _note(self, name: str, place: str, stamp: Stamp | None, folder: bool) -> None:
        entry = self._before.found.get(place)
        if entry is None or entry.stamp != stamp or entry.folder != folder:
            entry = Entry(name, place, stamp, folder)
            self._changed = True
        self._found[place] = entry


def _links_to_parent(top: str | Path, folders: Iterable[str]) -> bool:
    """Whether one of these is a link to a folder that holds the top of the walk."""
    resolved = ((folder, stat_or_none(folder)) for folder in folders if os.path.islink(folder))
    links = [(folder, found) for folder, found in resolved if found is not None]
    around = _parents(top) if links else set()
    return any(_identity(folder, found) in around for folder, found in links)


def _by_parts(entry: Entry) -> str:
    return entry.name.replace("/", "\0")


def _relevant_items(folder: str, search: Search) -> tuple[Item, ...]:
    """What is in a folder as far as it matters to a search, by name."""
    items = list_folder(folder, search.hidden)
    if any(item.name in search.marker_files for item in items):
        return tuple(items)
    # A link to nothing may lead to a folder later, when a drive has come.
    return tuple(
        item for item in items if item.folder or item.link or item.name.lower().endswith(search.endings)
    )


def _parents(top: str | Path) -> set[Any]:
    """The folders that hold the top of a walk: behind a link to / would lie the whole disk."""
    ways = (Path(os.path.abspath(top)), Path(os.path.realpath(top)))
    places = {os.fspath(place) for way in ways for place in way.parents}
    return {_identity(place, found) for place in places if (found := stat_or_none(place)) is not None}


def _state(found: os.stat_result | None) -> tuple[int, ...] | None:
    """Of a folder: changes when something comes into it, or goes."""
    return found and (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)


def _identity(path: str, found: os.stat_result) -> Any:
    """What is the same for two ways to one folder; some network drives number none."""
    return (found.st_dev, found.st_ino) if found.st_ino else os.path.realpath(path)


def _is_model_folder(folder: str, search: Search) -> bool:
    names = (os.path.join(folder, name) for name in search.marker_files)
    return any(os.path.lexists(name) and not os.path.isdir(name) for name in names)
