"""Evaluates the miniature on its held-out subjects: `python -m miniature evaluate --data DATA --out DIR`.

Writes DIR/nano.md and DIR/nano.json and prints the tables. Exits with 0 whether or not the gates pass: the
figures are the result. --sheet FILE.png adds a contact sheet, --blind FILE.png one without references or
names, to have the subjects named by somebody who has not seen them. --baselines measures only what needs no
transformer. --preset and --weights choose another miniature.
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
from echogen_core.utils.option_checks import Unused, refuse_unused
from echogen_core.utils.option_parser import OptionParser
from echogen_core.utils.option_types import output_folder, threads, whole
from echogen_core.utils.writing import write_text

from ..psnr import psnr
from ..training.options import add_options, check_picture_size, find_device, seed
from . import metrics, places, report
from .evaluator import Evaluator, data_rows, model_rows, sweep, text_sweep
from .gates import gates, targets
from .generation import Miniature, through_tokenizer
from .judge import Judge
from .protocol import OTHER_VIEW, build_task
from .results import TOKENIZER, Results, merge_seeds
from .sheet import blind_sheet, contact_sheet

logger = logging.getLogger(__name__)

Round = tuple[Results, Tensor]
"""One seed's results without gates, and the tokenizer's PSNR on real pictures, [N] in dB (or empty)."""

SEED_STEP = 100_000
"""Between the seeds of two rounds: pictures of a round take consecutive seeds."""

SHEET_SUBJECTS = (
    "Teddy bear", "Siamese cat", "Cup cake", "Snowman", "Rocking horse",
    "Tricycle", "Bench", "Fountain", "Crate", "Electric guitar",
)  # fmt: skip

UNUSED = (
    *(
        Unused(
            option,
            lambda args: args.baselines,
            "with --baselines, which needs no transformer. Drop one of the two.",
        )
        for option in ("--weights", "--sheet", "--blind", "--sheet-only", "--sweep-prompts")
    ),
    Unused(
        "--tokenizer",
        lambda args: not args.baselines,
        "without --baselines: a bundle (--weights) has its own. Add --baselines, or drop --tokenizer.",
    ),
    Unused(
        "--sheet-only",
        lambda args: not (args.sheet or args.blind),
        "without the file of a sheet. Add --sheet or --blind.",
    ),
    *(
        Unused(option, lambda args: args.sheet_only, "with --sheet-only, which measures nothing. Drop one.")
        for option in ("--subjects", "--prompts", "--sweep-prompts", "--seeds")
    ),
    Unused(
        "--sheet-subjects",
        lambda args: args.sheet is None,
        "without --sheet. Add it, or drop --sheet-subjects.",
    ),
)
"""Options that would be ignored."""


def make_parser() -> argparse.ArgumentParser:
    """The command line of this stage."""
    made = OptionParser(prog="python -m miniature evaluate", description=__doc__)
    made.add_argument("--data", type=Path, required=True, help="folder made by the prepare stage")
    made.add_argument("--out", type=output_folder, required=True, help="folder for nano.md and nano.json")
    made.add_argument("--weights", type=Path, help="bundle folder (default: the one in the pack)")
    made.add_argument(
        "--subjects", type=whole(1), default=60, help="number of held-out subjects (default: 60, all)"
    )
    made.add_argument("--prompts", type=whole(1), default=4, help="prompts per subject")
    made.add_argument(
        "--sweep-prompts",
        type=whole(0),
        default=2,
        help="prompts per subject in the γ sweeps; 0: no sweeps",
    )
    made.add_argument("--seed", type=seed, default=1000, help="seed of the first round")
    made.add_argument(
        "--seeds", type=whole(1), default=1, help="rounds with different seeds, whose pictures are pooled"
    )
    add_options(made)
    made.add_argument("--threads", type=threads, default=2, help="CPU threads")
    made.add_argument("--baselines", action="store_true", help="measure only what needs no transformer")
    made.add_argument("--tokenizer", type=Path, help="with --baselines: also measure this tokenizer file")
    made.add_argument("--sheet", type=Path, help="PNG file: also draw the contact sheet")
    made.add_argument(
        "--blind",
        type=Path,
        help="PNG file: also draw all held-out subjects, numbered, with their names in a .txt",
    )
    made.add_argument("--sheet-only", action="store_true", help="draw the sheets and stop")
    made.add_argument(
        "--sheet-subjects", nargs="+", default=list(SHEET_SUBJECTS), help="subjects on the contact sheet"
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of this stage; returns the exit code."""
    parser = make_parser()
    args = parser.parse_args(argv)
    refuse_unused(args, UNUSED, parser)
    torch.set_num_threads(args.threads)
    with only_run(args.out):
        return run(args)


def run(args: argparse.Namespace) -> int:
    """Draws the sheets and writes the tables that were asked for; returns the exit code."""
    check_picture_size(args.data, find_preset(args.preset))
    device = find_device(args.device)
    bundle = None if args.baselines else load_bundle(args.preset, args.weights, device=device)
    miniature = None if bundle is None else Miniature(bundle)
    if args.sheet and miniature:
        write_png(contact_sheet(args.data, miniature, args.sheet_subjects, args.seed), args.sheet, True)
        logger.info("Contact sheet written to %s.", args.sheet)
    if args.blind and miniature:
        picture, names = blind_sheet(args.data, miniature, args.seed)
        write_png(picture, args.blind, True)
        numbered = "".join(f"{number} {name}\n" for number, name in enumerate(names, 1))
        write_text(args.blind.with_suffix(".txt"), numbered)
        logger.info("Sheet without names written to %s, with the answers beside it.", args.blind)
    if not args.sheet_only:
        sys.stdout.write(evaluate(args, miniature))
    return 0


def evaluate(args: argparse.Namespace, miniature: Miniature | None) -> str:
    """Rows, sweeps and gates; writes both files after every round and returns the Markdown."""
    began = time.monotonic()
    judge = Judge(find_device(args.device))
    rounds: list[Round] = []
    text = ""
    for number in range(args.seeds):
        rounds.append(evaluate_seed(args, miniature, judge, args.seed + SEED_STEP * number))
        text = _write(args, miniature, rounds, time.monotonic() - began)
    return text


def _write(args: argparse.Namespace, miniature: Miniature | None, rounds: list[Round], seconds: float) -> str:
    """Writes the rounds so far, pooled; returns the Markdown."""
    seeds = [args.seed + SEED_STEP * number for number in range(len(rounds))]
    rows = merge_seeds([found.rows for found, _ in rounds])
    points = merge_seeds([found.points for found, _ in rounds])
    placed = merge_seeds([found.places for found, _ in rounds])
    found = Results(rows, placed, points)
    weights = [args.tokenizer] if args.baselines and args.tokenizer else []
    if miniature:
        quality = metrics.over_subjects(torch.cat([psnr_N for _, psnr_N in rounds]), rows[0].subjects_N)
        if points:
            found = replace(found, gates=gates(rows, points), targets=targets(rows, points, placed, quality))
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


def evaluate_seed(args: argparse.Namespace, miniature: Miniature | None, judge: Judge, seed: int) -> Round:
    """One seed's rows, place words and sweeps."""
    task = build_task(args.data, args.subjects, args.prompts, seed)
    evaluator = Evaluator(judge, task, args.data, seed)
    rows, points, psnr_N = data_rows(evaluator), [], torch.zeros(0)
    if args.baselines and args.tokenizer:
        images_N3HW = through_tokenizer(
            load_tokenizer(args.tokenizer), task.real(OTHER_VIEW), find_preset(args.preset)
        )
        rows.append(evaluator.row(TOKENIZER, images_N3HW))
    placed = places.place_rows(places.build_place_task(args.data, args.subjects, seed), miniature)
    if miniature:
        rows += model_rows(evaluator, miniature)
        real_N3HW = task.real(OTHER_VIEW)
        psnr_N = psnr((real_N3HW - miniature.through_tokenizer(real_N3HW)).square().mean((1, 2, 3)))
        if args.sweep_prompts:
            short = build_task(args.data, args.subjects, args.sweep_prompts, seed)
            points = sweep(evaluator, short, miniature) + text_sweep(evaluator, short, miniature)
    return Results(rows, placed, points), psnr_N
