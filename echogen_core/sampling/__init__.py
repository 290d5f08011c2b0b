"""Next-scale prediction: prefill, dual guidance, and the loop over scales."""

from .bits import Bits
from .guidance import Guidance, GuidanceSchedule
from .prefill import Branches, PrefillCache, RunConditions
from .sampler import SamplingSettings, ScaleStep, sample

__all__ = [
    "Bits",
    "Branches",
    "Guidance",
    "GuidanceSchedule",
    "PrefillCache",
    "RunConditions",
    "SamplingSettings",
    "ScaleStep",
    "sample",
]
