"""Two-dimensional rotary positions, normalised over scales (Infinity, arXiv:2412.04431).

Shape suffixes: B batch, H heads, L tokens, D head width, P rotary pairs (D/2).
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from ..scales import Grid, ScaleSchedule

_PAIRS_OF_VECTORS = 16
"""That two vectors of 512 bits hold; the rest of a row would be rounded another way."""


def apply_rope(x_BLHD: Tensor, rope_2LP: Tensor) -> Tensor:
    """Rotate the interleaved pairs (2i, 2i+1) of the last axis: float32 [B, L, H, D].

    rope: cosines and sines, float32 [2, L, P].
    """
    cos_L1P, sin_L1P = rope_2LP[:, :, None]
    pairs_BLHP2 = x_BLHD.float().unflatten(-1, (-1, 2))
    if _as_complex(pairs_BLHP2):
        rotated_BLHP = torch.view_as_complex(pairs_BLHP2) * torch.complex(cos_L1P, sin_L1P)
        return torch.view_as_real(rotated_BLHP).flatten(-2)
    even, odd = pairs_BLHP2.unbind(-1)
    rotated = even * cos_L1P - odd * sin_L1P, even * sin_L1P + odd * cos_L1P
    return torch.stack(rotated, dim=-1).flatten(-2)


def _as_complex(pairs_BLHP2: Tensor) -> bool:
    """Whether to rotate by a complex product: ten times as fast on a CPU, and the same bits in whole vectors.

    Other devices may not know complex numbers, and torch.compile doesn't fuse them.
    """
    whole = pairs_BLHP2.shape[-2] % _PAIRS_OF_VECTORS == 0
    return pairs_BLHP2.device.type == "cpu" and whole and not torch.compiler.is_compiling()


def grid_rope(grid: Grid, rope_grid: Grid, head_width: int) -> Tensor:
    """Rotary table of one scale, float32 [2, h*w, P]: first half of the pairs for y, second for x.

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
    """Rotary table of all scales, float32 [2, prefix + tokens, P]; prefix tokens have the first position."""
    with torch.inference_mode(False):  # the table is cached, and training may follow inference
        tables = [grid_rope(grid, schedule.rope_grid, head_width) for grid in schedule.scales]
        return torch.cat([tables[0][:, :1].expand(-1, prefix, -1), *tables], dim=1)
