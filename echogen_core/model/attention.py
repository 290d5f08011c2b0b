"""Softmax attention over cached keys and values.

Shape suffixes: B batch, H heads, L query tokens, S key tokens, D head width, C width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..dtypes import is_looped, saturating_cast

SCORES_AT_ONCE = 1 << 20
"""Products of queries and keys that a CPU holds at a time in bfloat16: 2 MB, for its cache."""
FEWEST_QUERIES = 32
"""At a time, for its matrix products to be worth it."""


class KeyValue(NamedTuple):
    """Keys and values to attend to, [B, H, S, D] each; B is 1 when a whole batch shares them.

    They may be stored in another type than the queries': attention casts them back.
    mask: None, or bool broadcastable to [B, H, L, S], true where attention is allowed (training only).
    """

    k_BHSD: Tensor
    v_BHSD: Tensor
    mask: Tensor | None = None

    def stored_as(self, dtype: torch.dtype | None) -> KeyValue:
        """The same in the cache's type (None: theirs), laid out head by head as attention reads them.

        FP8 needs no scale: normed keys and values fill its range.
        """
        k, v = (
            saturating_cast(each, dtype or each.dtype).contiguous() for each in (self.k_BHSD, self.v_BHSD)
        )
        return self._replace(k_BHSD=k, v_BHSD=v)


def attend(q_BHLD: Tensor, kv: KeyValue, scale: float) -> Tensor:
    """Softmax attention of queries [B, H, L, D]; the result has their shape and dtype.

    Where the batch of keys is smaller, each serves as many consecutive queries; it is not copied, those
    queries are laid end to end instead.
    """
    b, h, l, d = q_BHLD.shape  # noqa: E741
    shared = kv.k_BHSD.shape[0]
    if kv.k_BHSD.dtype != q_BHLD.dtype and shared > 1:  # one by one, for the memory of the cast ones
        each = zip(q_BHLD.chunk(shared), kv.k_BHSD.split(1), kv.v_BHSD.split(1), strict=True)
        return torch.cat([attend(q, kv._replace(k_BHSD=k, v_BHSD=v), scale) for q, k, v in each])
    k_BHSD, v_BHSD = kv.k_BHSD.to(q_BHLD.dtype), kv.v_BHSD.to(q_BHLD.dtype)
    if shared == b:
        return _softmax_attention(q_BHLD, k_BHSD, v_BHSD, kv.mask, scale)
    joined = q_BHLD.unflatten(0, (shared, -1)).transpose(1, 2).reshape(shared, h, -1, d)
    out = _softmax_attention(joined, k_BHSD, v_BHSD, kv.mask, scale)
    return out.unflatten(2, (-1, l)).transpose(1, 2).reshape(b, h, l, d)


def _softmax_attention(
    q_BHLD: Tensor, k_BHSD: Tensor, v_BHSD: Tensor, mask: Tensor | None, scale: float
) -> Tensor:
    if mask is None and _has_bf16_units(q_BHLD) and not torch.is_grad_enabled():
        at_once = SCORES_AT_ONCE // k_BHSD.shape[:3].numel()
        if at_once >= FEWEST_QUERIES:
            return _by_matrices(q_BHLD, k_BHSD, v_BHSD, scale, at_once)
    return F.scaled_dot_product_attention(q_BHLD, k_BHSD, v_BHSD, attn_mask=mask, scale=scale)


def _has_bf16_units(q_BHLD: Tensor) -> bool:
    """Whether `q` is in bfloat16 on a CPU that multiplies it."""
    return q_BHLD.device.type == "cpu" and q_BHLD.dtype == torch.bfloat16 and not is_looped(q_BHLD)


def _by_matrices(q_BHLD: Tensor, k_BHSD: Tensor, v_BHSD: Tensor, scale: float, at_once: int) -> Tensor:
    """As scaled_dot_product_attention, whose kernel for CPUs leaves their bfloat16 units idle.

    at_once: queries at a time. Scores are rounded to bfloat16, which the error of the golden logits doesn't
    show.
    """
    k_BHDS, out_BHLD = k_BHSD.transpose(-1, -2), torch.empty_like(q_BHLD)
    for q_part, out_part in zip(q_BHLD.split(at_once, 2), out_BHLD.split(at_once, 2), strict=True):
        scores = q_part @ k_BHDS if scale == 1.0 else (q_part * scale) @ k_BHDS
        out_part.copy_(scores.softmax(-1) @ v_BHSD)
    return out_BHLD


def split_heads(x_BLC: Tensor, heads: int) -> Tensor:
    """[B, L, H*D] to [B, H, L, D]."""
    return x_BLC.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x_BHLD: Tensor) -> Tensor:
    """[B, H, L, D] to [B, L, H*D]."""
    return x_BHLD.transpose(1, 2).flatten(2)
