"""Layers as a current ComfyUI makes them under dynamic VRAM: without weights before these are loaded.

A namespace of `operations`, in the place of its `comfy.ops` where there is no such ComfyUI. As there, a class
that has a state loader of its own is built whole, and the others know no names but weight and bias.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

Conv2d, GroupNorm, LayerNorm = nn.Conv2d, nn.GroupNorm, nn.LayerNorm


def _take(layer: nn.Module, state: Any, prefix: str, missing: list[str], unexpected: list[str]) -> None:
    for name, tensor in state.items():
        if name.removeprefix(prefix) in ("weight", "bias"):
            setattr(layer, name.removeprefix(prefix), nn.Parameter(tensor, requires_grad=False))
        else:
            unexpected.append(name)
    if f"{prefix}weight" not in state:
        missing.append(f"{prefix}weight")


class Linear(nn.Linear):
    """Has neither weight nor bias at first; casts both to its input."""

    def __init__(
        self, inputs: int, outputs: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        if type(self)._load_from_state_dict is not Linear._load_from_state_dict:
            super().__init__(inputs, outputs, bias, device, dtype)
            return
        nn.Module.__init__(self)
        self.in_features, self.out_features = inputs, outputs
        self.weight: Any = None
        self.bias: Any = None

    def _load_from_state_dict(self, *arguments: Any) -> None:
        if type(self)._load_from_state_dict is not Linear._load_from_state_dict:
            return super()._load_from_state_dict(*arguments)
        state, prefix, _, _, missing, unexpected, _ = arguments
        _take(self, state, prefix, missing, unexpected)

    def reset_parameters(self) -> None:
        """Nothing is drawn."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x), None if self.bias is None else self.bias.to(x))


class Embedding(nn.Embedding):
    """Shows its shape on the meta device at first."""

    def _load_from_state_dict(self, *arguments: Any) -> None:
        state, prefix, _, _, missing, unexpected, _ = arguments
        _take(self, state, prefix, missing, unexpected)

    def reset_parameters(self) -> None:
        """Nothing is drawn."""
