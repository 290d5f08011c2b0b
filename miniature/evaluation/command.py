"""`python -m miniature evaluate --data DATA --out DIR`: examines the built-in miniature.

Writes DIR/nano.md and DIR/nano.json, prints the table, returns 0 whether or not the gates pass: the figures
are the result. `--sheet FILE.png` draws the contact sheet, `--blind FILE.png` one for a stranger to name
subjects by; `--baselines` measures what needs no model; `--preset` and `--weights` examine another miniature,
at the size of its own data.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from echogen_core.checkpoints import ASSETS, load_bundle, load_tokenizer
from echogen_core.config import find_preset
from echogen_core.evaluation.records import write_png
from echogen_core.training.run_folder import only_run
from echogen_core.writing import write_text

from ..training.options import add_options, check_size, device_of
from . import examination, metrics, places, report
from .draw import Miniature, through_tokenizer
from .judge import Judge
from .protocol import OTHER_VIEW, build_task
from .report import Findings
from .sheet import blind_sheet, contact_sheet
from .targets import decibels, targets

logger = logging.getLogger(__name__)

Round = tuple[Findings, Tensor]
"""One seed's findings without gates, and the tokenizer's PSNR on real pictures, [N] in dB (or empty)."""

SEED_STEP = 100_000
"""Between the seeds of two rounds: pictures count on from a seed."""

SHEET_SUBJECTS = (
    "Teddy bear", "Siamese cat", "Cup cake", "Snowman", "Rocking horse",
    "Tricycle", "Bench", "Fountain", "Crate", "Electric guitar",
)  # fmt: skip


def make_parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(
        prog="python -m miniature evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--data", type=Path, required=True, help="folder made by the prepare stage")
    made.add_argument("--out", type=Path, required=True, help="folder for nano.md and nano.json")
    made.add_argument("--weights", type=Path, help="another bundle folder than the pack's own")
    made.add_argument("--subjects", type=int, default=60, help="the first N held-out subjects")
    made.add_argument("--prompts", type=int, default=4, help="scenes a subject is asked for")
    made.add_argument(
        "--sweep-prompts", type=int, default=2, help="the same in the sweep of γ_I; 0: no sweep"
    )
    made.add_argument("--seed", type=int, default=1000)
    made.add_argument("--seeds", type=int, default=1, help="so many rounds with seeds of their own, joined")
    add_options(made)
    made.add_argument("--threads", type=int, default=2)
    made.add_argument("--baselines", action="store_true", help="only the rows that need no model")
    made.add_argument("--tokenizer", type=Path, help="with --baselines: a tokenizer to measure beside them")
    made.add_argument("--sheet", type=Path, help="also draw the contact sheet, as this PNG")
    made.add_argument(
        "--blind",
        type=Path,
        help="also all held-out subjects, numbered, for somebody to name, as this PNG; the answers as .txt",
    )
    made.add_argument("--sheet-only", action="store_true", help="draw the sheet and stop")
    made.add_argument("--sheet-subjects", nargs="+", default=list(SHEET_SUBJECTS), help="names of its rows")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: runs the examination."""
    args = make_parser().parse_args(argv)
    torch.set_num_threads(args.threads)
    with only_run(args.out):
        return run(args)


def run(args: argparse.Namespace) -> int:
    """Sheets and table, as asked for."""
    check_size(args.data, find_preset(args.preset))
    device = device_of(args.device)
    bundle = None if args.baselines else load_bundle(args.preset, args.weights, device=device)
    miniature = None if bundle is None else Miniature(bundle)
    if args.sheet and miniature:
        write_png(contact_sheet(args.data, miniature, args.sheet_subjects, args.seed), args.sheet, True)
        logger.info("Contact sheet: %s", args.sheet)
    if args.blind and miniature:
        picture, names = blind_sheet(args.data, miniature, args.seed)
        write_png(picture, args.blind, True)
        numbered = "".join(f"{number} {name}\n" for number, name in enumerate(names, 1))
        write_text(args.blind.with_suffix(".txt"), numbered)
        logger.info("Sheet without names: %s; the names lie beside it.", args.blind)
    if not args.sheet_only:
        sys.stdout.write(examine(args, miniature))
    return 0


def examine(args: argparse.Namespace, miniature: Miniature | None) -> str:
    """All rows, the sweeps and the gates; writes both files after every round, returns the Markdown."""
    began = time.monotonic()
    judge = Judge(device_of(args.device))
    rounds: list[Round] = []
    text = ""
    for number in range(args.seeds):
        rounds.append(examine_seed(args, miniature, judge, args.seed + SEED_STEP * number))
        text = _write(args, miniature, rounds, time.monotonic() - began)
    return text


def _write(args: argparse.Namespace, miniature: Miniature | None, rounds: list[Round], seconds: float) -> str:
    """The rounds so far, joined."""
    seeds = [args.seed + SEED_STEP * number for number in range(len(rounds))]
    rows = examination.joined([found.rows for found, _ in rounds])
    points = examination.joined([found.points for found, _ in rounds])
    placed = examination.joined([found.places for found, _ in rounds])
    found = Findings(rows, placed, points)
    weights = [args.tokenizer] if args.baselines and args.tokenizer else []
    if miniature:
        psnr = torch.cat([psnr_N for _, psnr_N in rounds])
        quality = metrics.over_subjects(psnr, rows[0].subjects_N)
        if points:
            found = replace(
                found, gates=examination.gates(rows, points), targets=targets(rows, points, placed, quality)
            )
        weights = sorted((args.weights or ASSETS / args.preset).glob("*.safetensors"))
    task = build_task(args.data, args.subjects, args.prompts, args.seed)
    about: dict[str, Any] = report.describe(task, args.sweep_prompts, seeds, weights)
    if miniature:
        about["preset"] = vars(miniature.preset)
    about["minutes"] = round(seconds / 60, 1)
    text = report.markdown(found, about)
    write_text(args.out / "nano.md", text)
    written = report.as_json(found, about)
    write_text(args.out / "nano.json", json.dumps(written, indent=1, ensure_ascii=False))
    return text


def examine_seed(args: argparse.Namespace, miniature: Miniature | None, judge: Judge, seed: int) -> Round:
    """One seed's rows, places and sweeps."""
    task = build_task(args.data, args.subjects, args.prompts, seed)
    examiner = examination.Examiner(judge, task, args.data, seed)
    rows, points, psnr_N = examination.data_rows(examiner), [], torch.zeros(0)
    if args.baselines and args.tokenizer:
        images_N3HW = through_tokenizer(
            load_tokenizer(args.tokenizer), task.real(OTHER_VIEW), find_preset(args.preset)
        )
        rows.append(examiner.row(examination.TOKENIZER, images_N3HW))
    placed = places.place_rows(places.build_place_task(args.data, args.subjects, seed), miniature)
    if miniature:
        rows += examination.model_rows(examiner, miniature)
        real_N3HW = task.real(OTHER_VIEW)
        psnr_N = decibels(real_N3HW, miniature.through_tokenizer(real_N3HW))
        if args.sweep_prompts:
            short = build_task(args.data, args.subjects, args.sweep_prompts, seed)
            points = examination.sweep(examiner, short, miniature) + examination.text_sweep(
                examiner, short, miniature
            )
    return Findings(rows, placed, points), psnr_N
