"""What several files of the training's tests set up alike."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .training_runs import Bench, encoders_kept


@pytest.fixture(scope="module")
def bench(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A place for runs of the subject training."""
    with encoders_kept():
        yield Bench(tmp_path_factory.mktemp("bench"))
