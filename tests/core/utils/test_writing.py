"""Files in spite of kills, of a second process and of full disks: whole or absent, and none lost."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import BinaryIO

import pytest

from echogen_core.utils.disk import format_size
from echogen_core.utils.writing import Numbered, append_line, write_atomically, write_text
from tests.core import warm_process
from tests.core.stopped import POSIX, ROOT, Process

from . import small_writers
from .small_writers import AFTER, BEFORE, WRITERS, value_in

WRITE = "tests.core.utils.small_writers:write"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def partials(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.endswith(".partial")]


def later(folder: Path) -> None:
    """Windows, which has no locks, leaves partial files alone for a minute: let it have passed."""
    if not POSIX:
        for path in partials(folder):
            os.utime(path, (time.time() - 3600,) * 2)


def start(program: str, *arguments: object) -> BaseProcess:
    return warm_process.start(f"tests.core.utils.small_writers:{program}", [*map(str, arguments)], {})


def ended(processes: list[BaseProcess]) -> None:
    assert [warm_process.status(process, 300) for process in processes] == [0] * len(processes)


# --- killed


@pytest.mark.parametrize("name", WRITERS)
def test_a_killed_writer_leaves_the_earlier_file_and_the_next_one_cleans_up(
    name: str, tmp_path: Path
) -> None:
    """Stopped by SIGKILL when all is written, and just before it counts."""
    writer = WRITERS[name]
    earlier = writer(tmp_path, BEFORE)
    with Process("os.fsync", WRITE, name, tmp_path, AFTER) as process:
        process.arrive().running.kill()
        process.running.join(300)
    assert value_in(earlier) == BEFORE and len(partials(tmp_path)) == 1
    later(tmp_path)
    latest = writer(tmp_path, AFTER)
    assert value_in(latest) == AFTER
    assert names(tmp_path) == sorted({earlier.name, latest.name}), "what was left is gone"


@pytest.mark.parametrize("name", WRITERS)
def test_a_terminated_writer_cleans_up_itself(name: str, tmp_path: Path) -> None:
    writer = WRITERS[name]
    earlier = writer(tmp_path, BEFORE)
    with Process("os.fsync", WRITE, name, tmp_path, AFTER) as process:
        status, said = process.arrive().end(signal.SIGTERM)
    if POSIX:
        assert (status, said) == (143, "write: stopped (SIGTERM).\n") and not partials(tmp_path)
    later(tmp_path)
    assert value_in(earlier) == BEFORE
    assert value_in(writer(tmp_path, AFTER)) == AFTER and not partials(tmp_path)


def test_a_partial_file_whose_writer_lives_is_left_alone(tmp_path: Path) -> None:
    with Process("os.fsync", WRITE, "whole", tmp_path, AFTER) as process:
        process.arrive()
        (partial,) = partials(tmp_path)
        small_writers.whole(tmp_path, BEFORE)
        assert partials(tmp_path) == [partial] and value_in(tmp_path / "whole.bin") == BEFORE
        assert process.go_on() == (0, "")
    assert names(tmp_path) == ["whole.bin"] and value_in(tmp_path / "whole.bin") == AFTER


def test_a_number_that_a_killed_writer_took_does_not_stay(tmp_path: Path) -> None:
    """On a disk without hard links the name is taken first, and filled in the next moment."""
    taken = tmp_path / "subject_00001_.bin"
    taken.touch()
    if not POSIX:
        os.utime(taken, (time.time() - 3600,) * 2)
    assert small_writers.numbered(tmp_path, AFTER) == taken and value_in(taken) == AFTER


@pytest.mark.parametrize("before", [b"", b'{"step": 1}\n'])
@pytest.mark.parametrize("length", [0, 1, 4, 65_535, 65_536, 65_537, 300_000])
def test_an_unfinished_line_is_taken_off(length: int, before: bytes, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(before + b"x" * length)
    append_line(log, '{"step": 2}')
    assert log.read_bytes() == before + b'{"step": 2}\n'


def test_what_earlier_versions_left_goes_after_a_day_and_nothing_else(tmp_path: Path) -> None:
    left = [".state.pt.123.partial", "state.tmp", ".a_00007_.bin.99.partial"]
    others = [".state.pt.0123456789abcdef.partial", "state.part", "other.tmp", ".other.pt.123.partial"]
    for name in (*left, *others):
        (tmp_path / name).write_bytes(b"x")
    write_text(tmp_path / "state.pt", "")
    assert set(left) <= set(names(tmp_path)), "it may be at work still"
    for name in (*left, *others):
        os.utime(tmp_path / name, (time.time() - 90_000,) * 2)
    write_text(tmp_path / "state.pt", "")
    write_atomically(Numbered(tmp_path, "a", ".bin"), lambda file: file.write(b"x"))
    assert names(tmp_path) == sorted([*others, "state.pt", "a_00001_.bin"])


# --- two at once


@pytest.mark.parametrize("links", ["links", "no links"])
def test_processes_that_number_at_the_same_time_lose_nothing(links: str, tmp_path: Path) -> None:
    ended([start("write_many", "numbered", tmp_path, value, 60, links) for value in (1, 2, 3)])
    assert names(tmp_path) == [f"subject_{number:05}_.bin" for number in range(1, 181)]
    values = [value_in(path) for path in tmp_path.iterdir()]
    assert [values.count(value) for value in (1, 2, 3)] == [60, 60, 60]


@pytest.mark.parametrize("name", ["whole", "array"])
def test_processes_that_write_one_file_do_not_disturb_each_other(name: str, tmp_path: Path) -> None:
    """Each cleans up before it writes: nobody may take another's file away between making and locking it."""
    ended([start("write_many", name, tmp_path, value, 60, "links") for value in (1, 2, 3)])
    (path,) = tmp_path.iterdir()
    assert value_in(path) in (1, 2, 3)


def test_lines_of_two_processes_stay_whole(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    ended([start("add_lines", log, value, 200) for value in (1, 2)])
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for value in (1, 2):
        assert [line for line in lines if line[0] == value] == [[value, n] * 200 for n in range(200)]


def test_of_two_that_want_a_new_file_one_comes_first(tmp_path: Path) -> None:
    path = write_text(tmp_path / "settings.json", "mine", new=True)
    with pytest.raises(FileExistsError, match=r"settings\.json is there already"):
        write_text(path, "yours", new=True)
    assert path.read_text() == "mine" and names(tmp_path) == ["settings.json"]


# --- a disk that does not take it


def failing(number: int) -> object:
    def fill(file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError(number, os.strerror(number))

    return fill


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, r"No room for .*x\.bin: .* are free in .*Make room, or choose another folder"),
        (errno.EROFS, r"x\.bin cannot be written .*: the disk can only be read"),
        (errno.EACCES, r"x\.bin cannot be written .*: it is not allowed, or another program"),
        (errno.EPERM, r"x\.bin cannot be written .*: it is not allowed, or another program"),
        (errno.EFBIG, r"x\.bin cannot be written .*: the disk, or a limit set for this process"),
        (errno.EIO, r"x\.bin cannot be written .*: look at the disk"),
        (getattr(errno, "EDQUOT", errno.ENOSPC), r"No room for .*x\.bin:"),
    ],
)
def test_the_message_names_the_file_and_what_to_do(number: int, words: str, tmp_path: Path) -> None:
    path = write_text(tmp_path / "x.bin", "earlier")
    with pytest.raises(OSError, match=words) as caught:
        write_atomically(path, failing(number))  # type: ignore[arg-type]
    assert caught.value.errno == number and "a file that was there before is as it was" in str(caught.value)
    assert path.read_text() == "earlier" and names(tmp_path) == ["x.bin"]


def test_places_where_no_file_can_be(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for place, words in {
        "folder": "a folder of this name is in the way",
        "file/x.bin": "a file is where a folder should be|look at the disk",
        "n" * 300: "the name is longer than this disk allows|look at the disk",
    }.items():
        with pytest.raises(OSError, match=rf"{place} cannot be written .*({words})"):
            write_text(tmp_path / place, "x")
    assert names(tmp_path) == ["file", "folder"]


def test_the_longest_name_that_a_disk_takes_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255 if POSIX else "n" * 100)
    assert write_text(path, "x").read_text() == "x" and names(tmp_path) == [path.name]


def test_a_file_that_grows_beyond_a_limit(tmp_path: Path) -> None:
    """A real refusal of the system's, in the middle of writing."""
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000));"
        "from tests.core.utils import small_writers as s; s.write(sys.argv[1:])"
    )
    if not POSIX:  # no such limits there
        return
    small_writers.whole(tmp_path, BEFORE)
    command = [sys.executable, "-c", code, "whole", tmp_path, str(AFTER)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert "OSError:" in found.stderr and "allows no file of this size" in found.stderr
    assert names(tmp_path) == ["whole.bin"] and value_in(tmp_path / "whole.bin") == BEFORE


@pytest.mark.parametrize("tail", ["", "half a line"])
def test_a_line_that_finds_no_room_is_not_there(tail: str, tmp_path: Path) -> None:
    """A real refusal in its middle; the line after it finds room."""
    if not POSIX:  # no such limits there
        return
    import resource

    log = tmp_path / "log.jsonl"
    log.write_text("first\n" + tail)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(OSError, match=r"log\.jsonl cannot be written .*Nothing was written; a file that"):
            append_line(log, "y" * 400_000)
        assert log.read_text() == "first\n"
        append_line(log, "second")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    append_line(log, "third", fsync=True)
    assert log.read_text() == "first\nsecond\nthird\n"


def test_what_goes_wrong_with_another_file_is_said_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="source"):
        write_atomically(tmp_path / "x.bin", lambda file: file.write(Path("/nowhere/source").read_bytes()))
    assert not names(tmp_path)


def test_sizes_in_words() -> None:
    sizes = (0, 999, 12_000, 346_345_912, 9_690_000_000, 1_125_900_000_000_000)
    words = ["0 bytes", "999 bytes", "12.0 kB", "346.3 MB", "9.69 GB", "1125.90 TB"]
    assert [format_size(size) for size in sizes] == words
