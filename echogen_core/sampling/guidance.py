"""Dual guidance (paper equation 9): how the branches' logits are weighted, scale by scale.

l̂ = l(Φ) + γ_t·(l(text) − l(Φ)) + γ_I·(l(text, subject) − l(text)), so the branches (text and subject, text
only, neither) have the weights γ_I, γ_t − γ_I and 1 − γ_t. A branch of weight zero is not computed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

SHAPES = ("constant", "early", "late off", "linear", "cosine", "drawn")
"""How γ can change over the scales: constant; the first third only; off in the last third; linear; half a
cosine; through your own points."""


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


@dataclass(frozen=True)
class GuidanceSchedule:
    """γ over the course of a picture, for any number of scales.

    shape: one of SHAPES. gamma_t, gamma_i: start of the curves, 0 to 8. end: value of both where
    guidance is off or has decayed; at 1 only the branch with text and subject counts. points_t, points_i:
    values of the shape "drawn", evenly from the first scale to the last, straight lines between them.
    Raises ValueError for an unknown shape, or one drawn without points.
    """

    shape: str
    gamma_t: float
    gamma_i: float
    end: float = 1.0
    points_t: tuple[float, ...] = ()
    points_i: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise ValueError(f"Unknown guidance shape {self.shape!r}: choose one of {', '.join(SHAPES)}.")
        if self.shape == "drawn" and not (self.points_t and self.points_i):
            raise ValueError(
                "The guidance shape 'drawn' needs at least one point for γ_t and one for γ_I: "
                "write numbers separated by commas, or choose another shape."
            )

    def over(self, scales: int) -> Guidance:
        """γ of each of a picture's scales."""
        places = [scale / max(1, scales - 1) for scale in range(scales)]
        if self.shape == "drawn":
            curves = [tuple(_along(points, at) for at in places) for points in (self.points_t, self.points_i)]
        else:
            levels = [_level(self.shape, at) for at in places]
            # exact at both ends, so that a branch of weight zero is known as such
            curves = [
                tuple(lv * g + (1 - lv) * self.end for lv in levels) for g in (self.gamma_t, self.gamma_i)
            ]
        return Guidance(*curves)


def _level(shape: str, place: float) -> float:
    """How much of γ a shape leaves at a place from 0 (first scale) to 1 (last)."""
    levels = {
        "constant": 1.0,
        "early": float(place <= 1 / 3),
        "late off": float(place <= 2 / 3),
        "linear": 1.0 - place,
        "cosine": 0.5 * (1.0 + math.cos(math.pi * place)),
    }
    return levels[shape]


def _along(points: tuple[float, ...], place: float) -> float:
    position = place * (len(points) - 1)
    before = min(int(position), len(points) - 1)
    after = min(before + 1, len(points) - 1)
    share = position - before
    return points[before] if share == 0 else (1 - share) * points[before] + share * points[after]
