"""Layers of the EchoGen transformer.

Every layer class takes `operations` (torch.nn, or ComfyUI's comfy.ops so that its memory manager can stream
the weights), dtype and device. Attributes that begin with `content_` or `semantic_` belong to the subject
path and do not exist in a plain Infinity model.
Precision as in the official bfloat16 runs: matrices, attention and what is between them in the compute type;
the residual stream, norms, AdaLN, query and key normalisation and rotation in float32.
Shape suffixes: B batch, N rows (branches x pictures), L tokens, S key tokens, C width, H heads, D head width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import TransformerConfig
from .functional import (
    FP8,
    NORM_EPS,
    KeyValue,
    apply_rope,
    attend,
    match,
    merge_heads,
    modulate,
    rms_norm,
    split_heads,
)
from .kv_cache import Memory

MAX_LOG_SCALE = math.log(100)


class LayerCondition(NamedTuple):
    """What a layer attends to besides the picture: prompt and patches in one softmax, content in another."""

    cross: KeyValue
    content: KeyValue | None

    def kept_as(self, dtype: torch.dtype | None) -> LayerCondition:
        """The same in the type that it is remembered in; None leaves it."""
        return LayerCondition(self.cross.kept_as(dtype), self.content and self.content.kept_as(dtype))


Watch = Callable[[int, Tensor, KeyValue], None]


@dataclass(frozen=True)
class Rows:
    """Consecutive rows that share conditions: the pictures of one branch, or a whole training batch.

    watch: is shown each layer's number, queries and content keys: for training that guides attention.
    """

    count: int
    layers: Sequence[LayerCondition]
    memory: Memory
    watch: Watch | None = None


class Modulation(NamedTuple):
    """The six AdaLN signals of a block, each [N, 1, C], in the order of the checkpoint."""

    gamma1: Tensor
    gamma2: Tensor
    scale1: Tensor
    scale2: Tensor
    shift1: Tensor
    shift2: Tensor


class Factory(NamedTuple):
    """How to make parameters: layer classes, the type of matrices, device. All else is float32."""

    operations: Any = nn
    dtype: torch.dtype = torch.float32
    device: torch.device | str | None = None

    def linear(self, inputs: int, outputs: int, bias: bool = True) -> nn.Linear:
        kind = scaled_linear(self.operations) if self.dtype == FP8 else self.operations.Linear
        return kind(inputs, outputs, bias=bias, dtype=self.dtype, device=self.device)

    def layer_norm(self, width: int) -> nn.LayerNorm:
        return self.operations.LayerNorm(width, eps=NORM_EPS, dtype=torch.float32, device=self.device)

    def embedding(self, rows: int, width: int) -> nn.Embedding:
        return self.operations.Embedding(rows, width, dtype=torch.float32, device=self.device)

    def parameter(self, *shape: int) -> nn.Parameter:
        return nn.Parameter(torch.zeros(shape, dtype=torch.float32, device=self.device))

    def adaln(self, width: int, signals: int) -> nn.Sequential:
        return nn.Sequential(nn.SiLU(), self.linear(width, signals * width))

    def mlp(self, inputs: int, width: int) -> nn.Sequential:
        return nn.Sequential(self.linear(inputs, width), nn.GELU("tanh"), self.linear(width, width))


class CastLinear(nn.Linear):
    """What ComfyUI's layers do, for use without them: the weights take the input's type and device."""

    def reset_parameters(self) -> None:
        """Nothing is drawn: the weights are loaded."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, match(self.weight, x), None if self.bias is None else match(self.bias, x))


@cache
def scaled_linear(operations: Any) -> Any:
    """A Linear class for FP8 weights with one scale a matrix: weight * weight_scale is the real matrix.

    The weights are cast at use by the caller's Linear. The scale goes to the input, which is the smaller one.
    """
    base: Any = CastLinear if operations is nn else operations.Linear

    class ScaledLinear(base):  # type: ignore[misc]
        def __init__(self, inputs: int, outputs: int, bias: bool, **place: Any) -> None:
            super().__init__(inputs, outputs, bias=bias, **place)
            if bias:
                self.bias = nn.Parameter(torch.zeros(outputs, device=place["device"]))
            self.weight_scale = nn.Parameter(torch.ones((), device=place["device"]))

        def _load_from_state_dict(self, *arguments: Any) -> None:
            """As nn.Linear. ComfyUI builds a layer that loads itself whole, and leaves its state to it."""
            super()._load_from_state_dict(*arguments)

        def forward(self, x: Tensor) -> Tensor:
            scaled: Tensor = super().forward(x * match(self.weight_scale, x))
            return scaled

    return ScaledLinear


class TextPool(nn.Module):
    """Attentive pooling of the prompt: one learned query, with heads of its own."""

    def __init__(self, config: TransformerConfig, make: Factory) -> None:
        super().__init__()
        self.heads = config.pool_heads
        self.query = make.parameter(self.heads, config.width // self.heads)
        self.to_kv = make.linear(config.text_width, 2 * config.width, bias=False)
        self.v_bias = make.parameter(config.width)
        self.proj = make.linear(config.width, config.width)

    def forward(self, text_BLT: Tensor, mask_BL: Tensor | None = None) -> Tensor:
        """[B, L, text_width] to [B, C]."""
        k, v = self.to_kv(text_BLT).chunk(2, dim=-1)
        kv = KeyValue(
            split_heads(k, self.heads),
            split_heads(v + match(self.v_bias, v), self.heads),
            None if mask_BL is None else mask_BL[:, None, None],
        )
        query = match(self.query, k)[None, :, None].expand(k.shape[0], -1, -1, -1)
        return self.proj(merge_heads(attend(query, kv, query.shape[-1] ** -0.5))[:, 0])


class FeedForward(nn.Module):
    def __init__(self, config: TransformerConfig, make: Factory) -> None:
        super().__init__()
        self.up = make.linear(config.width, config.hidden)
        self.down = make.linear(config.hidden, config.width)

    def forward(self, x_BLC: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x_BLC), approximate="tanh"))


class CrossAttention(nn.Module):
    """Attention to the prompt and, with `semantic`, to the subject's patches in the same softmax."""

    def __init__(self, config: TransformerConfig, make: Factory, semantic: bool) -> None:
        super().__init__()
        self.heads = config.heads
        self.to_q = make.linear(config.width, config.width)
        self.to_kv = make.linear(config.width, 2 * config.width, bias=False)
        self.v_bias = make.parameter(config.width)
        self.proj = make.linear(config.width, config.width)
        self.semantic = semantic
        if semantic:
            self.semantic_to_kv = make.linear(config.width, 2 * config.width, bias=False)
            self.semantic_v_bias = make.parameter(config.width)

    def key_value(
        self, text_BLC: Tensor, patches_BPC: Tensor | None = None, mask_BL: Tensor | None = None
    ) -> KeyValue:
        """Keys and values of prompt tokens and (where given) projected patches; mask_BL marks real tokens."""
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

    def forward(self, x_NLC: Tensor, groups: Sequence[tuple[int, KeyValue]]) -> Tensor:
        """groups: consecutive (row count, keys and values)."""
        q_NHLD = split_heads(self.to_q(x_NLC), self.heads)
        scale = q_NHLD.shape[-1] ** -0.5
        parts = q_NHLD.split([count for count, _ in groups])
        attended = [attend(q, kv, scale) for q, (_, kv) in zip(parts, groups, strict=True)]
        return self.proj(merge_heads(torch.cat(attended) if len(attended) > 1 else attended[0]))


class SelfAttention(nn.Module):
    """Cosine attention of the picture to itself and, in a softmax of its own, to the content stream.

    The content stream has its own projections and attends to itself only (official behaviour), so it is the
    same at every scale.
    """

    def __init__(self, config: TransformerConfig, make: Factory) -> None:
        super().__init__()
        c = config.width
        self.heads = config.heads
        self.to_qkv = make.linear(c, 3 * c, bias=False)
        self.q_bias = make.parameter(c)
        self.v_bias = make.parameter(c)
        self.log_scale = make.parameter(config.heads, 1, 1)
        self.proj = make.linear(c, c)
        if config.subject:
            self.content_to_q = make.linear(c, c, bias=False)
            self.content_to_kv = make.linear(c, 2 * c, bias=False)
            self.content_q_bias = make.parameter(c)
            self.content_v_bias = make.parameter(c)
            self.content_log_scale = make.parameter(config.heads, 1, 1)
            self.content_proj = make.linear(c, c)
            self.content_to_image = make.linear(c, c, bias=False)

    def _query(self, q_BLC: Tensor, bias: Tensor, log_scale: Tensor) -> Tensor:
        """Normed and scaled queries, float32."""
        q_BLC = q_BLC.float()
        q = F.normalize(split_heads(q_BLC + match(bias, q_BLC), self.heads), dim=-1)
        return q * match(log_scale, q).clamp_max(MAX_LOG_SCALE).exp()

    def _key(self, k_BLC: Tensor) -> Tensor:
        """Normed keys, float32."""
        return F.normalize(split_heads(k_BLC.float(), self.heads), dim=-1)

    def _value(self, v_BLC: Tensor, bias: Tensor) -> Tensor:
        return split_heads(v_BLC + match(bias, v_BLC), self.heads)

    def content_key_value(self, content_BSC: Tensor) -> KeyValue:
        k, v = self.content_to_kv(content_BSC).chunk(2, dim=-1)
        return KeyValue(self._key(k).to(v.dtype), self._value(v, self.content_v_bias))

    def content_forward(self, content_BSC: Tensor, kv: KeyValue) -> Tensor:
        q = self._query(self.content_to_q(content_BSC), self.content_q_bias, self.content_log_scale)
        return self.content_proj(merge_heads(attend(q.to(content_BSC.dtype), kv, 1.0)))

    def forward(self, x_NLC: Tensor, rope_2LP: Tensor, rows: Sequence[Rows], layer: int) -> Tensor:
        q, k, v = self._heads(x_NLC, rope_2LP)
        image, content = [], []
        counts = [group.count for group in rows]
        for group, q_g, k_g, v_g in zip(rows, q.split(counts), k.split(counts), v.split(counts), strict=True):
            image.append(attend(q_g, group.memory.extend(layer, k_g, v_g), 1.0))
            content_kv = group.layers[layer].content
            if content_kv is not None:
                content.append(attend(q_g, content_kv, 1.0))
                if group.watch is not None:
                    group.watch(layer, q_g, content_kv)
        out = merge_heads(torch.cat(image))
        if content:
            out = out + self.content_to_image(merge_heads(torch.cat(content)))
        return self.proj(out)

    def _heads(self, x_NLC: Tensor, rope_2LP: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated queries and keys, and values, [N, H, L, D] in the type of x."""
        q, k, v = self.to_qkv(x_NLC).chunk(3, dim=-1)
        q = apply_rope(self._query(q, self.q_bias, self.log_scale), rope_2LP).to(v.dtype)
        k = apply_rope(self._key(k), rope_2LP).to(v.dtype)
        return q, k, self._value(v, self.v_bias)


class Block(nn.Module):
    """One transformer block: self-attention, cross-attention, feed-forward; twice with a subject path."""

    def __init__(self, config: TransformerConfig, make: Factory) -> None:
        super().__init__()
        self.subject = config.subject
        self.adaln = make.parameter(6, config.width)
        self.attn = SelfAttention(config, make)
        self.cross = CrossAttention(config, make, semantic=config.subject)
        self.cross_norm = make.layer_norm(config.width)
        self.ffn = FeedForward(config, make)
        if config.subject:
            self.content_adaln = make.parameter(6, config.width)
            self.content_cross = CrossAttention(config, make, semantic=False)
            self.content_cross_norm = make.layer_norm(config.width)
            self.content_ffn = FeedForward(config, make)

    def condition(
        self,
        text_BLC: Tensor,
        patches_BPC: Tensor | None,
        content_BSC: Tensor | None,
        content_signals_B6C: Tensor | None,
        text_mask_BL: Tensor | None,
        last: bool,
    ) -> tuple[LayerCondition, Tensor | None]:
        """This layer's keys and values, and the content stream (float32) after it (None after the last).

        In the last layer the content stream ends with its keys and values; what the checkpoint stores beyond
        them has no effect (official behaviour).
        """
        dtype = text_BLC.dtype
        cross = self.cross.key_value(text_BLC, patches_BPC, text_mask_BL)
        if content_BSC is None or content_signals_B6C is None:
            return LayerCondition(cross, None), None
        mod = unpack_modulation(content_signals_B6C, self.content_adaln)
        normed = modulate(content_BSC, mod.scale1, mod.shift1, dtype)
        kv = self.attn.content_key_value(normed)
        if last:
            return LayerCondition(cross, kv), None
        content = content_BSC + mod.gamma1 * self.attn.content_forward(normed, kv)
        text_kv = self.content_cross.key_value(text_BLC, None, text_mask_BL)
        normed = self.content_cross_norm(content).to(dtype)
        content = content + self.content_cross(normed, [(content.shape[0], text_kv)])
        ffn = self.content_ffn(modulate(content, mod.scale2, mod.shift2, dtype))
        return LayerCondition(cross, kv), content + mod.gamma2 * ffn

    def forward(
        self,
        x_NLC: Tensor,
        signals_N6C: Tensor,
        rope_2LP: Tensor,
        rows: Sequence[Rows],
        layer: int,
        dtype: torch.dtype,
    ) -> Tensor:
        """x_NLC: the residual stream, float32. dtype: to compute in."""
        mod = unpack_modulation(signals_N6C, self.adaln)
        normed = modulate(x_NLC, mod.scale1, mod.shift1, dtype)
        x_NLC = x_NLC + mod.gamma1 * self.attn(normed, rope_2LP, rows, layer)
        del normed  # its room is wanted below
        groups = [(group.count, group.layers[layer].cross) for group in rows]
        x_NLC = x_NLC + self.cross(self.cross_norm(x_NLC).to(dtype), groups)
        return x_NLC + mod.gamma2 * self.ffn(modulate(x_NLC, mod.scale2, mod.shift2, dtype))


def unpack_modulation(signals_N6C: Tensor, own_6C: Tensor) -> Modulation:
    """The model's shared signals plus the block's own, as six float32 tensors [N, 1, C]."""
    signals = signals_N6C + match(own_6C, signals_N6C)
    return Modulation(*signals[:, :, None].unbind(1))


class TextNorm(nn.Module):
    """Root-mean-square norm of the text features, always in float32."""

    def __init__(self, config: TransformerConfig, make: Factory) -> None:
        super().__init__()
        self.weight = make.parameter(config.text_width)

    def forward(self, text_BLT: Tensor) -> Tensor:
        return rms_norm(text_BLT, self.weight)


class Head(nn.Module):
    """AdaLN by the pooled prompt, then two logits per bit."""

    def __init__(self, config: TransformerConfig, make: Factory) -> None:
        super().__init__()
        self.adaln = make.adaln(config.width, 2)
        self.linear = make.linear(config.width, 2 * config.bits)

    def forward(self, x_NLC: Tensor, pooled_NC: Tensor) -> Tensor:
        """[N, L, C] to float32 [N, L, bits, 2]."""
        scale, shift = self.adaln(pooled_NC).unflatten(-1, (2, 1, -1)).unbind(1)
        return self.linear(modulate(x_NLC, scale, shift, torch.float32)).unflatten(-1, (-1, 2))
