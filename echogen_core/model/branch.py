"""A branch of the guidance formula on its way through the model: its inputs, what prefill makes of them, and
the batch of pictures that is run against it.

Shape suffixes: B conditions, L tokens, P patches, S content tokens, T text width, E semantic width, F content
width, C width, H heads, D head width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .attention import KeyValue


@dataclass(frozen=True)
class Conditions:
    """Inputs of one branch, batched: text [B, L, T] (mask_BL marks real tokens, None: all are), class token
    [B, E], patches [B, P, E], content tokens [B, S, F].
    """

    text_BLT: Tensor
    cls_BE: Tensor | None
    patches_BPE: Tensor | None
    content_BSF: Tensor | None
    text_mask_BL: Tensor | None = None


class LayerCondition(NamedTuple):
    """What a layer attends to besides the picture: prompt and patches in one softmax, content in another."""

    cross: KeyValue
    content: KeyValue | None

    def stored_as(self, dtype: torch.dtype | None) -> LayerCondition:
        """The same in the cache's type (None: as they are)."""
        return LayerCondition(self.cross.stored_as(dtype), self.content and self.content.stored_as(dtype))


@dataclass(frozen=True)
class BranchCache:
    """All that a branch needs at every scale.

    prefix_BPC: start tokens (subject, prompt; the prompt alone without a subject path), signals_B6C: shared
    AdaLN signals, pooled_BC: pooled prompt for the head, layers: keys and values per layer.
    """

    prefix_BPC: Tensor
    signals_B6C: Tensor
    pooled_BC: Tensor
    layers: tuple[LayerCondition, ...]

    @property
    def dtype(self) -> torch.dtype:
        """Type that keys and values are stored in."""
        return self.layers[0].cross.k_BHSD.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of the keys and values."""
        kvs = [kv for layer in self.layers for kv in layer if kv is not None]
        return sum(t.numel() * t.element_size() for kv in kvs for t in kv[:2])


AttentionHook = Callable[[int, Tensor, KeyValue], None]
"""Is called with each layer's number, its queries [B, H, L, D] and the content's keys and values."""


@dataclass(frozen=True)
class BranchBatch:
    """Consecutive pictures that share conditions: those of one branch, or a whole training batch.

    count: how many. layers: what they attend to besides themselves. hook: for training that guides attention
    to the content.
    """

    count: int
    layers: Sequence[LayerCondition]
    hook: AttentionHook | None = None
