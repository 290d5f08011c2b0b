"""Files of every form, spoilt at random: whatever comes of them is a right result or a refusal in words.

Seeded. The same for as many files as wanted, and watched from outside: tests/tools/fuzz_files.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from file_samples import Sample, make_samples, open_all, spoil, table

QUICK, SLOW = 8, 1
"""Files of a form; those whose opening takes some time are fewer."""
LONGEST = 20.0
"""Processor seconds that any of them may take; pytest's own limit ends what stands still."""


@pytest.fixture(scope="module")
def samples(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    return make_samples(tmp_path_factory.mktemp("samples"))


def test_the_samples_themselves_are_read(samples: list[Sample]) -> None:
    for sample in samples:
        path = sample.folder if sample.whole else sample.folder / sample.spoilt
        outcome = open_all(sample, 0, path, "nothing")
        assert outcome.sort == "read", table([outcome])


def test_spoilt_files_are_read_or_refused_in_words(samples: list[Sample], tmp_path: Path) -> None:
    outcomes = []
    for number, sample in enumerate(samples):
        for turn in range(SLOW if sample.slow else QUICK):
            seed = 1000 * number + turn
            path, done = spoil(sample, seed, tmp_path / "spoilt")
            outcomes.append(open_all(sample, seed, path, done))
    shown = table(outcomes)
    assert all(outcome.good for outcome in outcomes), shown
    assert max(outcome.seconds for outcome in outcomes) < LONGEST, shown
    counts = [sum(outcome.sort == sort for outcome in outcomes) for sort in ("read", "refused")]
    assert counts[0] > 5 and counts[1] > 60, f"mutations that spoil nothing, or all, prove little\n{shown}"
