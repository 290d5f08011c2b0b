"""What a trainer keeps between its steps: the moving average of the weights, and its state on the disk."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from ..writing import write_whole


@torch.no_grad()
def update_average(
    average: Mapping[str, Tensor], named: Iterable[tuple[str, nn.Parameter]], step: int, decay: float
) -> None:
    """Moves `average` towards the parameters after `step` steps, the first steps faster than by `decay`."""
    rate = min(decay, (1 + step) / (10 + step))
    for name, parameter in named:
        average[name].lerp_(parameter, 1 - rate)


@contextmanager
def replaced(named: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> Iterator[None]:
    """`values` in the place of the parameters, which come back afterwards."""
    own = {name: parameter.detach().clone() for name, parameter in named.items()}
    _copy(named, values)
    try:
        yield
    finally:
        _copy(named, own)


def fitting(module: nn.Module, state: dict[str, Tensor], fresh: str | None = None) -> list[str]:
    """Loads what has a module's names and shapes, without names that hold `fresh`; returns what is left."""
    own = module.state_dict()
    kept = {
        name: tensor
        for name, tensor in state.items()
        if name in own and own[name].shape == tensor.shape and not (fresh and fresh in name)
    }
    module.load_state_dict({**own, **kept})
    return sorted(own.keys() - kept.keys())


@contextmanager
def options_kept(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """A state loaded within brings what was gathered; rates, decay and the like stay as this run set them."""
    chosen = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    yield
    for group, own in zip(optimizer.param_groups, chosen, strict=True):
        group.update(own)


def go_on(optimizers: Iterable[torch.optim.Optimizer], saved: Iterable[Mapping[str, Any]]) -> None:
    """Loads optimisers' states, but for their options. Raises ValueError when `saved` is of other ones."""
    for optimizer, state in zip(optimizers, saved, strict=True):
        with options_kept(optimizer):
            optimizer.load_state_dict(dict(state))


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """torch.save as a file that appears whole or not at all: a run stopped meanwhile keeps the earlier one.

    Raises OSError when the disk is full or cannot be written: the earlier file stays, nothing is left beside.
    """

    def fill(file: BinaryIO) -> None:
        outside = sys.exc_info()[1]
        try:
            torch.save(dict(state), file)
        except RuntimeError as error:
            # torch's writer puts a complaint of its own before what stopped it: a full disk, or Ctrl+C
            stopped_by = error.__context__
            raise error if stopped_by in (None, outside) else stopped_by from None

    write_whole(path, fill, _stored_bytes(state))


def _stored_bytes(state: Any) -> int:
    """What torch.save writes of tensors in nested mappings and lists: each storage once, whole."""
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


@torch.no_grad()
def _copy(named: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> None:
    for name, parameter in named.items():
        parameter.copy_(values[name])
