"""Make many pictures from a table: a row for each subject and scene.

JOBS is a CSV file with the names of the columns in its first row, a file of JSON lines, or Parquet. Columns:
reference, mask, box, phrase, prompt, negative, seeds, gamma_t, gamma_i, tau, aspect_ratio, size, name. What a
row leaves empty comes from the option of the same name. Relative paths start from the file's folder.

Run the same command again after a break: what is done stays. Several GPUs:
accelerate launch -m echogen_core batch ... (on several machines with one --out on a disk that they share).

OUT gets the pictures, their rows as pictures.parquet, and the rows that are broken as broken.jsonl.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import re
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..batch.jobs_file import Fault, FaultyCell
from ..batch.picture_log import BrokenRows, Record
from ..batch.plan import Plan, count, read_plan
from ..batch.rows import COLUMNS, Reference, size
from ..batch.run import Result, run_batch
from ..batch.worker import Worker
from ..checkpoints.fingerprint import weights_fingerprint
from ..config import PRESETS
from ..pictures import FORMATS
from ..pipeline import EchoGenPipeline
from ..scales import BUDGETS
from ..subject.cutout import Cutout
from ..subject.drawn_box import DrawnBox
from ..utils.option_checks import OptionError, Unused, refuse_unused
from ..utils.option_types import output_folder, seeds, threads, whole, words
from ..utils.parquet import has_parquet, write_parquet
from ..utils.printable import counted, printable
from ..utils.processes import is_launched, is_main_process, join_group
from ..utils.program import INPUT_ERROR
from ..utils.work_log import agree_on_settings
from . import pipeline_options, reference_options, sampling_options
from .reference_options import Finders

UNUSED = (
    Unused(
        "--mask",
        lambda args: args.reference is None,
        "without --reference, the picture it belongs to. Add --reference, or drop --mask.",
    ),
    *reference_options.unused(lambda _: True),
)
SHOWN_FAULTS = 10
"""Broken rows that are named at the end; all are in the file."""
_WRITTEN = re.compile(r"(pictures|broken)(-\d+)?\.(jsonl|parquet)")
"""Names of the files that a run writes beside the pictures, as far as a table may have them."""
_ENDINGS = {ending.removeprefix("."): ending for ending in FORMATS}


class _Files:
    """As worker.Files."""

    def __init__(self, finders: Finders) -> None:
        self._finders = finders

    def read_mask(self, path: Path) -> Tensor:
        return reference_options.read_mask(path)

    def cut(self, path: Path, mask_1HW: Tensor | None, box: DrawnBox | None, phrase: str) -> Cutout:
        picture_1CHW = reference_options.read_picture(path)
        return reference_options.cut(self._finders, picture_1CHW, mask_1HW, box, phrase)


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Adds the command and its options."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "batch", help="make many pictures from a table", description=__doc__
    )
    parser.add_argument("jobs", type=Path, metavar="JOBS", help="the table: .csv, .jsonl or .parquet")
    parser.add_argument(
        "--out",
        type=output_folder,
        required=True,
        help="folder for the pictures (several machines: one that they share)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="check the rows, count what there is to do, and draw nothing"
    )
    parser.add_argument("--prompt", type=words, help="the scene, where a row names none")
    parser.add_argument(
        "--seeds",
        type=seeds,
        default="0",
        help="seeds of each row's pictures, where it names none: 7; 1, 2, 5; 0-99",
    )
    reference_options.add_options(
        parser,
        "the subject, where a row names none: a picture, which is cut out by its transparency, its plain "
        "background or the built-in cut; or a subject file",
        "of --reference: white on the subject, to cut it out by",
    )
    sampling_options.add_options(parser)
    parser.add_argument(
        "--size", type=size, help=f"pixel budget: {', '.join(BUDGETS)} (default: the model's own)"
    )
    parser.add_argument(
        "--batch-size", type=whole(1), default=4, metavar="N", help="pictures that are drawn in one run"
    )
    parser.add_argument("--format", choices=list(_ENDINGS), default="png", help="kind of picture file")
    pipeline_options.add_options(parser)
    parser.add_argument("--threads", type=threads, help="CPU threads (default: PyTorch's choice)")
    return parser


def run(args: argparse.Namespace) -> int:
    """Do this process's share; process 0 writes the results.

    Raises ValueError or OSError for what the user can mend; a broken row only changes the exit status.
    """
    refuse_unused(args, UNUSED)
    logging.basicConfig(level=logging.INFO if is_main_process() else logging.WARNING, format="%(message)s")
    _check_place(args.jobs, args.out)
    plan = read_plan(args.jobs, _defaults(args), PRESETS[args.model], args.batch_size)
    if not plan.rows:
        _name_faults(plan.faults)
        raise ValueError(f"Expected at least one row to draw in {printable(args.jobs)}, found none.")
    references = {row.reference for row in plan.rows if row.reference}
    if not plan.faults:  # a row that is broken now may be what an option is for
        refuse_unused(args, _unused_by(references))
    if _finds_subjects(references):
        reference_options.comfyui_folders(args.comfyui)  # a wrong one is no row's fault
    if args.dry_run:
        return _dry_run(plan, references, Finders(args.comfyui, "cpu"))
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    group = join_group(args.device)
    device = str(group.device)
    pipeline = pipeline_options.load_pipeline(args, device, bool(references))
    agree_on_settings(args.out, _settings(args, pipeline, device), "pictures", group)
    worker = Worker(pipeline, _Files(Finders(args.comfyui, device)))
    result = run_batch(plan, args.out, _ENDINGS[args.format], group, worker)
    if group.rank == 0:
        _report(args.out, plan, result)
    group.destroy()
    # A launcher takes any other status for a crash, and would start all again.
    return INPUT_ERROR if result.faults and not is_launched() else 0


def _check_place(jobs: Path, out: Path) -> None:
    """Raises ValueError for a table where the run writes a file of its own."""
    if _WRITTEN.fullmatch(jobs.name) and os.path.realpath(jobs.parent) == os.path.realpath(out):
        raise ValueError(
            f"{printable(jobs)} would be overwritten: a file in --out gets that name. Rename the table, or "
            "choose another --out."
        )


def _defaults(args: argparse.Namespace) -> dict[str, Any]:
    """Column -> what rows have that leave it empty."""
    given = {name: getattr(args, name) for name in COLUMNS if name != "name"}
    for name in ("reference", "mask"):
        given[name] = given[name] and tuple(map(Path, COLUMNS[name](str(given[name]))))
    given["aspect_ratio"] = args.aspect_ratio and args.aspect_ratio.official
    return {name: value for name, value in given.items() if value is not None}


def _unused_by(references: Collection[Reference]) -> tuple[Unused, ...]:
    """Options that have no effect on rows with these references."""
    return (
        Unused(
            "--gamma-i",
            lambda _: not references,
            "without a reference: there is no subject to weigh. Add one, or drop --gamma-i.",
        ),
        *pipeline_options.unused(finds_subjects=lambda _: _finds_subjects(references)),
    )


def _finds_subjects(references: Collection[Reference]) -> bool:
    """Whether models of ComfyUI's folders may find or outline the subject of any."""
    return any(reference.phrase or reference.box for reference in references)


def _dry_run(plan: Plan, references: Collection[Reference], finders: Finders) -> int:
    """Counts, and looks for what rows name."""
    faults = sorted({*plan.faults, *_lacking(plan, references, finders)})
    counts = count(plan)
    sys.stdout.write(
        f"{counted(counts.rows + len(plan.faults), 'row')}, {len({fault.row for fault in faults})} broken\n"
        f"{counted(counts.pictures, 'picture')} in {counted(counts.batches, 'batch', 'batches')} of up to "
        f"{plan.batch_size}\n"
        f"{counted(counts.subjects, 'subject')}, {counted(counts.prompts, 'prompt')}\n"
        f"{counted(counts.prefills, 'prefill')} if each is computed once, {counts.alone:,} picture by "
        "picture\n"
    )
    _name_faults(faults)
    return INPUT_ERROR if faults else 0


def _lacking(plan: Plan, references: Collection[Reference], finders: Finders) -> Iterator[Fault]:
    """Files that rows name, each looked for once, and what would find their phrases."""
    broken = {
        reference: [
            *(FaultyCell("reference", _lost(file)) for file in reference.files if not os.path.isfile(file)),
            *(FaultyCell("mask", _lost(file)) for file in reference.masks if not os.path.isfile(file)),
            *_without_detector(reference, finders),
        ]
        for reference in references
    }
    for row in plan.rows:
        if row.reference is not None:
            yield from map(row.fault, broken[row.reference])


def _without_detector(reference: Reference, finders: Finders) -> Iterator[FaultyCell]:
    if reference.phrase:
        try:
            finders.check_detector()
        except OptionError as error:
            yield FaultyCell.of(error)


def _lost(path: Path) -> str:
    if path.is_dir():
        return f"{printable(path)} is a folder. Name a file in it."
    return f"no file at {printable(path)}."


def _settings(args: argparse.Namespace, pipeline: EchoGenPipeline, device: str) -> dict[str, str]:
    """What the pictures of a folder must have in common, in words: stored there, or compared with it."""
    numbers = weights_fingerprint(pipeline.bundle.parts().values())
    given = {
        name: ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
        for name, value in _defaults(args).items()
    }
    return {
        "model": f"{args.model}, {pipeline_options.chosen_dtype(args, device)}, numbers {numbers}",
        "jobs": f"SHA-256 {hashlib.sha256(args.jobs.read_bytes()).hexdigest()[:16]}",
        "for all rows": "; ".join(f"{name} {value}" for name, value in given.items()),
        "batch size": str(args.batch_size),
        "format": args.format,
    }


def _report(folder: Path, plan: Plan, result: Result) -> None:
    """Writes the table of the pictures, and says where everything is."""
    sys.stderr.write(f"{len(result.records):,} of {counted(plan.pictures, 'picture')} in {folder}\n")
    if has_parquet():
        table = folder / "pictures.parquet"
        write_parquet(Record, result.records, table)
        sys.stdout.write(f"{table}\n")
    else:
        sys.stderr.write("The rows are in pictures-*.jsonl alone: for Parquet, run `pip install pyarrow`.\n")
    if path := BrokenRows(folder).settle(result.faults):
        _name_faults(result.faults)
        sys.stdout.write(f"{path}\n")


def _name_faults(faults: Sequence[Fault]) -> None:
    """faults: each once, by row."""
    for fault in faults[:SHOWN_FAULTS]:
        sys.stderr.write(f"{fault}\n")
    if len(faults) > SHOWN_FAULTS:
        sys.stderr.write(f"... and {len(faults) - SHOWN_FAULTS:,} more\n")
