"""`python -m echogen_core.evaluation nano --data DATA --out DIR`: examines the built-in miniature.

Writes DIR/nano.md and DIR/nano.json, prints the table, returns 0 whether or not the gates pass: the figures
are the result. `--sheet FILE.png` draws the contact sheet; `--baselines` measures what needs no model.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import torch

from ..checkpoints import ASSETS, load_bundle, load_tokenizer
from . import nano, report
from .generate import Miniature, through_tokenizer
from .judge import Judge
from .protocol import OTHER_VIEW, build_task
from .sheet import contact_sheet

logger = logging.getLogger(__name__)

SHEET_SUBJECTS = (
    "Teddy bear", "Siamese cat", "Cup cake", "Snowman", "Rocking horse",
    "Tricycle", "Bench", "Fountain", "Crate", "Electric guitar",
)  # fmt: skip


def add_parser(subparsers: Any) -> None:
    """The command's options."""
    made: argparse.ArgumentParser = subparsers.add_parser(
        "nano",
        help="examine the built-in miniature",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.set_defaults(run=run)
    made.add_argument("--data", type=Path, required=True, help="folder made by the prepare stage")
    made.add_argument("--out", type=Path, required=True, help="folder for nano.md and nano.json")
    made.add_argument("--weights", type=Path, help="another bundle folder than the pack's own")
    made.add_argument("--subjects", type=int, default=60, help="the first N held-out subjects")
    made.add_argument("--prompts", type=int, default=4, help="scenes a subject is asked for")
    made.add_argument(
        "--sweep-prompts", type=int, default=2, help="the same in the sweep of γ_I; 0: no sweep"
    )
    made.add_argument("--seed", type=int, default=1000)
    made.add_argument("--threads", type=int, default=2)
    made.add_argument("--baselines", action="store_true", help="only the rows that need no model")
    made.add_argument("--tokenizer", type=Path, help="with --baselines: a tokenizer to measure beside them")
    made.add_argument("--sheet", type=Path, help="also draw the contact sheet, as this PNG")
    made.add_argument("--sheet-only", action="store_true", help="draw the sheet and stop")
    made.add_argument("--sheet-subjects", nargs="+", default=list(SHEET_SUBJECTS), help="names of its rows")


def run(args: argparse.Namespace) -> int:
    """Runs the examination."""
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    miniature = None if args.baselines else Miniature(load_bundle(args.what, args.weights))
    if args.sheet and miniature:
        args.sheet.parent.mkdir(parents=True, exist_ok=True)
        contact_sheet(args.data, miniature, args.sheet_subjects, args.seed).save(args.sheet, optimize=True)
        logger.info("Contact sheet: %s", args.sheet)
    if not args.sheet_only:
        sys.stdout.write(examine(args, miniature))
    return 0


def examine(args: argparse.Namespace, miniature: Miniature | None) -> str:
    """All rows, the sweep and the gates; writes both files and returns the Markdown."""
    began = time.monotonic()
    task = build_task(args.data, args.subjects, args.prompts, args.seed)
    short = build_task(args.data, args.subjects, max(args.sweep_prompts, 1), args.seed)
    examiner = nano.Examiner(Judge(), task, args.data, args.seed)
    rows, points, gates = nano.data_rows(examiner), [], []
    weights: list[Path] = []
    if args.baselines and args.tokenizer:
        images_N3HW = through_tokenizer(load_tokenizer(args.tokenizer), task.real(OTHER_VIEW))
        rows.append(examiner.row(nano.TOKENIZER, images_N3HW))
        weights = [args.tokenizer]
    if miniature:
        rows += nano.model_rows(examiner, miniature)
        points = nano.sweep(examiner, short, miniature) if args.sweep_prompts else []
        gates = nano.gates(rows, points, task, short)
        weights = sorted((args.weights or ASSETS / args.what).glob("*.safetensors"))
    about: dict[str, Any] = report.describe(task, args.sweep_prompts, args.seed, weights)
    if miniature:
        about["preset"] = vars(miniature.preset)
    about["minutes"] = round((time.monotonic() - began) / 60, 1)
    text = report.markdown(rows, points, gates, about)
    (args.out / "nano.md").write_text(text, encoding="utf-8")
    found = report.as_json(rows, points, gates, about)
    (args.out / "nano.json").write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")
    return text
