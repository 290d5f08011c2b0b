"""Number types: their names in options and files, and what is special about FP8."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

FP8 = torch.float8_e4m3fn
FP8_MAX = 448.0
"""Largest number of FP8; torch turns what is above into NaN."""

DTYPES: Mapping[str, torch.dtype] = {
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp8": FP8,
    "fp32": torch.float32,
}
"""Name in options -> type, in the order in which options list them."""


def saturating_cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    """`x` in `dtype`; for FP8 clamped to its range instead of overflowing to NaN."""
    return (x.clamp(-FP8_MAX, FP8_MAX) if dtype == FP8 else x).to(dtype)
