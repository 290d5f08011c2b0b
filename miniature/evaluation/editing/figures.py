"""Figures of editing: measures of pictures, pooled over seeds, with bootstrap intervals over subjects.

Shapes: N pictures, S subjects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from echogen_core.evaluation.summary import DRAWS, Interval, bootstrap

from ..results import Gate


@dataclass(frozen=True)
class EditRow:
    """One line of a table. values: measure -> [N], for the measures that make sense for it."""

    name: str
    subjects_N: Tensor
    values: dict[str, Tensor]

    def means(self, measure: str) -> Tensor:
        """[S]: the subjects' means, in the order of their numbers."""
        values_N = self.values[measure]
        return torch.stack([values_N[self.subjects_N == s].mean() for s in self.subjects_N.unique()])

    def interval(self, measure: str) -> Interval:
        """Mean over subjects and its 95 % interval."""
        return bootstrap(self.means(measure))


@dataclass(frozen=True)
class Table:
    """Rows that answer the same questions. columns: measure -> heading."""

    title: str
    note: str
    columns: dict[str, str]
    rows: list[EditRow]

    def row(self, name: str) -> EditRow:
        """The row of that name, which must be there."""
        return next(row for row in self.rows if row.name == name)


def pooled(tables: Sequence[Table]) -> Table:
    """The same table of several seeds as one."""
    rows = []
    for same in zip(*(table.rows for table in tables), strict=True):
        values = {name: torch.cat([row.values[name] for row in same]) for name in same[0].values}
        subjects_N = torch.cat([row.subjects_N for row in same])
        rows.append(replace(same[0], subjects_N=subjects_N, values=values))
    return replace(tables[0], rows=rows)


def ratio(reached: EditRow, of: EditRow, measure: str, of_measure: str = "") -> Interval:
    """A row's mean as a share of another's, with the interval of both together (the same subjects drawn)."""
    reached_S, of_S = reached.means(measure), of.means(of_measure or measure)
    value = float(reached_S.mean() / of_S.mean().clamp_min(1e-9))
    if len(reached_S) < 2:
        return Interval(value)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(len(reached_S), (DRAWS, len(reached_S)), generator=generator)
    shares = reached_S.double()[drawn].mean(1) / of_S.double()[drawn].mean(1).clamp_min(1e-9)
    low, high = torch.quantile(shares, torch.tensor([0.025, 0.975]).double()).tolist()
    return Interval(value, low, high)


def difference(row: EditRow, other: EditRow, measure: str) -> Interval:
    """A row's mean minus another's, with the interval of the subjects' differences."""
    return bootstrap(row.means(measure) - other.means(measure))


def clearly_below(found: Interval) -> bool:
    """Whether a difference is negative with all of its interval; without one, whether it is."""
    return (found.value if found.high is None else found.high) < 0


def at_least(name: str, found: Interval, limit: float) -> Gate:
    """Whether a figure reaches a limit."""
    return Gate(f"{name} ≥ {limit:.2f}", found.value >= limit, str(found))


def at_most(name: str, found: Interval, limit: float) -> Gate:
    """Whether a figure stays within a limit."""
    return Gate(f"{name} ≤ {limit:.2f}", found.value <= limit, str(found))
