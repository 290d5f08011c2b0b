"""One transformer block, for the picture and (with a subject path) for the content stream beside it.

Precision as in the official bfloat16 runs: matrices, attention and what is between them in the compute type;
the residual stream, norms, AdaLN, query and key normalisation and rotation in float32.
Shape suffixes: B conditions, N pictures of all branches, L tokens, P patches, S content tokens, C width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import TransformerConfig
from ..layers import LayerFactory
from .adaln import Modulation, block_modulation, modulate
from .branch import BranchBatch, LayerCondition
from .content_injection import HeadConstants, SelfAttention
from .kv_cache import KeyValueStore
from .phases import Phase, PhasedModule
from .semantic_injection import CrossAttention


class FeedForward(nn.Module):
    """Two layers with GELU between."""

    def __init__(self, config: TransformerConfig, make: LayerFactory) -> None:
        super().__init__()
        self.up = make.linear(config.width, config.hidden)
        self.down = make.linear(config.hidden, config.width)

    def forward(self, x_NLC: Tensor) -> Tensor:
        """[N, L, C] to [N, L, C]."""
        return self.down(F.gelu(self.up(x_NLC), approximate="tanh"))


class BlockConstants(NamedTuple):
    """What a block makes of the branches' AdaLN signals and its bare parameters: the same at every scale."""

    modulation: Modulation
    heads: HeadConstants


class Block(PhasedModule):
    """Self-attention, cross-attention, feed-forward; twice with a subject path.

    Attributes that begin with `content_` or `semantic_` belong to the subject path and do not exist in a
    plain Infinity model.
    """

    def __init__(self, config: TransformerConfig, make: LayerFactory, last: bool) -> None:
        """last: the content stream ends here, with its keys and values.

        What the checkpoint stores beyond them has no effect (official behaviour).
        """
        super().__init__()
        self.last = last
        stream = Phase.UNUSED if last else Phase.PREFILL
        with self.used_in(Phase.SAMPLING):
            self.adaln = make.parameter(6, config.width)
        self.attn = SelfAttention(config, make, stream)
        self.cross = CrossAttention(config, make, semantic=config.subject, queries=Phase.SAMPLING)
        with self.used_in(Phase.SAMPLING):
            self.cross_norm = make.layer_norm(config.width)
            self.ffn = FeedForward(config, make)
        if config.subject:
            self.content_adaln = make.parameter(6, config.width)
            with self.used_in(stream):
                self.content_cross = CrossAttention(config, make, semantic=False, queries=stream)
                self.content_cross_norm = make.layer_norm(config.width)
                self.content_ffn = FeedForward(config, make)

    def condition(
        self,
        text_BLC: Tensor,
        patches_BPC: Tensor | None,
        content_BSC: Tensor | None,
        content_signals_B6C: Tensor | None,
        text_mask_BL: Tensor | None,
    ) -> tuple[LayerCondition, Tensor | None]:
        """This layer's keys and values, and the content stream after it: float32 [B, S, C].

        The stream is None after the last block, and where there is none. Computes in the type of `text_BLC`.
        """
        dtype = text_BLC.dtype
        cross = self.cross.key_value(text_BLC, patches_BPC, text_mask_BL)
        if content_BSC is None or content_signals_B6C is None:
            return LayerCondition(cross, None), None
        mod = block_modulation(content_signals_B6C, self.content_adaln)
        normed = modulate(content_BSC, mod.factor1, mod.shift1, dtype)
        kv = self.attn.content_key_value(normed)
        if self.last:
            return LayerCondition(cross, kv), None
        content = content_BSC + mod.gamma1 * self.attn.content_forward(normed, kv)
        text_kv = self.content_cross.key_value(text_BLC, None, text_mask_BL)
        normed = self.content_cross_norm(content).to(dtype)
        content = content + self.content_cross(normed, [(content.shape[0], text_kv)])
        ffn = self.content_ffn(modulate(content, mod.factor2, mod.shift2, dtype))
        return LayerCondition(cross, kv), content + mod.gamma2 * ffn

    def constants(self, signals_N6C: Tensor, dtype: torch.dtype) -> BlockConstants:
        """For pictures with these AdaLN signals; dtype: to compute in.

        An entry point of its own, around which FSDP gathers and frees the weights.
        """
        return self._constants(signals_N6C, dtype)

    def _constants(self, signals_N6C: Tensor, dtype: torch.dtype) -> BlockConstants:
        return BlockConstants(
            block_modulation(signals_N6C, self.adaln), self.attn.constants(signals_N6C.device, dtype)
        )

    def forward(
        self,
        x_NLC: Tensor,
        rope_2LP: Tensor,
        batches: Sequence[BranchBatch],
        image_kv: KeyValueStore,
        constants: BlockConstants | Tensor,
        layer: int,
        dtype: torch.dtype,
    ) -> Tensor:
        """The picture's residual stream, float32 [N, L, C] to [N, L, C]; dtype: to compute in.

        constants: of the pictures; for a single pass their AdaLN signals [N, 6, C] will do.
        """
        if isinstance(constants, Tensor):
            constants = self._constants(constants, dtype)
        mod = constants.modulation
        normed = modulate(x_NLC, mod.factor1, mod.shift1, dtype)
        x_NLC = x_NLC + mod.gamma1 * self.attn(normed, rope_2LP, batches, image_kv, constants.heads, layer)
        del normed  # its memory is needed below
        branches = [(batch.count, batch.layers[layer].cross) for batch in batches]
        x_NLC = x_NLC + self.cross(self.cross_norm(x_NLC).to(dtype), branches)
        return x_NLC + mod.gamma2 * self.ffn(modulate(x_NLC, mod.factor2, mod.shift2, dtype))
