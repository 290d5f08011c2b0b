"""What tests in several of the core's rooms set up alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def short_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like nano's with few blocks, to be read alone."""
    from short_nano import write_short_nano  # torch: not for the tests that do without

    return write_short_nano(tmp_path_factory.mktemp("short") / "nano")


@pytest.fixture(scope="module")
def small_looks() -> Iterator[None]:
    """For tests that depend on no cut: the built-in one looks at small squares."""
    import kept_looks  # torch

    with kept_looks.small_looks():
        yield
