"""Arrays of the prepared data on disk: complete or absent, never half written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echogen_core.utils.writing import write_atomically


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Writes an .npy file atomically. Raises as `echogen_core.utils.writing.write_atomically`."""
    write_atomically(path, lambda stream: np.save(stream, array), array.nbytes)


def load_array(path: Path) -> NDArray[Any]:
    """A prepared array, memory-mapped. Raises FileNotFoundError as `prepared`."""
    array: NDArray[Any] = np.load(prepared(path), mmap_mode="r")
    return array


def prepared(path: Path) -> Path:
    """The path, checked. Raises FileNotFoundError, naming the command that makes it, when it is not there."""
    if not path.is_file():
        raise FileNotFoundError(
            f"No training data at {path}. Prepare them first: `python -m miniature prepare --out DATA`."
        )
    return path
