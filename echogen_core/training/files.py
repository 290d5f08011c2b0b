"""Arrays on disk that are either whole or absent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Writes beside the target and renames: neither an interrupted run nor a reader sees half a file."""
    temporary = path.with_suffix(".partial")
    with temporary.open("wb") as stream:
        np.save(stream, array)
    temporary.replace(path)
