"""Counts the bytes of tensors that are alive, operation by operation: peaks without a GPU, and without noise.

Tensors on the device NOWHERE are never computed, so that full-size models can be counted anywhere. What a
kernel allocates inside itself is not seen.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.weak import WeakIdKeyDictionary

NOWHERE = torch.device("meta")
"""Its tensors have shapes and no values. To the models it is a card like any other."""


class LiveBytes(TorchDispatchMode):
    """While active, `live` is the bytes of the held modules and of tensors made since, `peak` the most.

    device: only those on it count (None: all).
    """

    def __init__(self, *held: nn.Module, device: torch.device | None = None) -> None:
        super().__init__()
        self._device = device
        self.live = self.peak = 0
        self._known: Any = WeakIdKeyDictionary()
        for module in held:
            for tensor in (*module.parameters(), *module.buffers()):
                self._see(tensor)

    def restart(self) -> None:
        """Forget the peak so far."""
        self.peak = self.live

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch.ops.aten.is_nonzero.default and args[0].device == NOWHERE:
            return True  # "is all finite?"
        result = func(*args, **(kwargs or {}))
        for leaf in tree_flatten(result)[0]:
            if isinstance(leaf, Tensor):
                self._see(leaf)
        return result

    def _see(self, tensor: Tensor) -> None:
        if self._device is not None and tensor.device != self._device:
            return
        storage = tensor.untyped_storage()
        if storage not in self._known:
            size = storage.nbytes()
            self._known[storage] = size
            weakref.finalize(storage, self._gone, size)
            self.live += size
            self.peak = max(self.peak, self.live)

    def _gone(self, size: int) -> None:
        self.live -= size


def peak_bytes(run: Callable[[], object], *held: nn.Module) -> int:
    """Peak of `run`, the held modules' weights included."""
    with LiveBytes(*held) as counted, torch.inference_mode():
        run()
    return counted.peak
