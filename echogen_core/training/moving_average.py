"""The exponential moving average (EMA) of the trained weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@torch.no_grad()
def update_average(
    average: Mapping[str, Tensor], named: Iterable[tuple[str, nn.Parameter]], step: int, decay: float
) -> None:
    """Moves `average` towards the parameters after step `step`; early steps use a smaller decay."""
    rate = min(decay, (1 + step) / (10 + step))
    for name, parameter in named:
        average[name].lerp_(parameter, 1 - rate)


@contextmanager
def replaced(named: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> Iterator[None]:
    """Puts `values` into the parameters for the block, then restores them."""
    own = {name: parameter.detach().clone() for name, parameter in named.items()}
    _copy(named, values)
    try:
        yield
    finally:
        _copy(named, own)


@torch.no_grad()
def _copy(named: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> None:
    for name, parameter in named.items():
        parameter.copy_(values[name])
