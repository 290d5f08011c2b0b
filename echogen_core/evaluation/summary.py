"""From scores of pictures to figures with intervals.

Shapes: S subjects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .records import Record

METRICS = ("dino", "clip_i", "clip_t")
LABELS = {"dino": "DINO", "clip_i": "CLIP-I", "clip_t": "CLIP-T"}
GROUPS: dict[str, Callable[[Record], bool]] = {
    "all": lambda record: True,
    "objects": lambda record: not record.live,
    "live": lambda record: record.live,
}
DRAWS = 10_000


class Interval(NamedTuple):
    """A mean over subjects and its 95 % bootstrap interval; a single subject has none (None)."""

    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


class Group(NamedTuple):
    """A variant's figures over a group of subjects: metric -> interval."""

    subjects: int
    pictures: int
    scores: dict[str, Interval]


def bootstrap(means_S: Tensor, draws: int = DRAWS) -> Interval:
    """Mean of the subjects' means; percentiles 2.5 and 97.5 of means of subjects drawn with replacement.

    Subjects are resampled, since the pictures of one subject aren't independent. Every run draws the same.
    """
    value = float(means_S.mean())
    if len(means_S) < 2:
        return Interval(value)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(len(means_S), (draws, len(means_S)), generator=generator)
    low, high = torch.quantile(
        means_S.double()[drawn].mean(1), torch.tensor([0.025, 0.975]).double()
    ).tolist()
    return Interval(value, low, high)


def summarise(records: Sequence[Record]) -> dict[str, Group]:
    """Kind of subject -> figures, for the pictures of one variant; kinds without a picture are left out."""
    kinds = {name: [r for r in records if belongs(r)] for name, belongs in GROUPS.items()}
    return {name: _group(members) for name, members in kinds.items() if members}


def summarise_classes(records: Sequence[Record]) -> dict[str, Group]:
    """Class word (dog, toy, ...) -> figures, for the pictures of one variant, in alphabetical order."""
    words = sorted({record.subject_class for record in records})
    return {word: _group([r for r in records if r.subject_class == word]) for word in words}


def subject_means(records: Sequence[Record], subject: str) -> dict[str, float]:
    """Metric -> mean over a subject's pictures."""
    return {metric: _mean(records, subject, metric) for metric in METRICS}


def _group(members: Sequence[Record]) -> Group:
    subjects = list(dict.fromkeys(record.subject for record in members))
    scores = {
        metric: bootstrap(torch.tensor([_mean(members, subject, metric) for subject in subjects]))
        for metric in METRICS
    }
    return Group(len(subjects), len(members), scores)


def _mean(records: Sequence[Record], subject: str, metric: str) -> float:
    values: list[float] = [getattr(record, metric) for record in records if record.subject == subject]
    return sum(values) / len(values)
