"""Prepared files, either whole or absent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echogen_core.writing import write_whole


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
            f"Training data are missing: {path}. Make them with `python -m miniature prepare`."
        )
    return path
