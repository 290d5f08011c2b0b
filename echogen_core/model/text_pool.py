"""The prompt as one global vector: norm of the text features, and attentive pooling.

Shape suffixes: B prompts, L tokens, T text width, C width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import TransformerConfig
from ..layers import LayerFactory, match
from ..layers.factory import NORM_EPS
from .attention import KeyValue, attend, merge_heads, split_heads


class TextNorm(nn.Module):
    """Root-mean-square norm of the text features, always in float32."""

    def __init__(self, config: TransformerConfig, make: LayerFactory) -> None:
        super().__init__()
        self.weight = make.parameter(config.text_width)

    def forward(self, text_BLT: Tensor) -> Tensor:
        """[B, L, T] to float32 [B, L, T]."""
        weight_T = self.weight.to(text_BLT.device, torch.float32)
        return F.rms_norm(text_BLT.float(), text_BLT.shape[-1:], weight_T, eps=NORM_EPS)


class TextPool(nn.Module):
    """Attentive pooling of the prompt: one learned query, with heads of its own."""

    def __init__(self, config: TransformerConfig, make: LayerFactory) -> None:
        super().__init__()
        self.heads = config.pool_heads
        self.query = make.parameter(self.heads, config.width // self.heads)
        self.to_kv = make.linear(config.text_width, 2 * config.width, bias=False)
        self.v_bias = make.parameter(config.width)
        self.proj = make.linear(config.width, config.width)

    def forward(self, text_BLT: Tensor, mask_BL: Tensor | None = None) -> Tensor:
        """[B, L, T] to [B, C]; mask_BL: bool, true on real tokens (None: all are)."""
        k, v = self.to_kv(text_BLT).chunk(2, dim=-1)
        kv = KeyValue(
            split_heads(k, self.heads),
            split_heads(v + match(self.v_bias, v), self.heads),
            None if mask_BL is None else mask_BL[:, None, None],
        )
        query = match(self.query, k)[None, :, None].expand(k.shape[0], -1, -1, -1)
        return self.proj(merge_heads(attend(query, kv, query.shape[-1] ** -0.5))[:, 0])
