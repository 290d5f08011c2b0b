"""Prepared files, either whole or absent, and the folders of runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..locks import alone
from ..writing import write_whole

logger = logging.getLogger(__name__)


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Writes a whole file or none: neither an interrupted run nor a reader sees half of one."""
    write_whole(path, lambda stream: np.save(stream, array), array.nbytes)


def load_array(path: Path) -> NDArray[Any]:
    """A prepared array, read from the disk where it is used. Raises FileNotFoundError as `prepared`."""
    array: NDArray[Any] = np.load(prepared(path), mmap_mode="r")
    return array


def prepared(path: Path) -> Path:
    """The path of a file that `prepare` writes. Raises FileNotFoundError, saying so, where there is none."""
    if not path.is_file():
        raise FileNotFoundError(
            f"Training data are missing: {path}. Make them with `python -m echogen_core.training prepare`."
        )
    return path


@contextmanager
def only_run(out: Path) -> Iterator[None]:
    """No other command works in a run's folder, made here, meanwhile: each would write over the other's.

    Waits a moment first: the processes that read pictures outlive a killed run by seconds.
    Raises BlockingIOError when there is another one, OSError when the folder cannot be written to.
    """
    asked = 0

    def waiting() -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise BlockingIOError(
                f"Another command is at work in {out}: wait until it ends, or give another --out."
            )
        logger.info("%s is in use: waiting for the run before this one to end.", out)

    out.mkdir(parents=True, exist_ok=True)
    with alone(out / ".lock", waiting):
        yield
