"""Next-scale prediction: prefill, dual guidance, and the loop over scales."""

from .bits import Bits
from .guidance import Guidance
from .prefill import Branches, PrefillCache
from .sampler import SamplingSettings, ScaleStep, sample

__all__ = ["Bits", "Branches", "Guidance", "PrefillCache", "SamplingSettings", "ScaleStep", "sample"]
