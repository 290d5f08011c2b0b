"""The ways in which files are written, small and without torch, for processes that start quickly."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from echogen_core.utils.stopping import until_stopped
from echogen_core.utils.writing import Numbered, append_line, write_atomically, write_text
from miniature.data.files import save_array
from miniature.data.worker_pool import pool

BEFORE, AFTER = 1, 200
"""What the files hold: different lengths, so that a half one shows."""


def whole(folder: Path, value: int) -> Path:
    return write_atomically(folder / "whole.bin", lambda file: file.write(bytes([value]) * 100_000), 100_000)


def text(folder: Path, value: int) -> Path:
    return write_text(folder / "text.json", json.dumps([value] * 1000))


def numbered(folder: Path, value: int) -> Path:
    target = Numbered(folder, "subject", ".bin")
    return write_atomically(target, lambda file: file.write(bytes([value]) * 100_000))


def array(folder: Path, value: int) -> Path:
    save_array(folder / "array.npy", np.full(10_000, value, np.int64))
    return folder / "array.npy"


def png(folder: Path, value: int) -> Path:
    """A finished picture of an evaluation; with torch, in seconds."""
    from echogen_core.evaluation.records import write_png

    write_png(Image.new("L", (64, 64), value), folder / "picture.png")
    return folder / "picture.png"


def state(folder: Path, value: int) -> Path:
    """A training's; with torch, in seconds."""
    import torch

    from echogen_core.training.state_file import write_state

    write_state(folder / "state.pt", {"weights": torch.full((10_000,), value), "step": value})
    return folder / "state.pt"


WRITERS: dict[str, Callable[[Path, int], Path]] = {
    writer.__name__: writer for writer in (whole, text, numbered, array, png, state)
}


def value_in(path: Path) -> int:
    """The value that a whole file of a writer's holds; ValueError or AssertionError for a damaged one."""
    if path.suffix == ".pt":
        import torch

        found = set(torch.load(path, weights_only=True)["weights"].tolist())
    elif path.suffix == ".json":
        found = set(json.loads(path.read_text(encoding="utf-8")))
    elif path.suffix == ".npy":
        found = set(np.load(path).tolist())
    elif path.suffix == ".png":
        with Image.open(path) as picture:
            found = set(np.asarray(picture).ravel().tolist())
    else:
        found = set(path.read_bytes())
        assert path.stat().st_size == 100_000
    (value,) = found
    return int(value)


def write(arguments: Sequence[str]) -> int:
    """WRITER FOLDER VALUE"""
    name, folder, value = arguments
    return until_stopped("write", lambda: WRITERS[name](Path(folder), int(value)) and 0)


def write_many(arguments: Sequence[str]) -> int:
    """WRITER FOLDER VALUE COUNT LINKS: so many files in turn, on a disk with hard links or without."""
    name, folder, value, count, links = arguments
    if links == "no links":
        os.link = _no_links  # what such a disk answers
    for _ in range(int(count)):
        WRITERS[name](Path(folder), int(value))
    return 0


def write_in_pool(arguments: Sequence[str]) -> int:
    """FOLDER: two processes that come to the middle of a file each."""
    (folder,) = map(Path, arguments)

    def run() -> int:
        with pool(2) as processes:
            processes.map(_write_slowly, [folder / "a.bin", folder / "b.bin"], chunksize=1)
        return 0

    return until_stopped("write", run)


def _write_slowly(path: Path) -> None:
    """In short waits: a signal that comes just before a wait is heard after it."""
    write_atomically(path, lambda _: [time.sleep(0.01) for _ in range(60_000)])


def add_lines(arguments: Sequence[str]) -> int:
    """FILE VALUE COUNT"""
    path, value, count = arguments
    for number in range(int(count)):
        append_line(Path(path), json.dumps([int(value), number] * 200))
    return 0


def _no_links(*_: object, **__: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))
