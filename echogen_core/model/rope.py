"""Two-dimensional rotary positions, normalised over scales (Infinity, arXiv:2412.04431).

Shape suffixes: B batch, H heads, L tokens, D head width, P rotary pairs (D/2).
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from ..scales import Grid, ScaleSchedule


def apply_rope(x_BHLD: Tensor, rope_2LP: Tensor) -> Tensor:
    """Rotate the interleaved pairs (2i, 2i+1) of the last axis: float32 [B, H, L, D].

    rope: cosines and sines, float32 [2, L, P].
    """
    cos_LP, sin_LP = rope_2LP
    even, odd = x_BHLD.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((even * cos_LP - odd * sin_LP, even * sin_LP + odd * cos_LP), dim=-1).flatten(-2)


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
