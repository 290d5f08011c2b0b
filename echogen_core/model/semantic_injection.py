"""Semantic injection: the patches' own keys and values join the prompt's in decoupled cross-attention.

Shape suffixes: B conditions, N pictures of all branches, L tokens, P patches, C width, H heads, D head width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..config import TransformerConfig
from ..layers import LayerFactory, match
from .attention import KeyValue, attend, merge_heads, split_heads
from .phases import Phase, PhasedModule


class CrossAttention(PhasedModule):
    """Attention to the prompt and, with `semantic`, to the subject's patches in the same softmax.

    Patches have projections of their own (`semantic_...`); a plain Infinity model has none.
    """

    def __init__(self, config: TransformerConfig, make: LayerFactory, semantic: bool, queries: Phase) -> None:
        """queries: the phase in which this layer is attended with; keys and values are its owner's."""
        super().__init__()
        self.heads = config.heads
        with self.used_in(queries):
            self.to_q = make.linear(config.width, config.width)
        self.to_kv = make.linear(config.width, 2 * config.width, bias=False)
        self.v_bias = make.parameter(config.width)
        with self.used_in(queries):
            self.proj = make.linear(config.width, config.width)
        self.semantic = semantic
        if semantic:
            self.semantic_to_kv = make.linear(config.width, 2 * config.width, bias=False)
            self.semantic_v_bias = make.parameter(config.width)

    def key_value(
        self, text_BLC: Tensor, patches_BPC: Tensor | None = None, mask_BL: Tensor | None = None
    ) -> KeyValue:
        """Keys and values [B, H, L + P, D] of prompt tokens and (where given) projected patches.

        mask_BL: bool, true on real prompt tokens (None: all are).
        """
        k, v = self.to_kv(text_BLC).chunk(2, dim=-1)
        v = v + match(self.v_bias, v)
        if patches_BPC is not None:
            k_patch, v_patch = self.semantic_to_kv(patches_BPC).chunk(2, dim=-1)
            k = torch.cat((k, k_patch), dim=1)
            v = torch.cat((v, v_patch + match(self.semantic_v_bias, v)), dim=1)
            if mask_BL is not None:
                mask_BL = torch.cat((mask_BL, mask_BL.new_ones(patches_BPC.shape[:2])), dim=1)
        mask = None if mask_BL is None else mask_BL[:, None, None]
        return KeyValue(split_heads(k, self.heads), split_heads(v, self.heads), mask)

    def forward(self, x_NLC: Tensor, branches: Sequence[tuple[int, KeyValue]]) -> Tensor:
        """[N, L, C] to [N, L, C]; branches: how many consecutive pictures attend to which keys and values."""
        q_NHLD = split_heads(self.to_q(x_NLC), self.heads)
        scale = q_NHLD.shape[-1] ** -0.5
        parts = q_NHLD.split([count for count, _ in branches])
        attended = [attend(q, kv, scale) for q, (_, kv) in zip(parts, branches, strict=True)]
        return self.proj(merge_heads(torch.cat(attended) if len(attended) > 1 else attended[0]))
