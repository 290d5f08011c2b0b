"""Spoils files of every form that is read, at random, and counts what comes of opening them.

    python tests/tools/fuzz_files.py --files 2000 --seed 1

Files are opened in another process, which is watched: one that stands still is ended and counted, one that
dies as well. The table has a line a form; what was neither read nor refused in words is listed below it with
the seed that makes it again (--only FORM --again SEED). Ends with 1 if there is any such.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import sys
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from file_samples import Outcome, Sample, make_samples, open_all, spoil, table  # noqa: E402

STANDS_STILL = 30.0
"""Seconds."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="forms with this in their names")
    parser.add_argument("--again", type=int, help="this seed of a form alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        top = Path(place)
        samples = [sample for sample in make_samples(top / "samples") if options.only in sample.name]
        jobs = _jobs(samples, options.files, options.seed)
        if options.again is not None:
            jobs = [(index, options.again) for index in range(len(samples))]
        outcomes = _watched(samples, jobs, top / "spoilt")
    print(table(outcomes))
    return 0 if all(outcome.good for outcome in outcomes) else 1


def _jobs(samples: list[Sample], files: int, seed: int) -> list[tuple[int, int]]:
    """(sample, seed) of each file; slow forms come a fifth as often."""
    turns = [index for index, sample in enumerate(samples) for _ in range(1 if sample.slow else 5)]
    return [(turns[number % len(turns)], seed * 1_000_000 + number) for number in range(files)]


def _watched(samples: list[Sample], jobs: list[tuple[int, int]], place: Path) -> list[Outcome]:
    outcomes: list[Outcome] = []
    context = multiprocessing.get_context("spawn")
    while len(outcomes) < len(jobs):
        ours, theirs = context.Pipe()
        rest = jobs[len(outcomes) :]
        process = context.Process(target=_work, args=(samples_key(samples), rest, place, theirs), daemon=True)
        process.start()
        theirs.close()
        while len(outcomes) < len(jobs):
            patience = STANDS_STILL + (
                60 if ours.poll(0) is False and len(outcomes) == len(jobs) - len(rest) else 0
            )
            if not ours.poll(patience):
                sort = "stands still"
            else:
                try:
                    outcomes.append(ours.recv())
                    continue
                except EOFError:
                    sort = "the process died"
            index, seed = jobs[len(outcomes)]
            outcomes.append(Outcome(samples[index].name, seed, "?", sort))
            break
        process.kill()
        process.join()
    return outcomes


def samples_key(samples: list[Sample]) -> tuple[Path, list[str]]:
    """What another process finds the samples by."""
    return (samples[0].folder.parent if samples else Path()), [sample.name for sample in samples]


def _work(key: tuple[Path, list[str]], jobs: list[tuple[int, int]], place: Path, out: Connection) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as own:
        made = {sample.name: sample for sample in make_samples(Path(own) / "s")}
        samples = [made[name] for name in key[1]]
        for index, seed in jobs:
            path, done = spoil(samples[index], seed, place)
            out.send(open_all(samples[index], seed, path, done))


if __name__ == "__main__":
    sys.exit(main())
