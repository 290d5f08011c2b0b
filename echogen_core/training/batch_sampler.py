"""Which rows each step trains on: a function of seed and step alone, nothing has to be saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class SampleIndex(NamedTuple):
    """One picture of a step: row number, step, and its place among all processes' pictures of the step."""

    row: int
    step: int
    place: int

    def rng(self, seed: int, purpose: int) -> np.random.Generator:
        """Random numbers of this sample alone: the same however many processes share the step."""
        return np.random.default_rng((seed, self.step, self.place, purpose))


class BucketBatchSampler:
    """Batch sampler for a DataLoader: every batch has one aspect ratio, every epoch each row at most once.

    A remainder smaller than a step is left out of its epoch. A step is `accumulate` batches of `batch_size`,
    which accelerate splits among the processes.
    """

    drop_last = True

    def __init__(
        self,
        buckets: Mapping[str, NDArray[np.int64]],
        batch_size: int,
        accumulate: int,
        seed: int,
        steps: range,
    ) -> None:
        """batch_size: pictures of all processes together. steps: the steps to yield."""
        self.buckets = dict(buckets)
        self.batch_size, self.accumulate, self.seed, self.steps = batch_size, accumulate, seed, steps
        self._epoch: tuple[int, list[NDArray[np.int64]]] | None = None

    @property
    def per_step(self) -> int:
        """Pictures per step."""
        return self.batch_size * self.accumulate

    @property
    def steps_per_epoch(self) -> int:
        """A ratio with fewer rows than a step has pictures makes one step of repeated rows."""
        return sum(max(1, len(rows) // self.per_step) for rows in self.buckets.values())

    def __len__(self) -> int:
        return len(self.steps) * self.accumulate

    def __iter__(self) -> Iterator[list[SampleIndex]]:
        for step in self.steps:
            items = [SampleIndex(int(row), step, place) for place, row in enumerate(self.rows(step))]
            for start in range(0, self.per_step, self.batch_size):
                yield items[start : start + self.batch_size]

    def rows(self, step: int) -> NDArray[np.int64]:
        """Row numbers of a step [per_step], all of one aspect ratio."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = (epoch, self._draw(epoch))
        return self._epoch[1][position]

    def _draw(self, epoch: int) -> list[NDArray[np.int64]]:
        rng = np.random.default_rng((self.seed, epoch))
        batches: list[NDArray[np.int64]] = []
        for rows in self.buckets.values():
            order = rng.permutation(rows)
            if len(order) < self.per_step:
                order = np.resize(order, self.per_step)
            count = len(order) // self.per_step
            batches += list(order[: count * self.per_step].reshape(count, self.per_step))
        return [batches[i] for i in rng.permutation(len(batches))]
