"""Files that are whole or absent, whatever stops their writer, and numbered names that are given out once.

A file grows beside its place under a name of its own, `.<name>.<12 hex digits>.partial`, which its writer
holds locked (flock, which ends with the process), and moves to its place when it is complete. What a killed
writer has left is removed by the next one of the same name: a partial file that can be locked belongs to
nobody. Windows has no such locks, but removes no file that is open.
"""

from __future__ import annotations

import errno
import hashlib
import io
import itertools
import logging
import os
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

from .disk import check_room, explained
from .file_names import MAX_NAME_BYTES

logger = logging.getLogger(__name__)

_ON_WINDOWS = sys.platform == "win32"
_RENAME_SECONDS = 60.0
"""Windows: seconds for which a partial file is left alone. It is closed for a moment before it moves."""
_STALE_SECONDS = 86_400.0
"""Seconds after which partial files of earlier versions, which had no locks, count as nobody's."""
_EARLIER_ENDINGS = {
    ".pt": "tmp",
    ".npy": "partial",
    ".json": "part",
    ".html": "part",
    ".parquet": "part",
    ".png": r"\d{1,10}\.part",
}
_BLOCK = 1 << 16
"""Bytes that are read at once in search of a line's end."""


@dataclass(frozen=True)
class Numbered:
    """The first free of the names `folder/<name>_00001_<ending>`, 00002 and so on, from number `first`."""

    folder: Path
    name: str
    ending: str
    first: int = 1

    def __iter__(self) -> Iterator[Path]:
        for number in itertools.count(self.first):
            yield self.folder / f"{self.name}_{number:05}_{self.ending}"

    @property
    def place(self) -> Path:
        """What stands for all of the names where partial files are named."""
        return self.folder / f"{self.name}{self.ending}"


Target = str | Path | Numbered


def write_atomically(
    target: Target,
    fill: Callable[[BinaryIO], object],
    size: int | None = None,
    fsync: bool = True,
    new: bool = False,
) -> Path:
    """Writes a file that appears whole or not at all, in a folder that is made if need be; returns its path.

    A Numbered target gets a name that no other process has: however many write, no file is overwritten.

    Args:
        fill: writes the content into the open binary file that it is given.
        size: how many bytes that will be, to be refused at once where there is no room.
        fsync: flush to the disk before the file takes its place, so that not even a power cut leaves half of
            it there. False for what is quickly made again and checked when it is read.
        new: only where there is no such file yet.
    Raises:
        FileExistsError: `new`, and there is one.
        OSError: with a message that names the file, what is wrong and what to do. What was there before is
            as it was, nothing is left beside it.
    """
    place = target.place if isinstance(target, Numbered) else Path(target)
    with explained(place, size):
        place.parent.mkdir(parents=True, exist_ok=True)
        _check_name(target)
        remove_abandoned(target)
        if size is not None:
            check_room(place, size)
        with _own_partial(place) as (partial, file):
            fill(file)
            file.flush()
            if fsync:
                os.fsync(file.fileno())
            if _ON_WINDOWS:
                file.close()  # or it could not be moved; elsewhere the lock is kept until it has
            path = _move(partial, target, new)
        if fsync:
            _sync_folder(path.parent)
    return path


def write_text(target: Target, text: str, fsync: bool = True, new: bool = False) -> Path:
    """`write_atomically` of a text in UTF-8, with line breaks as they are."""
    return write_atomically(target, lambda file: file.write(text.encode()), None, fsync, new)


def write_picture(
    target: Target, picture: Any, kind: str, fsync: bool = True, new: bool = False, **options: Any
) -> Path:
    """`write_atomically` of a Pillow picture. kind: Pillow's name of the format; options: of its `save`."""
    # Not straight into the file: some of Pillow's encoders give numbers of their own for what goes wrong.
    content = io.BytesIO()
    picture.save(content, format=kind, **options)
    return write_atomically(target, lambda file: file.write(content.getbuffer()), content.tell(), fsync, new)


def append_line(path: Path, line: str, fsync: bool = False) -> None:
    """Adds a line to a text file, whole or not at all.

    One that a killed process left unfinished at the file's end is taken off first.

    fsync: as in `write_atomically`. Processes that add at the same time take turns.
    Raises OSError as that does.
    """
    # without a buffer, which would write at its closing what there was no room for before
    with explained(path), path.open("ab+", buffering=0) as file:
        _lock(file, wait=True)
        end = _end_of_lines(file)
        try:
            file.truncate(end)
            _write_all(file, line.encode() + b"\n")
            if fsync:
                os.fsync(file.fileno())
        except BaseException:
            file.truncate(end)
            raise


def remove_abandoned(target: Target) -> None:
    """Removes the partial files of a target, and taken but empty numbers, that no living process owns."""
    place = target.place if isinstance(target, Numbered) else Path(target)
    partial = re.compile(rf"\.{re.escape(_stem(place.name))}\.[0-9a-f]{{12}}\.partial")
    earlier = re.compile(_earlier(target))
    number = re.compile(_number(target))
    for path in _files(place.parent, (partial, earlier, number)):
        if earlier.fullmatch(path.name):
            gone = _age(path) > _STALE_SECONDS and _removed(path)
        elif partial.fullmatch(path.name) or not _size(path):
            gone = _removed_unless_owned(path)
        else:
            continue
        if gone:
            logger.info("Removed %s, which a killed process has left.", path)


def _end_of_lines(file: FileIO) -> int:
    """Where the last finished line of a file ends."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - _BLOCK)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _write_all(file: FileIO, content: bytes) -> None:
    """Without a buffer a full disk takes the first part, and refuses the next."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def _files(folder: Path, named: Iterable[re.Pattern[str]]) -> list[Path]:
    """A folder's own files with such names; none where it may be written to, but not be listed."""
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if any(name.fullmatch(entry.name) for name in named)]
            return [Path(entry.path) for entry in found if entry.is_file(follow_symlinks=False)]
    except PermissionError:
        return []


def _check_name(target: Target) -> None:
    """OSError where no file can be of this name, before anything is written."""
    place = next(iter(target)) if isinstance(target, Numbered) else Path(target)
    if place.is_dir() and not isinstance(target, Numbered):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(place))
    with suppress(FileNotFoundError):
        place.lstat()


@contextmanager
def _own_partial(place: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A new partial file, open and locked; gone at the end, wherever that comes."""
    while True:
        partial = place.with_name(f".{_stem(place.name)}.{uuid.uuid4().hex[:12]}.partial")
        try:
            with partial.open("x+b") as file:
                # Before it was locked another writer may have found it without an owner, and removed it.
                if _lock(file) is not False and _is_at(file, partial):
                    yield partial, file
                    return
        finally:
            partial.unlink(missing_ok=True)


def _move(partial: Path, target: Target, new: bool) -> Path:
    if isinstance(target, Numbered):
        return next(path for path in target if _take(partial, path))
    path = Path(target)
    if not new:
        os.replace(partial, path)
    elif not _take(partial, path):
        raise FileExistsError(f"{path} is there already.")
    return path


def _take(partial: Path, path: Path) -> bool:
    """Moves a complete file to a place that is free; False when it is not. Nothing is ever overwritten."""
    try:
        if _ON_WINDOWS:
            os.rename(partial, path)  # refused there where a file is in the way
        else:
            os.link(partial, path)
        return True
    except FileExistsError:
        # a network's answer may be lost, and the question repeated
        return partial.exists() and path.exists() and partial.samefile(path)
    except OSError:
        if _ON_WINDOWS:
            raise
        return _take_without_links(partial, path)


def _take_without_links(partial: Path, path: Path) -> bool:
    """`_take` on a disk with one name per file (exFAT, some networks'): taken empty, and filled at once."""
    try:
        with path.open("x+b") as taken:
            if _lock(taken) is False or not _is_at(taken, path):
                return False
            try:
                os.replace(partial, path)
            except OSError:
                path.unlink(missing_ok=True)
                raise
    except FileExistsError:
        return False
    return True


def _lock(file: BinaryIO | FileIO, wait: bool = False) -> bool | None:
    """Whether this process owns an open file now; None where the disk or the system has no such locks."""
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        return False if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES) else None
    return True


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.lstat(path))
    except FileNotFoundError:
        return False


def _removed_unless_owned(path: Path) -> bool:
    if _ON_WINDOWS:
        return _age(path) > _RENAME_SECONDS and _removed(path)
    try:
        with path.open("r+b") as file:
            return _lock(file) is True and _is_at(file, path) and _removed(path)
    except OSError:  # gone by now, or another user's
        return False


def _removed(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:  # gone by now, another user's, or (Windows) open
        return False
    return True


def _age(path: Path) -> float:
    """Seconds since a file's last change; 0 for one that is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _size(path: Path) -> int:
    """Bytes of a file; 1 for one that is gone, which is nobody's to remove."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 1


def _stem(name: str) -> str:
    """What a partial file's name shows of the file's: all that there is room for."""
    encoded = os.fsencode(name)
    return name if len(encoded) <= MAX_NAME_BYTES else hashlib.sha1(encoded).hexdigest()


def _number(target: Target) -> str:
    """The names that a target may take; none of a single file, which is never empty on the way."""
    if not isinstance(target, Numbered):
        return "(?!)"
    return rf"{re.escape(target.name)}_\d+_{re.escape(target.ending)}"


def _earlier(target: Target) -> str:
    """How earlier versions named their partial files, which had no locks."""
    if isinstance(target, Numbered):
        return rf"\.{re.escape(target.name)}_\d+_{re.escape(target.ending)}\.\d{{1,10}}\.partial"
    path = Path(target)
    same = rf"\.{re.escape(path.name)}\.\d{{1,10}}\.partial"
    if ending := _EARLIER_ENDINGS.get(path.suffix):
        return rf"{same}|{re.escape(path.stem)}\.{ending}"
    return same


def _sync_folder(folder: Path) -> None:
    """Brings a folder's new names to the disk, where the system can."""
    if _ON_WINDOWS:
        return
    descriptor: Any = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)
