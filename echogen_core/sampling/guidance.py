"""Dual guidance (paper equation 9): how the branches' logits are weighed, scale by scale.

l̂ = l(Φ) + γ_t·(l(text) − l(Φ)) + γ_I·(l(text, subject) − l(text)), so the branches (text and subject, text
only, neither) weigh γ_I, γ_t − γ_I and 1 − γ_t. A branch of weight zero need not be computed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Guidance:
    """γ_t (prompt) and γ_I (subject) of every scale, coarse to fine; finite, 0 to 8 in practice."""

    gamma_t: tuple[float, ...]
    gamma_i: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.gamma_t or len(self.gamma_t) != len(self.gamma_i):
            raise ValueError(
                f"Guidance needs one gamma_t and one gamma_I for every scale, "
                f"got {len(self.gamma_t)} and {len(self.gamma_i)}."
            )
        if not all(map(math.isfinite, (*self.gamma_t, *self.gamma_i))):
            raise ValueError(
                "Guidance weights must be finite numbers; set gamma_t and gamma_I between 0 and 8."
            )

    @classmethod
    def constant(cls, gamma_t: float, gamma_i: float, scales: int) -> Guidance:
        """The same weights at every scale (official behaviour)."""
        return cls((gamma_t,) * scales, (gamma_i,) * scales)

    def weights(self, scale: int) -> tuple[float, float, float]:
        """Weights of the branches (text and subject, text only, neither) at a scale; they sum to 1."""
        gamma_t, gamma_i = self.gamma_t[scale], self.gamma_i[scale]
        return gamma_i, gamma_t - gamma_i, 1.0 - gamma_t
