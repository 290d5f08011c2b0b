"""Softmax attention over cached keys and values.

Shape suffixes: B batch, H heads, L query tokens, S key tokens, D head width, C width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..dtypes import saturating_cast


class KeyValue(NamedTuple):
    """Keys and values to attend to, [B, H, S, D] each; B is 1 when a whole batch shares them.

    They may be stored in another type than the queries': attention casts them back.
    mask: None, or bool broadcastable to [B, H, L, S], true where attention is allowed (training only).
    """

    k_BHSD: Tensor
    v_BHSD: Tensor
    mask: Tensor | None = None

    def stored_as(self, dtype: torch.dtype | None) -> KeyValue:
        """The same in the cache's type (None: as they are).

        FP8 needs no scale: normed keys and values fill its range.
        """
        if dtype is None:
            return self
        k, v = saturating_cast(self.k_BHSD, dtype), saturating_cast(self.v_BHSD, dtype)
        return self._replace(k_BHSD=k, v_BHSD=v)


def attend(q_BHLD: Tensor, kv: KeyValue, scale: float) -> Tensor:
    """Softmax attention of queries [B, H, L, D]; the result has their shape and dtype.

    Where the batch of keys is smaller, each serves as many consecutive queries; it is not copied, those
    queries are laid end to end instead.
    """
    b, h, l, d = q_BHLD.shape  # noqa: E741
    k_BHSD, v_BHSD = kv.k_BHSD.to(q_BHLD.dtype), kv.v_BHSD.to(q_BHLD.dtype)
    shared = k_BHSD.shape[0]
    if shared == b:
        return F.scaled_dot_product_attention(q_BHLD, k_BHSD, v_BHSD, attn_mask=kv.mask, scale=scale)
    joined = q_BHLD.unflatten(0, (shared, -1)).transpose(1, 2).reshape(shared, h, -1, d)
    out = F.scaled_dot_product_attention(joined, k_BHSD, v_BHSD, attn_mask=kv.mask, scale=scale)
    return out.unflatten(2, (-1, l)).transpose(1, 2).reshape(b, h, l, d)


def split_heads(x_BLC: Tensor, heads: int) -> Tensor:
    """[B, L, H*D] to [B, H, L, D]."""
    return x_BLC.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x_BHLD: Tensor) -> Tensor:
    """[B, H, L, D] to [B, L, H*D]."""
    return x_BHLD.transpose(1, 2).flatten(2)
