"""Keys and values of image self-attention across scales: the KV cache, and its counterpart in training.

Shape suffixes: B pictures, H heads, L new tokens, S all tokens so far, D head width.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ..dtypes import saturating_cast
from ..scales import ScaleSchedule
from .attention import KeyValue


class KeyValueStore(Protocol):
    """Where self-attention puts a layer's new keys and values, and gets all that its queries may see."""

    def extend(self, layer: int, k_BHLD: Tensor, v_BHLD: Tensor) -> KeyValue:
        """Adds a layer's new keys and values [B, H, L, D]; returns all of them, [B, H, S, D]."""
        ...


class MaskedSequence:
    """Training: the whole sequence at once, nothing cached, causality by a bool mask [S, S]."""

    def __init__(self, mask_SS: Tensor) -> None:
        self._mask_SS = mask_SS

    def extend(self, layer: int, k_BHLD: Tensor, v_BHLD: Tensor) -> KeyValue:
        """The same keys and values, with the mask."""
        return KeyValue(k_BHLD, v_BHLD, self._mask_SS)


class KVCache:
    """Inference: one preallocated buffer for the keys of all layers and one for the values.

    A head's layers lie in reverse order: [last layer | ... | first layer | last scale]. At the last
    scale nothing has to be cached any more, so a layer's new tokens overwrite the slots of the layer before
    it, which has just been used for the last time. Its keys stay contiguous without a copy and without
    memory of their own (39 % of all tokens at 1024 px).
    """

    def __init__(
        self, depth: int, cached_tokens: int, last_tokens: int, dtype: torch.dtype | None = None
    ) -> None:
        """cached_tokens: of all scales but the last, prefix included. last_tokens: of the last scale.

        dtype: type to store them in (None: as they come).
        """
        self._depth = depth
        self._cached_tokens = cached_tokens
        self._total = depth * cached_tokens + last_tokens
        self._dtype = dtype
        self._buffers: tuple[Tensor, Tensor] | None = None
        self._filled = [0] * depth

    def extend(self, layer: int, k_BHLD: Tensor, v_BHLD: Tensor) -> KeyValue:
        """Appends a layer's keys and values; returns views of all of that layer's, in the stored type.

        Where there are fewer pictures than before, those at the end have gone.
        """
        pictures, heads, _, width = k_BHLD.shape
        if self._buffers is None:
            # allocated on first use, when dtype and device of the activations are known
            size = (pictures, heads, self._total, width)
            dtype = self._dtype or k_BHLD.dtype
            self._buffers = (k_BHLD.new_empty(size, dtype=dtype), k_BHLD.new_empty(size, dtype=dtype))
        start = (self._depth - 1 - layer) * self._cached_tokens
        end = start + self._filled[layer] + k_BHLD.shape[2]
        views = []
        for buffer_BHSD, new_BHLD in zip(self._buffers, (k_BHLD, v_BHLD), strict=True):
            layer_BHSD = buffer_BHSD[:pictures, :, start:end]
            layer_BHSD[:, :, self._filled[layer] :] = saturating_cast(new_BHLD, buffer_BHSD.dtype)
            views.append(layer_BHSD)
        self._filled[layer] = end - start
        return KeyValue(views[0], views[1])


def block_causal_mask(schedule: ScaleSchedule, prefix: int) -> Tensor:
    """Training mask, bool [S, S]: a token sees its own scale and the coarser ones."""
    sizes = [h * w for h, w in schedule.scales]
    sizes[0] += prefix
    level_S = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    return level_S[:, None] >= level_S[None, :]
