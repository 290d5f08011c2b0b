"""Many pictures by `batch`: `python benchmarks/batch.py [--rows 2000] [--out FOLDER]`.

Nano draws the rows of one table, in a random order: 20 subjects (the packaged samples in other colours) in 20
scenes, with several seeds. First what reuse saves, in this process: picture by picture with nothing kept, as
separate runs of `generate` would draw them; then by the worker of `batch`. After that the whole table, by one
process, and by two of torchrun that are killed three times (SIGKILL) on the way: the pictures must be the
same, bit for bit. Rates count from the first picture on; processor seconds include loading. Linux and macOS.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from echogen_core.batch.plan import Plan, read_plan
from echogen_core.batch.worker import Worker
from echogen_core.commands.reference_options import Finders, cut, read_mask, read_picture
from echogen_core.config import PRESETS
from echogen_core.pipeline import EchoGenPipeline
from echogen_core.subject.cutout import Cutout
from echogen_core.subject.samples import FOLDER as SAMPLES

ROOT = Path(__file__).resolve().parents[1]
SUBJECTS, SCENES = 20, 20
KILLED_AT = (0.1, 0.25, 0.4)
"""Shares of the pictures."""
PLACES = ("forest", "kitchen", "desert", "library", "street", "garden", "cave", "bedroom", "field", "museum")
MINUTES_WITHOUT_PICTURES = 10
LOG = "pictures-*.jsonl"


def write_table(folder: Path, rows: int) -> Path:
    """The jobs, and the pictures that they name."""
    names = []
    for number in range(SUBJECTS):
        samples = sorted(SAMPLES.glob("*.png"))
        picture = Image.open(samples[number % len(samples)]).convert("RGBA")
        *colours, alpha = picture.split()
        turned = [colours[(band + number // len(samples)) % 3] for band in range(3)]
        names.append(f"subject_{number:02}.png")
        Image.merge("RGBA", (*turned, alpha)).save(folder / names[-1])
    scenes = [f"the subject in a {place}{time}" for place in PLACES for time in ("", " at night")][:SCENES]
    table = [
        (names[number % SUBJECTS], scenes[number // SUBJECTS % SCENES], number // (SUBJECTS * SCENES))
        for number in range(rows)
    ]
    random.Random(0).shuffle(table)
    path = folder / "jobs.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("reference", "prompt", "seeds"), *table])
    return path


# --- what reuse saves


def measure_reuse(jobs: Path, pictures: int) -> dict[str, float]:
    """Way -> processor seconds per picture, each after one picture that warms up."""
    pipeline, finders = EchoGenPipeline.from_bundle("nano"), Finders(None, "cpu")

    class Files:
        read_mask = staticmethod(read_mask)

        def cut(self, path: Path, *where: Any) -> Cutout:
            return cut(finders, read_picture(path), *where)

    def alone(plan: Plan) -> int:
        rows = plan.rows[:pictures]
        for row in rows:
            fresh = EchoGenPipeline(pipeline.bundle)
            assert row.reference is not None
            made = Files().cut(row.reference.files[0], None, None, "")
            encoded = fresh.encode_reference(made.images_B3SS)
            fresh.generate(fresh.branches(row.prompt, encoded, row.settings), row.seeds, row.settings)
        return len(rows)

    def together(plan: Plan) -> int:
        worker, drawn = Worker(EchoGenPipeline(pipeline.bundle), Files()), 0
        for batch in plan.batches():
            if drawn < pictures:
                drawn += len(worker.draw(batch, ()).pictures)
        return drawn

    ways: dict[str, tuple[Callable[[Plan], int], int]] = {
        "each picture alone": (alone, 1),
        "batch, 1 a run": (together, 1),
        "batch, 4 a run": (together, 4),
        "batch, 16 a run": (together, 16),
    }
    plans = {size: read_plan(jobs, {}, PRESETS["nano"], size) for size in (1, 4, 16)}
    alone(Plan(plans[1].rows[:1], (), 1))
    found = {}
    for way, (draw, size) in ways.items():
        began = time.process_time()
        found[way] = -began
        drawn = draw(plans[size])
        found[way] = (time.process_time() - began) / drawn
    return found


# --- the whole table


class Rate(NamedTuple):
    """pictures and seconds: between the first and the last; processor: seconds, loading included."""

    pictures: int
    seconds: float
    processor: float
    made: int

    def __str__(self) -> str:
        return f"{self.pictures / self.seconds:8.2f}{self.processor / self.made:22.2f}"


def run(command: Sequence[str], out: Path, until: int | None) -> Rate:
    """Runs a command; with `until`, kills it and all of its processes when so many pictures are recorded."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    before, used = recorded(out), _processor_seconds()
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    first: tuple[int, float] | None = None
    last = (before, time.monotonic())
    while process.poll() is None:
        count, now = recorded(out), time.monotonic()
        if count > last[0]:
            last = (count, now)
            first = first or last
        if until is not None and count >= until:
            kill(process)
        assert now - last[1] < 60 * MINUTES_WITHOUT_PICTURES, f"stuck at {count} pictures"
        time.sleep(0.05)
    assert until is not None or process.returncode == 0, f"exit status {process.returncode}"
    assert first is not None
    used = _processor_seconds() - used
    return Rate(last[0] - first[0], max(last[1] - first[1], 1e-9), used, last[0] - before)


def recorded(out: Path) -> int:
    """Pictures in the logs."""
    return sum(path.read_bytes().count(b"\n") for path in out.glob(LOG))


def kill(process: subprocess.Popen[bytes]) -> None:
    """With those that it has started: the launcher would stop them politely."""
    family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for member in family:
        member.kill()
    process.wait()
    psutil.wait_procs(family)


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def contents(out: Path) -> dict[str, bytes]:
    """Every picture."""
    return {path.name: path.read_bytes() for path in (out / "pictures").rglob("*.png")}


def measure_table(jobs: Path, folder: Path, rows: int) -> None:
    """Prints both rates, and whether the pictures are the same."""
    words: list[Any] = ["-m", "echogen_core", "batch", str(jobs), "--device", "cpu", "--out"]
    alone, shared = folder / "one", folder / "two"
    one = run([sys.executable, *words, str(alone)], alone, None)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for share in KILLED_AT:
        run([*launcher, *words, str(shared)], shared, round(share * rows))
        print(f"killed at {recorded(shared)} of {rows} pictures", flush=True)
    two = run([*launcher, *words, str(shared)], shared, None)
    print(f"{'':24}{'a second':>8}{'processor s, each':>22}")
    print(f"{'one process':24}{one}\n{'two, after three kills':24}{two}")
    pictures = contents(alone)
    assert len(pictures) == rows and recorded(shared) == rows, "a picture is missing, or was recorded twice"
    print(f"the same {rows} pictures, bit for bit: {pictures == contents(shared)}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--sample", type=int, default=64, help="pictures to measure the reuse with")
    parser.add_argument("--out", type=Path, help="folder to keep (default: none is kept)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        jobs = write_table(folder, args.rows)
        seconds = measure_reuse(jobs, min(args.sample, args.rows))
        print(f"nano, torch {torch.__version__}, one thread a process; processor seconds per picture")
        for way, each in seconds.items():
            print(f"{way:24}{each:8.3f}{each / seconds['each picture alone']:8.2f}", flush=True)
        measure_table(jobs, folder, args.rows)


if __name__ == "__main__":
    main()
