"""Formats sizes, and explains why a file can't be written."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_UNITS = ((10**12, "TB", 2), (10**9, "GB", 2), (10**6, "MB", 1), (10**3, "kB", 1))

DISK_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
"""Errors of a full disk."""

_UNCHANGED = "Nothing was written; a file that was there before is as it was."
_MEANINGS = {
    errno.EROFS: "the disk can only be read. Choose another folder.",
    errno.EACCES: "it is not allowed, or another program has the file open. Close that program, look at the "
    "rights of the folder and of the file, or choose another folder.",
    errno.ENAMETOOLONG: "the name is longer than this disk allows. Choose a shorter one.",
    errno.EISDIR: "a folder of this name is in the way. Choose another name, or move the folder away.",
    errno.ENOTDIR: "a file is where a folder should be. Choose another folder, or move that file away.",
    errno.EFBIG: "the disk, or a limit set for this process (ulimit -f), allows no file of this size. Choose "
    "another disk, or lift the limit.",
}
_MEANINGS[errno.EPERM] = _MEANINGS[errno.EACCES]
_MEANINGS[errno.EEXIST] = _MEANINGS[errno.ENOTDIR]


def format_size(size: int) -> str:
    """Bytes as '9.69 GB', '346.3 MB', '12.0 kB' or '512 bytes'."""
    for unit, name, digits in _UNITS:
        if size >= unit:
            return f"{size / unit:.{digits}f} {name}"
    return f"{size} bytes"


@contextmanager
def explained(path: Path, size: int | None = None) -> Iterator[None]:
    """What goes wrong inside while `path` is written, raised as an OSError that says so in full.

    The message names the file, what is wrong and what to do; class and errno stay the same. Errors about
    other files, and those that have a message of their own, pass as they are.

    size: bytes of the file, where that is known.
    """
    try:
        yield
    except OSError as error:
        if error.strerror is None or not _is_about(error, path):
            raise
        raise failure(error, path, size) from error


def check_room(path: Path, size: int) -> None:
    """Raises OSError, as `failure`, when a file of `size` bytes has no room in its folder."""
    if shutil.disk_usage(path.parent).free < size:
        raise failure(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), path, size)


def failure(error: OSError, path: Path, size: int | None = None, outcome: str = _UNCHANGED) -> OSError:
    """An error of the operating system with a message for people; see `explained`.

    outcome: what became of the file, and of an earlier one.
    """
    reason = error.strerror or str(error)
    if error.errno in DISK_FULL:
        takes = "" if size is None else f" it takes {format_size(size)}, and"
        text = (
            f"No room for {path}:{takes} {_free(path.parent)} in {path.parent} ({reason}). Make room, or "
            f"choose another folder. {outcome}"
        )
    else:
        meaning = _MEANINGS.get(
            error.errno or 0, "look at the disk and at the name, or choose another folder."
        )
        text = f"{path} cannot be written ({reason}): {meaning} {outcome}"
    made = type(error)(text)
    made.errno = error.errno
    return made


def _is_about(error: OSError, path: Path) -> bool:
    """Whether an error of this kind can come of writing `path`; one without a name does."""
    if not isinstance(error.filename, str | bytes):
        return error.filename is None
    named = Path(os.fsdecode(error.filename))
    beside = named.parent == path.parent and (
        named.suffix == ".partial" or named.name.startswith(path.stem)  # with a number, say
    )
    return beside or named in path.parents


def _free(folder: Path) -> str:
    try:
        return f"{format_size(shutil.disk_usage(folder).free)} are free"
    except OSError:
        return "nothing is free"
