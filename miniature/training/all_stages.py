"""Trains a miniature from packed data within a number of minutes, on one GPU.

`python -m miniature all --packed PACKED --out RUN --minutes 9` unpacks the data and runs all stages, side by
side where it can. Run again, it goes on where it was cut off; with everything trained, it fine-tunes the
decoder. RUN/bundle has the transformer's newest average, from its first half minute on; RUN/STAGE has the
stage's log.jsonl and output.txt, RUN/summary.json seconds and steps.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, BinaryIO

from echogen_core.config import CANDIDATES
from echogen_core.training.run_folder import only_run
from echogen_core.utils.option_parser import OptionParser
from echogen_core.utils.option_types import device, number, output_folder
from echogen_core.utils.writing import write_atomically, write_text

from ..efficientnet import check_packages
from . import side_by_side
from .time_plan import DECODER_PHASE, stage_ends

logger = logging.getLogger(__name__)

BATCHES = {
    "tokenizer": ("--batch", 128),
    "semantic": ("--pairs", 128),
    "content": ("--pictures", 96),
    "transformer": ("--batch", 64),
    "decoder": ("--batch", 64),
}
"""Stage -> its option for the size of a step, and what a large GPU takes."""
BATCH_SHARES = {"nano-256": 0.5}
"""Preset -> share of these sizes; 1 for others."""

NEEDS = {
    "pack": (),
    "tokenizer": ("pack",),
    "semantic": ("pack",),
    "content": ("codes",),
    "transformer": ("tokenizer", "semantic", "content"),
    "decoder": ("transformer",),
}
"""Stage -> what has to be finished before it; "codes" are the tokenizer's, final before it ends."""

FINISHING_SECONDS, FINISHING_SHARE = 10.0, 0.1
"""Of a command's time, left for the last checkpoint and bundle; the smaller counts."""
SUMMARY_SECONDS = 5.0
"""Seconds between two summaries: whoever is cut off has had the time."""
DECODER_PICTURES = 1280
"""Pictures that the decoder's fine-tuning composes first, to learn from."""
DECODER_SHARE = 0.25
"""Share of a command's time that has to be left for the decoder's fine-tuning to begin."""


class StageFailed(ValueError):
    """A stage ended with an error."""


class Training:
    """All stages of a run in the folder `out`, with what they have had and done in it."""

    def __init__(self, options: argparse.Namespace, began: float) -> None:
        self.options, self.out = options, options.out
        self.data: Path = options.data or options.out / "data"
        self.limit = began + 60 * options.minutes
        self.seconds = 60 * options.minutes
        finishing = min(FINISHING_SECONDS, FINISHING_SHARE * self.seconds)
        self.end = self.limit - finishing
        self.stop = self.limit - min(side_by_side.STOPPING_SECONDS, finishing / 4)
        self.ends: dict[str, float] = {}
        self.running: dict[str, BaseProcess] = {}
        self.started: dict[str, float] = {}
        self.summary: dict[str, dict[str, Any]] = {}
        with suppress(FileNotFoundError):
            self.summary = json.loads((self.out / "summary.json").read_text("utf-8"))
        self.finished = {stage for stage, row in self.summary.items() if row["finished"]}
        self.spent = {stage: float(row["seconds"]) for stage, row in self.summary.items()}
        # Codes that others have been trained on may not change: what their decoder still lacks is left out.
        self.finished |= {
            stage for stage in ("tokenizer", "semantic", "content") if self.file(stage).exists()
        }
        if (self.data / "scenes" / "scenes.json").exists():  # written last
            self.finished.add("pack")
        for stage in self.finished & self.summary.keys():
            self.summary[stage]["finished"] = True

    def file(self, stage: str) -> Path:
        """The weights that an encoder's stage writes."""
        return Path(self.out / stage / f"{stage}.safetensors")

    def run(self) -> None:
        """Runs what is not finished, until the time is over. Raises StageFailed."""
        try:
            self._start()
            recorded = time.monotonic()
            while self.running and time.monotonic() < self.stop:
                sentinels = [process.sentinel for process in self.running.values()]
                connection.wait(sentinels, max(0.0, min(0.5, self.stop - time.monotonic())))
                self._collect()
                self._start()
                if time.monotonic() - recorded >= SUMMARY_SECONDS:
                    recorded = time.monotonic()
                    for stage in self.running:
                        self._record(stage, False)
            self._collect()
        finally:
            cut = sorted(self.running)
            side_by_side.stop(list(self.running.values()))
            for stage in cut:
                self._record(stage, False)
        if cut:
            logger.info("Out of time in %s: the same command goes on.", " and ".join(cut))

    def _start(self) -> None:
        """Starts every stage that has what it needs."""
        ready = self.finished | ({"codes"} if self.file("tokenizer").exists() else set())
        if "pack" in ready and not self.ends:
            now = time.monotonic()
            ends = stage_ends(max(self.end - now, 0.0), self.spent, self.finished)
            self.ends = {stage: now + seconds for stage, seconds in ends.items()}
        for stage, needs in NEEDS.items():
            if stage in self.finished or stage in self.running or not ready.issuperset(needs):
                continue
            left = self.end - time.monotonic()
            if left <= 0 or (stage == "decoder" and left < DECODER_SHARE * self.seconds):
                continue
            logger.info("%s: begins, %.0f s before the end.", stage, left)
            self.started[stage] = time.monotonic()
            output = self.out / stage / "output.txt"
            self.running[stage] = side_by_side.start(
                stage, self.arguments(stage), output, self.ends.get(stage)
            )

    def _collect(self) -> None:
        """Takes note of the stages that have ended."""
        for stage, process in list(self.running.items()):
            if process.is_alive():
                continue
            del self.running[stage]
            self._record(stage, process.exitcode == 0)
            if process.exitcode:
                said = (self.out / stage / "output.txt").read_text("utf-8", "replace").splitlines()
                raise StageFailed(
                    f"{stage} ended with exit status {process.exitcode}: {said[-1] if said else 'no word'} "
                    f"({self.out / stage / 'output.txt'} has the rest)."
                )
            self.finished.add(stage)
            if stage == "decoder":
                self._take_decoder()
            logger.info("%s: %s", stage, self.summary[stage])

    def _record(self, stage: str, finished: bool) -> None:
        """Brings the summary up to date."""
        seconds = self.spent.get(stage, 0.0) + time.monotonic() - self.started[stage]
        row: dict[str, Any] = {"seconds": round(seconds, 1), "finished": finished}
        self.summary[stage] = row | steps(self.out / stage / "log.jsonl")
        write_text(self.out / "summary.json", json.dumps(self.summary, indent=1) + "\n")

    def _take_decoder(self) -> None:
        """Puts the fine-tuned decoder into the bundle."""
        name = "tokenizer.safetensors"
        with (self.out / "decoder" / "bundle" / name).open("rb") as source:

            def copy(target: BinaryIO) -> None:
                shutil.copyfileobj(source, target)

            write_atomically(self.out / "bundle" / name, copy)

    def arguments(self, stage: str) -> list[str]:
        """A stage's own command line."""
        options = self.options
        if stage == "pack":
            return ["--data", str(self.data), "--unpack", str(options.packed)]
        name, size = BATCHES[stage]
        share = options.batch_share * BATCH_SHARES.get(options.preset, 1.0)
        given = ["--preset", options.preset, "--data", str(self.data), "--out", str(self.out / stage)]
        given += [name, str(2 * max(1, round(size * share / 2)))]
        given += ["--device", options.device] if options.device else []
        encoders = {f"--{part}": str(self.file(part)) for part in ("tokenizer", "semantic", "content")}
        if stage in ("tokenizer", "decoder"):
            given += [] if options.perceptual is None else ["--perceptual", f"{options.perceptual:g}"]
        if stage == "tokenizer":
            given += ["--workers", "1", "--decoder-phase", f"{DECODER_PHASE:.3f}"]
        elif stage == "content":
            given += ["--tokenizer", encoders["--tokenizer"]]
        elif stage == "transformer":
            given += ["--workers", "1", "--bundle", str(self.out / "bundle")]
            given += [word for option in encoders.items() for word in option]
        elif stage == "decoder":
            pictures = max(1, round(DECODER_PICTURES * options.batch_share))
            given += ["--start", str(self.out / "bundle"), "--pictures", str(pictures)]
        return given


def steps(log: Path) -> dict[str, float]:
    """Steps and steps per second of training, as the last line of a log with them has it."""
    if not log.exists():
        return {}
    for line in reversed(log.read_text("utf-8").splitlines()):
        record = json.loads(line)
        seconds = record.get("seconds", 60 * record.get("minutes", 0.0))
        if "step" in record and seconds:
            return {"steps": record["step"], "steps_per_second": round(record["step"] / seconds, 2)}
    return {}


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of this stage; returns the exit code."""
    began = time.monotonic()
    options = _parser().parse_args(argv)
    if options.perceptual != 0:
        check_packages(0, "The perceptual loss (--perceptual 0 trains without)")
    with only_run(options.out):
        side_by_side.prepare()
        training = Training(options, began)
        training.run()
    lines = [f"{name:12} {json.dumps(row)}\n" for name, row in training.summary.items()]
    whole = "transformer" in training.finished
    lines.append(f"{options.out / 'bundle'}: {'complete' if whole else 'to be continued'}\n")
    sys.stdout.write("".join(lines))
    return 0


def _parser() -> OptionParser:
    parser = OptionParser(prog="python -m miniature all", description=__doc__)
    parser.add_argument("--packed", type=Path, required=True, help="folder of parts made by `pack`")
    parser.add_argument(
        "--out", type=output_folder, required=True, help="folder of the run, which continues an earlier one"
    )
    parser.add_argument("--data", type=output_folder, help="folder to unpack to (default: `data` in --out)")
    parser.add_argument(
        "--minutes",
        type=number(0, above=True),
        default=9.0,
        help="wall-clock minutes after which this command has ended",
    )
    parser.add_argument(
        "--batch-share",
        type=number(0, above=True),
        default=1.0,
        help="share of the batch sizes of a large GPU",
    )
    parser.add_argument(
        "--perceptual",
        type=number(0),
        help="weight of the perceptual loss; 0: off (default: each stage's own)",
    )
    parser.add_argument("--preset", choices=("nano", *CANDIDATES), default="nano", help="which miniature")
    parser.add_argument("--device", type=device, help="cuda, cpu, ... (default: cuda if available)")
    return parser
