"""Number types: their names in options and files, and what is special about FP8."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

FP8 = torch.float8_e4m3fn
FP8_MAX = 448.0
"""Largest number of FP8; torch turns what is above into NaN."""
HALVES = torch.bfloat16, torch.float16

DTYPES: Mapping[str, torch.dtype] = {
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp8": FP8,
    "fp32": torch.float32,
}
"""Name in options -> type, in the order in which options list them."""


def _looped() -> frozenset[torch.dtype]:
    if not torch.backends.mkldnn.is_available():
        return frozenset(HALVES)
    kernels = {
        torch.bfloat16: torch.ops.mkldnn._is_mkldnn_bf16_supported,
        torch.float16: torch.ops.mkldnn._is_mkldnn_fp16_supported,
    }
    return frozenset(dtype for dtype, supported in kernels.items() if not supported())


LOOPED = _looped()
"""Half types that PyTorch multiplies in plain loops on this machine's processor, as oneDNN has no kernels for
them there: many times slower than float32."""


def is_looped(x: Tensor) -> bool:
    """Whether products with `x` are better made in float32 and rounded."""
    return x.device.type == "cpu" and x.dtype in LOOPED


def saturating_cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    """`x` in `dtype`; for FP8 clamped to its range instead of overflowing to NaN."""
    return (x.clamp(-FP8_MAX, FP8_MAX) if dtype == FP8 else x).to(dtype)
