"""What several files of the training's tests set up alike."""

from __future__ import annotations

import pytest

from .training_runs import Bench


@pytest.fixture(scope="module")
def bench(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A place for runs of the subject training."""
    return Bench(tmp_path_factory.mktemp("bench"))
