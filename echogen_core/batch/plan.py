"""What to draw, and in which batches: fixed by the jobs and the batch size alone.

Rows with the same subject, and among them those with the same prompt, stay together: features and prefills
are computed once. Pictures of one batch are drawn in one run, whose sums are rounded together, so the batches
must not depend on the number of processes, nor on what an earlier start has finished: then neither do the
pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from ..config import Preset
from ..pipeline import Settings
from ..sampling import Guidance
from .jobs_file import Fault, FaultyCell, read_jobs
from .rows import COLUMNS, Row, of_options, read_row

ROWS_PER_FOLDER = 1000
"""Of pictures: a million files in one folder are slow on most disks."""


class Job(NamedTuple):
    """One picture to draw."""

    row: Row
    seed: int

    @property
    def key(self) -> tuple[int, int]:
        """What it is found by: number of the row, and seed."""
        return self.row.number, self.seed

    def path(self, ending: str) -> str:
        """The picture's path below the output folder. ending: of its name, with the dot."""
        return f"pictures/{self.row.number // ROWS_PER_FOLDER:04}/{self.row.stem}_{self.seed}{ending}"


Batch = tuple[Job, ...]


@dataclass(frozen=True)
class Plan:
    """rows: usable ones, by subject, prompt and settings. faults: what is wrong with the others."""

    rows: tuple[Row, ...]
    faults: tuple[Fault, ...]
    batch_size: int

    @property
    def pictures(self) -> int:
        """Number of pictures."""
        return sum(len(row.seeds) for row in self.rows)

    def batches(self) -> Iterator[Batch]:
        """Pictures that are drawn in one run: near each other, with the same γ, tau and size.

        Where others come between, a picture waits for more of its own kind, but over no more pairs of subject
        and prompt than fill a batch: that many prefills are still there then.
        """
        waiting: dict[Settings, list[tuple[int, Job]]] = {}  # those that have waited longest first
        for place, (_, rows) in enumerate(groupby(self.rows, key=lambda row: row.conditions)):
            for job in (Job(row, seed) for row in rows for seed in row.seeds):
                own = waiting.setdefault(job.row.settings, [])
                own.append((place, job))
                if len(own) == self.batch_size:
                    yield _batch(waiting.pop(job.row.settings))
            while waiting and place - next(iter(waiting.values()))[0][0] >= self.batch_size - 1:
                yield _batch(waiting.pop(next(iter(waiting))))
        yield from map(_batch, waiting.values())


def _batch(waiting: Iterable[tuple[int, Job]]) -> Batch:
    return tuple(job for _, job in waiting)


def read_plan(jobs: Path, defaults: Mapping[str, Any], preset: Preset, batch_size: int) -> Plan:
    """Reads the jobs; rows that can't be used are named, and left out. Raises as `read_jobs`.

    defaults: see `read_row`.
    """
    rows: list[Row] = []
    faults: list[Fault] = []
    stems: dict[str, int] = {}
    for cells in read_jobs(jobs, list(COLUMNS)):
        if isinstance(cells, Fault):
            faults.append(cells)
            continue
        try:
            row = read_row(cells, defaults, jobs.parent, preset)
            _check_stem(row, stems)
            rows.append(row)
        except FaultyCell as error:
            faults.append(error.in_row(cells.number, of_options(cells, defaults)))
    return Plan(tuple(_together(rows)), tuple(faults), batch_size)


def _check_stem(row: Row, stems: dict[str, int]) -> None:
    """Raises FaultyCell. stems: of the rows before, in small letters -> number of the row."""
    other = stems.setdefault(row.stem.casefold(), row.number)
    if other != row.number:
        raise FaultyCell("name", f"row {other} has {row.stem!r} already, capitals aside. Choose another.")


def _together(rows: Sequence[Row]) -> list[Row]:
    """By subject, prompt and settings, in the order in which each first appears; otherwise as they are."""
    subjects: dict[Any, int] = {}
    prompts: dict[Any, int] = {}
    settings: dict[Any, int] = {}
    order = {
        row.number: (
            subjects.setdefault(row.reference, len(subjects)),
            prompts.setdefault((row.prompt, row.negative), len(prompts)),
            settings.setdefault(row.settings, len(settings)),
        )
        for row in rows
    }
    return sorted(rows, key=lambda row: order[row.number])


class Counts(NamedTuple):
    """The size of a plan. prefills: that are computed if each is kept; alone: if nothing is."""

    rows: int
    pictures: int
    batches: int
    subjects: int
    prompts: int
    prefills: int
    alone: int


def count(plan: Plan) -> Counts:
    """Without any weights: of l(Φ), one prefill is counted; there is one for each length of a prompt."""
    prefills: set[Any] = set()
    alone = 0
    for row in plan.rows:
        branches = _branches(row)
        prefills.update(branches)
        alone += len(branches) * len(row.seeds)
    return Counts(
        rows=len(plan.rows),
        pictures=plan.pictures,
        batches=sum(1 for _ in plan.batches()),
        subjects=len({row.reference for row in plan.rows if row.reference}),
        prompts=len({row.prompt for row in plan.rows}),
        prefills=len(prefills),
        alone=alone,
    )


def _branches(row: Row) -> set[tuple[Any, ...]]:
    """What tells the branches that a row's guidance needs from those of other rows."""
    gamma_t, gamma_i = row.settings.gamma_t, row.settings.gamma_i
    assert gamma_t is not None and gamma_i is not None  # see Row.settings
    weights = Guidance.constant(gamma_t, gamma_i, 1).weights(0)
    keys = (row.reference, row.prompt), (None, row.prompt), ("no prompt", row.negative)
    weighed: dict[tuple[Any, ...], float] = {}
    for key, weight in zip(keys, weights, strict=True):
        weighed[key] = weighed.get(key, 0.0) + weight
    return {key for key, weight in weighed.items() if weight}
