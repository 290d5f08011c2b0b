"""The decoder's convolutions: by Winograd's algorithm on a thread or two, where that is faster.

Bits don't pass through the decoder: only a picture's last digits differ. The encoder keeps the usual sums.
"""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .winograd import convolve

_LEAST_WORK = 4 * 10**9  # multiply-adds for one picture; with fewer, the transforms cost what they save
_LEAST_CHANNELS = 64  # the same
_MOST_THREADS = 2  # they wait for each other after every small step, and more were never measured


@cache
def fast_layers(operations: Any) -> Any:
    """A caller's Conv2d, faster, and its GroupNorm; `operations` has both."""

    class Conv2d(operations.Conv2d):  # type: ignore[misc]
        """doubled: first takes the input to twice its size (nearest neighbours)."""

        def __init__(self, *sizes: int, doubled: bool = False, **options: Any) -> None:
            super().__init__(*sizes, **options)
            self._doubled = doubled

        def _conv_forward(self, x_BCHW: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            """As torch.nn's, with weights that the caller's class has cast."""
            if bias is not None and _pays(x_BCHW, weight, self._doubled):
                return convolve(x_BCHW, weight, bias, self._doubled)
            if self._doubled:
                x_BCHW = F.interpolate(x_BCHW, scale_factor=2.0, mode="nearest")
            convolved_BKHW: Tensor = super()._conv_forward(x_BCHW, weight, bias)
            return convolved_BKHW

    return SimpleNamespace(Conv2d=Conv2d, GroupNorm=operations.GroupNorm)


def _pays(x_BCHW: Tensor, weight: Tensor, doubled: bool) -> bool:
    """Whether Winograd's algorithm is faster for one picture of that size; a batch changes nothing."""
    # Cards have libraries that choose it themselves; in half precision its rounding shows.
    if torch.is_grad_enabled() or x_BCHW.device.type != "cpu" or x_BCHW.dtype != torch.float32:
        return False
    if torch.get_num_threads() > _MOST_THREADS:
        return False
    outputs, channels, *size = weight.shape
    cells = x_BCHW.shape[-2] * x_BCHW.shape[-1] * (4 if doubled else 1)
    work = weight.numel() * cells
    return size == [3, 3] and min(outputs, channels) >= _LEAST_CHANNELS and work >= _LEAST_WORK
