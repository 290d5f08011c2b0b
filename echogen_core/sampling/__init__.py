"""Next-scale prediction: prefill, dual guidance, and the loop over scales."""

from .bits import Bits
from .guidance import Guidance, GuidanceSchedule
from .kept_bits import Target
from .prefill import Branches, PrefillCache, RunConditions
from .region_guidance import Region
from .sampler import SamplingSettings, ScaleStep, sample

__all__ = [
    "Bits",
    "Branches",
    "Guidance",
    "GuidanceSchedule",
    "PrefillCache",
    "Region",
    "RunConditions",
    "SamplingSettings",
    "ScaleStep",
    "Target",
    "sample",
]
