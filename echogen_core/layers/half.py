"""Layers of half precision, for processors that have no instructions for it: products in float32.

What is stored and handed on stays in the half type. PyTorch sums such products in float32 anyway, and rounds
them as it is done here, but in plain loops: 7 times as long as in float32 for a linear layer, 280 times for a
convolution (AVX2, torch 2.13). While a layer computes, it takes the memory of its float32 copies.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from torch import Tensor, nn

from ..dtypes import is_looped
from .linear import CastLinear


@cache
def half_linear(layer: Any) -> Any:
    """A Linear class of a caller's own, torch.nn's, or one that casts its weights to the input."""
    base: Any = CastLinear if layer is nn.Linear else layer

    class HalfLinear(base):  # type: ignore[misc]
        def forward(self, x: Tensor) -> Tensor:
            """[..., inputs] to [..., outputs], in the dtype of `x`."""
            wide = x.float() if is_looped(x) else x
            y: Tensor = super().forward(wide)
            return y.to(x.dtype)

    return HalfLinear


@cache
def half_convolution(layer: Any) -> Any:
    """A Conv2d class of a caller's own, torch.nn's, or one that hands its weights to `_conv_forward`."""

    class HalfConv2d(layer):  # type: ignore[misc]
        def _conv_forward(self, x_BCHW: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            """As torch.nn's, with weights that the caller's class has cast."""
            wide = x_BCHW, weight, bias
            if is_looped(x_BCHW):
                wide = x_BCHW.float(), weight.float(), None if bias is None else bias.float()
            y_BCHW: Tensor = super()._conv_forward(*wide)
            return y_BCHW.to(x_BCHW.dtype)

    return HalfConv2d
