"""A card played by a tensor class, for tests without one.

Values are computed as on the CPU, but whatever mixes its tensors with the CPU's, or reads them without
bringing them there, fails as it does on a real one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

CARD = torch.device("meta")
"""The only device besides the CPU that asks for no driver."""


class OnCard(torch.Tensor):
    """A tensor that says it lies on the card; `held` has its values."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> OnCard:
        made = torch.Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), dtype=held.dtype, device=CARD
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(function, args, kwargs or {})


class Card(TorchDispatchMode):
    """While it is there, tensors can be made on the card. What the processor computes is as ever."""

    ignores_processor = True

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(function, args, kwargs or {})


def computed(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """What an operation gives, on the device where it belongs; RuntimeError for tensors of both."""
    flat = tree_flatten((args, kwargs))[0]
    there = [each for each in flat if isinstance(each, OnCard)]
    here = [each for each in flat if isinstance(each, torch.Tensor) and not isinstance(each, OnCard)]
    if there and any(each.ndim for each in here) and function is not torch.ops.aten.copy_.default:
        raise RuntimeError(f"Expected all tensors to be on the same device, but {function} found two.")
    named = [each for each in flat if isinstance(each, torch.device)]
    on_card = named[0] == CARD if named else bool(there)
    if function is torch.ops.aten.copy_.default:
        on_card = isinstance(args[0], OnCard)
    args, kwargs = tree_map_only(torch.device, lambda _: torch.device("cpu"), (args, kwargs))
    args, kwargs = tree_map_only(OnCard, lambda each: each.held, (args, kwargs))
    result = function(*args, **kwargs)
    return tree_map_only(torch.Tensor, OnCard, result) if on_card else result
