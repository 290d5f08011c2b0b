"""The head: from picture tokens to two logits for each of a token's bits.

Shape suffixes: N pictures of all branches, L tokens, C width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import TransformerConfig
from ..layers import LayerFactory
from .adaln import modulate, signal_layer


class BitHead(nn.Module):
    """AdaLN by the pooled prompt, then two logits per bit."""

    def __init__(self, config: TransformerConfig, make: LayerFactory) -> None:
        super().__init__()
        self.adaln = signal_layer(make, config.width, 2)
        self.linear = make.linear(config.width, 2 * config.bits)

    def modulation(self, pooled_NC: Tensor) -> tuple[Tensor, Tensor]:
        """Factor (one plus the scale) and shift of the norm, float32 [N, 1, C] each."""
        scale, shift = self.adaln(pooled_NC).unflatten(-1, (2, 1, -1)).unbind(1)
        return 1 + scale, shift

    def forward(self, x_NLC: Tensor, modulation: tuple[Tensor, Tensor]) -> Tensor:
        """[N, L, C] to float32 [N, L, bits, 2]."""
        return self.linear(modulate(x_NLC, *modulation, torch.float32)).unflatten(-1, (-1, 2))
