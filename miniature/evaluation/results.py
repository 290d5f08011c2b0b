"""What an evaluation finds: table rows, points of the γ sweeps, and everything together.

Shapes: N pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TypeVar

import torch
from torch import Tensor

from . import metrics
from .metrics import Measure
from .places import PlaceRow

CEILING = "real, next view (ceiling)"
SAME_VIEW = "real, the reference's own view"
FAR = "real, a quarter turn away"
TOKENIZER = "real, next view, through the tokenizer"
CELLS_8 = "subject reduced to 8x8 cells"
CELLS_4 = "subject reduced to 4x4 cells"
DISC = "disc of the subject's mean colour"
TEXT_ONLY = "nano, text only (γ_I 0)"
NANO = "nano, semantic + content (preset)"
SEMANTIC = "nano, semantic only (preset)"
CONTENT = "nano, content only (preset)"

_TEXT_SWEEP = "γ_I "
"""How the conditions of a γ_t sweep begin: with the γ_I it was run at."""


class _Measured:
    """Values of pictures, [N] each, with their subjects."""

    subjects_N: Tensor

    def measure(self, values: str) -> Measure:
        """Mean over subjects of the field `values`, named without its _N."""
        return metrics.over_subjects(getattr(self, f"{values}_N"), self.subjects_N)


@dataclass(frozen=True)
class Row(_Measured):
    """One line of the table: the measures of each picture, [N] each.

    centred_N: retrieval after the scene's mean feature is subtracted. hard_negative_N: whether the picture is
    closer to its own subject than to that subject's nearest neighbour. scenes_N: scene accuracy by a linear
    probe; near_mean_N: by the nearest class mean.
    """

    name: str
    subjects_N: Tensor
    retrieved_N: Tensor
    centred_N: Tensor
    hard_negative_N: Tensor
    similarity_N: Tensor
    scenes_N: Tensor
    near_mean_N: Tensor


@dataclass(frozen=True)
class SweepPoint(_Measured):
    """Retrieval, similarity and scene of each picture at one γ, [N] each.

    conditions: "both", "semantic" or "content" in the γ_I sweep; `text_sweep_at` of the γ_I in the γ_t sweep.
    """

    conditions: str
    gamma: float
    subjects_N: Tensor
    retrieved_N: Tensor
    similarity_N: Tensor
    scenes_N: Tensor

    @property
    def of_text(self) -> bool:
        """Whether it belongs to a γ_t sweep."""
        return self.conditions.startswith(_TEXT_SWEEP)


def text_sweep_at(gamma_i: float) -> str:
    """How the conditions of a γ_t sweep at this γ_I are called."""
    return f"{_TEXT_SWEEP}{gamma_i:g}"


Answer = TypeVar("Answer", Row, SweepPoint, PlaceRow)


def merge_seeds(seeds: Sequence[Sequence[Answer]]) -> list[Answer]:
    """Rows (or points) of several seeds, in the same order each, as one that holds all their pictures."""
    merged = []
    for same in zip(*seeds, strict=True):
        names = [field.name for field in fields(same[0]) if field.name.endswith("_N")]
        values = {name: torch.cat([getattr(row, name) for row in same]) for name in names}
        merged.append(replace(same[0], **values))
    return merged


@dataclass(frozen=True)
class Gate:
    """A condition of acceptance, and the figures that decide it."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class Results:
    """All that an evaluation gives; without a model only the rows and the ceiling of the place words."""

    rows: list[Row]
    places: list[PlaceRow]
    points: list[SweepPoint] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)
    targets: list[Gate] = field(default_factory=list)
