"""Image self-attention with multi-modal content injection.

The picture attends to itself and, in a softmax of its own, to the content stream: the subject's latents, with
projections of their own. The stream attends to itself only (official behaviour), so it is the same at every
scale, and prefill computes it once.
Shape suffixes: B conditions, N pictures of all branches, L tokens, S content tokens, C width, H heads, D head
width, P rotary pairs; E channels and G heads of queries and keys together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..config import TransformerConfig
from ..layers import LayerFactory, match
from .attention import KeyValue, attend, merge_heads, split_heads
from .branch import BranchBatch
from .kv_cache import KeyValueStore
from .phases import Phase, PhasedModule
from .rope import apply_rope

MAX_LOG_SCALE = math.log(100)


class HeadConstants(NamedTuple):
    """What queries, keys and values get besides their projections, ready for use.

    qk_bias_E and qk_scale_G1: of queries, then of keys (which get 0 and 1), float32; E: 2C, G: 2H. v_bias_C:
    in the type of the values.
    """

    qk_bias_E: Tensor
    qk_scale_G1: Tensor
    v_bias_C: Tensor


class SelfAttention(PhasedModule):
    """Cosine attention of the picture to itself and to the content stream, and of that stream to itself."""

    def __init__(self, config: TransformerConfig, make: LayerFactory, stream: Phase) -> None:
        """stream: the phase of what carries the content stream on to the next block."""
        super().__init__()
        c = config.width
        self.heads = config.heads
        with self.used_in(Phase.SAMPLING):
            self.to_qkv = make.linear(c, 3 * c, bias=False)
            self.q_bias = make.parameter(c)
            self.v_bias = make.parameter(c)
            self.log_scale = make.parameter(config.heads, 1, 1)
            self.proj = make.linear(c, c)
        if config.subject:
            with self.used_in(stream):
                self.content_to_q = make.linear(c, c, bias=False)
                self.content_q_bias = make.parameter(c)
            self.content_to_kv = make.linear(c, 2 * c, bias=False)
            self.content_v_bias = make.parameter(c)
            with self.used_in(stream):
                self.content_log_scale = make.parameter(config.heads, 1, 1)
                self.content_proj = make.linear(c, c)
            with self.used_in(Phase.SAMPLING):
                self.content_to_image = make.linear(c, c, bias=False)

    def constants(self, device: torch.device, dtype: torch.dtype) -> HeadConstants:
        """Of the picture's queries and values; dtype: to compute in. Copies: FSDP frees what it gathers."""
        q_bias_C = self.q_bias.to(device, torch.float32)
        q_scale_H1 = _query_scale(self.log_scale.to(device, torch.float32))[:, 0]
        return HeadConstants(
            torch.cat((q_bias_C, torch.zeros_like(q_bias_C))),
            torch.cat((q_scale_H1, torch.ones_like(q_scale_H1))),
            self.v_bias.to(device, dtype, copy=True),
        )

    def _query(self, q_BLC: Tensor, bias_C: Tensor, scale_H11: Tensor) -> Tensor:
        """Normed and scaled queries, float32."""
        return F.normalize(split_heads(q_BLC.float() + bias_C, self.heads), dim=-1) * scale_H11

    def _key(self, k_BLC: Tensor) -> Tensor:
        """Normed keys, float32."""
        return F.normalize(split_heads(k_BLC.float(), self.heads), dim=-1)

    def _value(self, v_BLC: Tensor, bias_C: Tensor) -> Tensor:
        return split_heads(v_BLC + match(bias_C, v_BLC), self.heads)

    def content_key_value(self, content_BSC: Tensor) -> KeyValue:
        """Keys and values [B, H, S, D] of the normed content stream [B, S, C], in its type."""
        k, v = self.content_to_kv(content_BSC).chunk(2, dim=-1)
        return KeyValue(self._key(k).to(v.dtype), self._value(v, self.content_v_bias))

    def content_forward(self, content_BSC: Tensor, kv: KeyValue) -> Tensor:
        """Self-attention of the normed content stream, [B, S, C] to [B, S, C]; kv: its keys and values."""
        bias, log_scale = (
            each.to(content_BSC.device, torch.float32)
            for each in (self.content_q_bias, self.content_log_scale)
        )
        q = self._query(self.content_to_q(content_BSC), bias, _query_scale(log_scale))
        return self.content_proj(merge_heads(attend(q.to(content_BSC.dtype), kv, 1.0)))

    def forward(
        self,
        x_NLC: Tensor,
        rope_2LP: Tensor,
        batches: Sequence[BranchBatch],
        image_kv: KeyValueStore,
        constants: HeadConstants,
        layer: int,
    ) -> Tensor:
        """Normed picture tokens [N, L, C] to [N, L, C]; N: the pictures of all batches, in their order.

        layer: this block's number, by which keys and values are found.
        """
        q, k, v = self._heads(x_NLC, rope_2LP, constants)
        out = merge_heads(attend(q, image_kv.extend(layer, k, v), 1.0))
        content = []
        for batch, q_b in zip(batches, q.split([batch.count for batch in batches]), strict=True):
            kv = batch.layers[layer].content
            if kv is not None:
                content.append(attend(q_b, kv, 1.0))
                if batch.hook is not None:
                    batch.hook(layer, q_b, kv)
        if content:
            out = out + self.content_to_image(merge_heads(torch.cat(content)))
        return self.proj(out)

    def _heads(
        self, x_NLC: Tensor, rope_2LP: Tensor, constants: HeadConstants
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated queries and keys, and values, [N, H, L, D] in the type of x."""
        width = x_NLC.shape[-1]
        qk_NLE, v_NLC = self.to_qkv(x_NLC).split((2 * width, width), dim=-1)
        qk_NLGD = (qk_NLE.float() + constants.qk_bias_E).unflatten(-1, (2 * self.heads, -1))
        qk_NLGD = F.normalize(qk_NLGD, dim=-1).mul_(constants.qk_scale_G1)
        qk_NLGD = apply_rope(qk_NLGD, rope_2LP).to(v_NLC.dtype)
        q_NHLD, k_NHLD = qk_NLGD.transpose(1, 2).chunk(2, dim=1)
        # attended with twice; the keys are laid out where they are kept
        return q_NHLD.contiguous(), k_NHLD, self._value(v_NLC, constants.v_bias_C)


def _query_scale(log_scale_H11: Tensor) -> Tensor:
    return log_scale_H11.clamp_max(MAX_LOG_SCALE).exp()
