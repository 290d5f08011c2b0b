"""The training state on disk: written whole or not at all, and read back under this run's own settings."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from ..utils.writing import write_atomically


@contextmanager
def options_kept(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Loading a state inside the block restores the moments; rates, decay and the like stay this run's."""
    chosen = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    yield
    for group, own in zip(optimizer.param_groups, chosen, strict=True):
        group.update(own)


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """torch.save into a file that appears whole or not at all.

    Raises OSError when the disk is full or can't be written: the earlier file stays.
    """

    def fill(file: BinaryIO) -> None:
        outside = sys.exc_info()[1]
        try:
            torch.save(dict(state), file)
        except RuntimeError as error:
            # torch's writer raises its own error over the one that stopped it: a full disk, or Ctrl+C
            stopped_by = error.__context__
            raise error if stopped_by in (None, outside) else stopped_by from None

    write_atomically(path, fill, _stored_bytes(state))


def _stored_bytes(state: Any) -> int:
    """Bytes that torch.save writes for the tensors in nested mappings and lists: each storage once."""
    sizes: dict[int, int] = {}
    waiting = [state]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor):
            storage = value.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
        elif isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
    return sum(sizes.values())
