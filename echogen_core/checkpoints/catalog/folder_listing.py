"""What is in a folder, and stamps that change when a file does. Nothing is opened.

Names that UTF-8 cannot encode are left out, with everything below them: a browser could be sent one, but any
log, terminal or text file that writes one fails.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, TypeAlias

from ...utils.printable import printable

logger = logging.getLogger(__name__)

MAX_PATH_LENGTH = 4096
"""Letters; what is longer is no path on most systems."""
_JUNCTION = 0xA0000003  # Windows' links to folders that do not call themselves links


class FileStamp(NamedTuple):
    """What changes when a file does: its bytes; nanoseconds of its last writing, and of any last change."""

    size: int
    written: int
    changed: int


Stamp: TypeAlias = FileStamp | tuple[tuple[str, FileStamp], ...]
"""A file's, or those of the files in a folder, by their names."""


class Item(NamedTuple):
    """What a folder's listing says of one thing in it. folder: one itself, not by a link. entry: on Windows,
    whose listings tell sizes and times as well.
    """

    name: str
    path: str
    link: bool
    folder: bool
    entry: os.DirEntry[str] | None

    def stat(self) -> os.stat_result | None:
        """What it is or leads to; None: nothing."""
        try:
            return os.stat(self.path) if self.entry is None else self.entry.stat()
        except OSError:
            return None


def stamp_of(path: str | Path) -> Stamp | None:
    """The stamp of a file, or of a folder; None where there is neither (nothing, a pipe, a device)."""
    found = stat_or_none(path)
    if found is None:
        return None
    if stat.S_ISDIR(found.st_mode):
        return folder_stamp((item.name, item.stat()) for item in list_folder(path, hidden=False))
    return file_stamp(found)


def is_text(name: str) -> bool:
    """Whether UTF-8 has a name."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(path: str | Path) -> str:
    """A path for a message."""
    return printable(path, MAX_PATH_LENGTH)


def list_folder(folder: str | Path, hidden: bool) -> list[Item]:
    """What is in a folder, less what is left out, by name; nothing where it cannot be read."""
    try:
        with os.scandir(folder) as found:
            items = [_item(entry) for entry in found if _is_wanted(entry.name, folder, hidden)]
    except (OSError, ValueError):
        return []
    return sorted(items, key=lambda item: item.name)


def _item(entry: os.DirEntry[str]) -> Item:
    folder = entry.is_dir(follow_symlinks=False)
    if os.name != "nt":
        return Item(entry.name, entry.path, entry.is_symlink(), folder, None)
    tag = getattr(entry.stat(follow_symlinks=False), "st_reparse_tag", 0)
    return Item(entry.name, entry.path, entry.is_symlink() or tag == _JUNCTION, folder, entry)


def _is_wanted(name: str, folder: str | Path, hidden: bool) -> bool:
    if not is_text(name):
        warn_once(f"{printable(name)} in {shown(folder)} is ignored: its name is not valid UTF-8. Rename it.")
        return False
    return hidden or not name.startswith(".")


def stat_or_none(path: str | Path) -> os.stat_result | None:
    """os.stat, links followed; None where there is nothing to read, or no such path can be."""
    try:
        return os.stat(path)
    except (OSError, ValueError):
        return None


def file_stamp(found: os.stat_result | None) -> FileStamp | None:
    """The stamp of a regular file from its stat; None for anything else."""
    if found is None or not stat.S_ISREG(found.st_mode):
        return None
    return FileStamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def folder_stamp(files: Iterable[tuple[str, os.stat_result | None]]) -> tuple[tuple[str, FileStamp], ...]:
    """The stamp of a folder from the names and stats of what is in it."""
    stamps = [(name, file_stamp(found)) for name, found in files]
    return tuple((name, stamp) for name, stamp in stamps if stamp is not None)


_warned: set[str] = set()


def warn_once(text: str) -> None:
    """Log a warning, unless this process has logged it before."""
    if text not in _warned:
        _warned.add(text)
        logger.warning("%s", text)
