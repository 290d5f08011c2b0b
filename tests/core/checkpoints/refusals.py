"""How a file is refused: in words, quickly and in little memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

LONGEST = 30.0
"""Seconds of a refusal, the first import of a library on a busy machine included."""


def refused(call: Callable[[Path], Any], path: Path, words: str | None = None) -> str:
    """The message of a refusal, which comes quickly and in little memory, and names the file."""
    before, start = psutil.Process().memory_info().rss, time.perf_counter()
    with pytest.raises((ValueError, FileNotFoundError), match=words) as caught:
        call(path)
    assert type(caught.value) in (ValueError, FileNotFoundError), type(caught.value)
    assert str(path) in str(caught.value) and len(str(caught.value)) < 3000
    assert str(caught.value).replace("\n", " ").isprintable()
    assert time.perf_counter() - start < LONGEST
    assert psutil.Process().memory_info().rss - before < 300e6
    return str(caught.value)
