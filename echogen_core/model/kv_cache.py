"""Memory of self-attention across scales.

Shape suffixes: B pictures, H heads, L new tokens, S all tokens so far, D head width.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from .functional import KeyValue, narrow


class Memory(Protocol):
    """Takes the new keys and values of a layer, returns all that its queries may see."""

    def extend(self, layer: int, k_BHLD: Tensor, v_BHLD: Tensor) -> KeyValue: ...


class MaskedMemory:
    """Training: the whole sequence at once, nothing remembered, causality by a bool mask [S, S]."""

    def __init__(self, mask_SS: Tensor) -> None:
        self._mask_SS = mask_SS

    def extend(self, layer: int, k_BHLD: Tensor, v_BHLD: Tensor) -> KeyValue:
        return KeyValue(k_BHLD, v_BHLD, self._mask_SS)


class KeyValueArena:
    """Inference: one preallocated buffer for the keys of all layers and one for the values.

    Layers lie in reverse order, tokens outermost: [last layer | ... | first layer | last scale]. At the last
    scale nothing is remembered any more, so a layer's new tokens run over the slots of the layer before it,
    which has just been used for the last time. Its keys stay contiguous with no copy and no room of their own
    (39 % of all tokens at 1024 px).
    """

    def __init__(
        self, depth: int, kept_tokens: int, last_tokens: int, dtype: torch.dtype | None = None
    ) -> None:
        """kept_tokens: of all scales but the last, prefix included; last_tokens: of the last scale.

        dtype: type to remember them in; None: as they come.
        """
        self._depth = depth
        self._kept = kept_tokens
        self._total = depth * kept_tokens + last_tokens
        self._dtype = dtype
        self._buffers: tuple[Tensor, Tensor] | None = None
        self._filled = [0] * depth

    def extend(self, layer: int, k_BHLD: Tensor, v_BHLD: Tensor) -> KeyValue:
        if self._buffers is None:
            b, h, _, d = k_BHLD.shape
            # allocated on first use, when dtype and device of the activations are known
            size = (self._total, b, h, d)
            dtype = self._dtype or k_BHLD.dtype
            self._buffers = (k_BHLD.new_empty(size, dtype=dtype), k_BHLD.new_empty(size, dtype=dtype))
        start = (self._depth - 1 - layer) * self._kept
        end = start + self._filled[layer] + k_BHLD.shape[2]
        views = []
        for buffer_SBHD, new_BHLD in zip(self._buffers, (k_BHLD, v_BHLD), strict=True):
            new_LBHD = narrow(new_BHLD, buffer_SBHD.dtype).permute(2, 0, 1, 3)
            buffer_SBHD[start + self._filled[layer] : end] = new_LBHD
            views.append(buffer_SBHD[start:end].permute(1, 2, 0, 3))
        self._filled[layer] = end - start
        return KeyValue(views[0], views[1])
