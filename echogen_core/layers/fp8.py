"""Linear layers with FP8 weights: e4m3, with one scale a matrix."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from .half import half_linear
from .linear import match


@cache
def scaled_linear(operations: Any) -> Any:
    """A Linear class for FP8 weights with one scale a matrix: weight * weight_scale is the real matrix.

    operations: the caller's layers, whose Linear casts the weights at use. The scale goes to the input, which
    is smaller than the matrix.
    """
    base: Any = half_linear(operations.Linear)

    class ScaledLinear(base):  # type: ignore[misc]
        def __init__(self, inputs: int, outputs: int, bias: bool, **place: Any) -> None:
            super().__init__(inputs, outputs, bias=bias, **place)
            if bias:
                self.bias = nn.Parameter(torch.zeros(outputs, device=place["device"], dtype=torch.float32))
            self.weight_scale = nn.Parameter(torch.ones((), device=place["device"], dtype=torch.float32))

        def _load_from_state_dict(self, *arguments: Any) -> None:
            """As nn.Linear. ComfyUI builds a layer that loads itself whole, and leaves its state to it."""
            super()._load_from_state_dict(*arguments)

        def forward(self, x: Tensor) -> Tensor:
            """[..., inputs] to [..., outputs], in the dtype of `x`."""
            scaled: Tensor = super().forward(x * match(self.weight_scale, x))
            return scaled

    return ScaledLinear
