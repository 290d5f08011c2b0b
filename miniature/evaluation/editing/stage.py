"""Evaluates editing on held-out subjects: `python -m miniature editing --data DATA --out DIR`.

Four tables: a subject in a photograph, two subjects in one picture, kept layouts, negative prompts. Writes
DIR/editing.md and DIR/editing.json after every round, and prints the tables. Exits with 0 whether or not the
targets are met: the figures are the result. --sheet FILE.png draws what they are taken from.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from echogen_core.checkpoints import ASSETS, load_bundle
from echogen_core.checkpoints.conversion import file_digest
from echogen_core.config import find_preset
from echogen_core.evaluation.records import write_png
from echogen_core.training.run_folder import only_run
from echogen_core.utils.option_parser import OptionParser
from echogen_core.utils.option_types import output_folder, threads, whole
from echogen_core.utils.writing import write_text

from ...training.options import add_options, check_picture_size, find_device, seed
from ..evaluate import SEED_STEP
from ..evaluator import Evaluator
from ..judge import Judge
from ..protocol import build_task
from ..results import Gate
from . import edit_report, edit_sheet, insertion, keeping, negative, pairs
from .drawing import Draughtsman
from .figures import Table, pooled
from .half_judge import HalfJudge
from .questions import build_insertion

logger = logging.getLogger(__name__)

SHEET_SUBJECTS = ("Teddy bear", "Cup cake", "Siamese cat", "Snowman", "Rocking horse", "Tricycle")
TABLES = ("insertion", "pairs", "keeping", "negative")


def make_parser() -> argparse.ArgumentParser:
    """The command line of this stage."""
    made = OptionParser(prog="python -m miniature editing", description=__doc__)
    made.add_argument("--data", type=Path, required=True, help="folder made by the prepare stage")
    made.add_argument("--out", type=output_folder, required=True, help="folder for editing.md and .json")
    made.add_argument("--weights", type=Path, help="bundle folder (default: the one in the pack)")
    made.add_argument(
        "--subjects", type=whole(2), default=60, help="number of held-out subjects (default: 60, all)"
    )
    made.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES), help="which ones")
    made.add_argument("--seed", type=seed, default=1000, help="seed of the first round")
    made.add_argument(
        "--seeds", type=whole(1), default=3, help="rounds with different seeds, whose pictures are pooled"
    )
    add_options(made)
    made.add_argument("--threads", type=threads, default=1, help="CPU threads")
    made.add_argument("--sheet", type=Path, help="PNG file: also draw the contact sheet")
    made.add_argument(
        "--sheet-subjects", nargs="+", default=list(SHEET_SUBJECTS), help="subjects on the contact sheet"
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of this stage; returns the exit code."""
    args = make_parser().parse_args(argv)
    torch.set_num_threads(args.threads)
    with only_run(args.out):
        return run(args)


def run(args: argparse.Namespace) -> int:
    """Takes the figures and draws the sheet that were asked for; returns the exit code."""
    check_picture_size(args.data, find_preset(args.preset))
    device = find_device(args.device)
    artist = Draughtsman(load_bundle(args.preset, args.weights, device=device))
    judge = Judge(device)
    rounds: list[list[Table]] = []
    for number in range(args.seeds):
        rounds.append(evaluate_seed(args, artist, judge, args.seed + SEED_STEP * number))
        text = _write(args, rounds)
    if args.sheet:
        write_png(
            edit_sheet.contact_sheet(args.data, artist, args.sheet_subjects, args.seed), args.sheet, True
        )
    sys.stdout.write(text)
    return 0


def evaluate_seed(args: argparse.Namespace, artist: Draughtsman, judge: Judge, seed: int) -> list[Table]:
    """One seed's tables, those that were asked for."""
    data, subjects = args.data, args.subjects
    task = build_task(data, subjects, 1, seed)
    tables = []
    if "insertion" in args.tables or "pairs" in args.tables:
        halves = HalfJudge(judge, task.references_S3HW, data, seed)
        if "insertion" in args.tables:
            tables.append(insertion.insertion_table(build_insertion(data, subjects, seed), artist, halves))
        if "pairs" in args.tables:
            tables.append(pairs.pairs_table(pairs.build_pairs(data, subjects, seed), artist, halves))
    if "keeping" in args.tables or "negative" in args.tables:
        evaluator = Evaluator(judge, task, data, seed)
        if "keeping" in args.tables:
            tables.append(keeping.keeping_table(keeping.build_kept(data, subjects, seed), artist, evaluator))
        if "negative" in args.tables:
            tables.append(negative.negative_table(artist, evaluator))
    return tables


def gates(tables: Sequence[Table]) -> list[Gate]:
    """What has to be reached, of the tables that there are."""
    decided = {
        insertion.TITLE: insertion.insertion_gates,
        pairs.TITLE: pairs.pairs_gates,
        negative.TITLE: negative.negative_gates,
    }
    return [gate for table in tables if table.title in decided for gate in decided[table.title](table)]


def _write(args: argparse.Namespace, rounds: Sequence[Sequence[Table]]) -> str:
    """Writes the rounds so far, pooled; returns the Markdown."""
    tables = [pooled(same) for same in zip(*rounds, strict=True)]
    weights = sorted((args.weights or ASSETS / args.preset).glob("*.safetensors"))
    about: dict[str, Any] = {
        "subjects": len(tables[0].rows[0].subjects_N.unique()),
        "seeds": [args.seed + SEED_STEP * number for number in range(len(rounds))],
        "weights_sha256": {path.name: file_digest(path) for path in weights},
    }
    decided = gates(tables)
    text = edit_report.markdown(tables, decided, about)
    write_text(args.out / "editing.md", text)
    found = edit_report.as_json(tables, decided, about)
    write_text(args.out / "editing.json", json.dumps(found, indent=1, ensure_ascii=False))
    return text
