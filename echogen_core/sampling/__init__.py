"""Next-scale prediction: prefill, dual guidance, and the loop over scales."""

from .bits import Bits
from .guidance import Guidance
from .prefill import Branches, PrefillCache, RunConditions
from .sampler import SamplingSettings, ScaleStep, sample

__all__ = [
    "Bits",
    "Branches",
    "Guidance",
    "PrefillCache",
    "RunConditions",
    "SamplingSettings",
    "ScaleStep",
    "sample",
]
