"""Peak signal-to-noise ratio, as every stage and the evaluation report it."""

from __future__ import annotations

from torch import Tensor


def psnr(error: Tensor) -> Tensor:
    """PSNR in dB of mean squared errors of pictures in 0..1, elementwise; 100 dB at most."""
    return -10 * error.clamp_min(1e-10).log10()
