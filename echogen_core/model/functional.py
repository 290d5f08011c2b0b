"""Stateless pieces of the transformer.

Shape suffixes: B batch, H heads, L query tokens, S key tokens, D head width, P rotary pairs (D/2), C width.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..scales import Grid, ScaleSchedule

NORM_EPS = 1e-6


FP8 = torch.float8_e4m3fn
FP8_MAX = 448.0
"""Largest number of FP8; torch turns what is above into NaN."""


class KeyValue(NamedTuple):
    """Keys and values to attend to, [B, H, S, D] each; B is 1 when all rows of a group share them.

    They may be kept in another type than the queries': attention casts them back.
    mask: None, or bool broadcastable to [B, H, L, S], true where attention is allowed (training only).
    """

    k_BHSD: Tensor
    v_BHSD: Tensor
    mask: Tensor | None = None

    def kept_as(self, dtype: torch.dtype | None) -> KeyValue:
        """The same in the type that it is remembered in; None leaves it."""
        if dtype is None:
            return self
        return self._replace(k_BHSD=narrow(self.k_BHSD, dtype), v_BHSD=narrow(self.v_BHSD, dtype))


def narrow(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Cast to `dtype`; for FP8 limited to its range. No scale: normed keys and values fill that range."""
    return (x.clamp(-FP8_MAX, FP8_MAX) if dtype == FP8 else x).to(dtype)


def attend(q_BHLD: Tensor, kv: KeyValue, scale: float) -> Tensor:
    """Softmax attention, [B, H, L, D].

    Where fewer rows of keys than of queries are given, each serves as many consecutive queries; it is used in
    place, those queries fold into one row.
    """
    b, h, l, d = q_BHLD.shape  # noqa: E741
    k_BHSD, v_BHSD = kv.k_BHSD.to(q_BHLD.dtype), kv.v_BHSD.to(q_BHLD.dtype)
    shared = k_BHSD.shape[0]
    if shared == b:
        return F.scaled_dot_product_attention(q_BHLD, k_BHSD, v_BHSD, attn_mask=kv.mask, scale=scale)
    folded = q_BHLD.unflatten(0, (shared, -1)).transpose(1, 2).reshape(shared, h, -1, d)
    out = F.scaled_dot_product_attention(folded, k_BHSD, v_BHSD, attn_mask=kv.mask, scale=scale)
    return out.unflatten(2, (-1, l)).transpose(1, 2).reshape(b, h, l, d)


def split_heads(x_BLC: Tensor, heads: int) -> Tensor:
    """[B, L, H*D] to [B, H, L, D]."""
    return x_BLC.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x_BHLD: Tensor) -> Tensor:
    """[B, H, L, D] to [B, L, H*D]."""
    return x_BHLD.transpose(1, 2).flatten(2)


def modulate(x_BLC: Tensor, scale: Tensor, shift: Tensor, dtype: torch.dtype) -> Tensor:
    """AdaLN in float32: layer norm without affine, then scale and shift; the result is in `dtype`."""
    normed = F.layer_norm(x_BLC.float(), x_BLC.shape[-1:], eps=NORM_EPS)
    return normed.mul_(1 + scale).add_(shift).to(dtype)


def rms_norm(x: Tensor, weight_C: Tensor) -> Tensor:
    """Root-mean-square norm over the last axis in float32."""
    return F.rms_norm(x.float(), x.shape[-1:], weight_C.to(x.device, torch.float32), eps=NORM_EPS)


def match(parameter: Tensor, like: Tensor) -> Tensor:
    """A bare parameter on the device and in the dtype of `like`.

    ComfyUI's memory manager moves layers, not bare parameters, so these are cast where they are used.
    """
    return parameter.to(device=like.device, dtype=like.dtype)


def apply_rope(x_BHLD: Tensor, rope_2LP: Tensor) -> Tensor:
    """Rotate the interleaved pairs (2i, 2i+1) of the last axis; rope holds cosines and sines, float32."""
    cos_LP, sin_LP = rope_2LP
    even, odd = x_BHLD.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((even * cos_LP - odd * sin_LP, even * sin_LP + odd * cos_LP), dim=-1).flatten(-2)


def grid_rope(grid: Grid, rope_grid: Grid, head_width: int) -> Tensor:
    """Rotary table of one scale, [2, h*w, D/2] float32: first half of the pairs for y, second for x.

    Positions are normalised to `rope_grid` and rounded half to even, frequencies are
    10000^(-2j/(D/2)); computed in float64 because float32 tables were seen to differ between processes.
    """
    pairs = head_width // 4
    freq_J = 10000.0 ** (-2.0 * torch.arange(pairs, dtype=torch.float64) / (head_width // 2))
    axes = [
        torch.round(torch.arange(n, dtype=torch.float64) * (full / n))[:, None] * freq_J
        for n, full in zip(grid, rope_grid, strict=True)
    ]
    h, w = grid
    angle_LP = torch.cat(
        (axes[0][:, None].expand(h, w, pairs), axes[1][None].expand(h, w, pairs)), dim=-1
    ).flatten(0, 1)
    return torch.stack((angle_LP.cos(), angle_LP.sin())).float()


@lru_cache(maxsize=64)
def sequence_rope(schedule: ScaleSchedule, head_width: int, prefix: int) -> Tensor:
    """Rotary table of all scales, [2, prefix + tokens, D/2]; prefix tokens sit at the first position."""
    with torch.inference_mode(False):  # the table is kept, and training may follow inference
        tables = [grid_rope(grid, schedule.rope_grid, head_width) for grid in schedule.scales]
        return torch.cat([tables[0][:, :1].expand(-1, prefix, -1), *tables], dim=1)


def block_causal_mask(schedule: ScaleSchedule, prefix: int) -> Tensor:
    """Training mask, bool [T, T]: a token sees its own scale and the coarser ones."""
    sizes = [h * w for h, w in schedule.scales]
    sizes[0] += prefix
    level_T = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    return level_T[:, None] >= level_T[None, :]
