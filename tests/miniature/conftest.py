"""Prepared data for all stages."""

from __future__ import annotations

from pathlib import Path

import pytest

from .prepared import write_prepared


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny prepared folder: two subjects a split, two scenes."""
    return write_prepared(tmp_path_factory.mktemp("data"))
