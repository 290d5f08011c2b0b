"""Counts the bytes of tensors that are alive, operation by operation: peaks without a GPU, and without noise.

Under FakeTensorMode nothing is computed, so that full-size models can be counted anywhere. What a kernel
allocates inside itself is not seen.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.weak import WeakIdKeyDictionary

from echogen_core import dtypes

_NO_VALUES: dict[Any, Callable[[Tensor], Any]] = {
    torch.ops.aten.is_nonzero.default: lambda _: True,  # "is all finite?"
    torch.ops.aten.exponential_.default: lambda tensor: tensor,
}
"""What FakeTensorMode cannot do: it knows no values, and no generators."""


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
        if args and isinstance(args[0], FakeTensor) and func in _NO_VALUES:
            return _NO_VALUES[func](args[0])
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


@contextmanager
def without_computing() -> Iterator[None]:
    """For counting: tensors have no values, and half types no copies in float32, as on a card."""
    with FakeTensorMode(allow_non_fake_inputs=True), patch.object(dtypes, "LOOPED", frozenset()):
        yield


def peak_bytes(run: Callable[[], object], *held: nn.Module) -> int:
    """Peak of `run`, the held modules' weights included."""
    with LiveBytes(*held) as counted, torch.inference_mode():
        run()
    return counted.peak
