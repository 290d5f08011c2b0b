"""What several files of tests set up alike."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from .training.training_runs import Bench


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """More would only wait for each other at small sizes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def bench(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A place for runs of the subject training."""
    return Bench(tmp_path_factory.mktemp("bench"))
