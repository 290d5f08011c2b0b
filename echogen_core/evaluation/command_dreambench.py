"""Makes and scores DreamBench's pictures, then writes a page and the raw scores.

Run the same command again after a break, or with more subjects, prompts, pictures or γ: what is done stays.
Several GPUs: accelerate launch -m echogen_core.evaluation NAME ... (on several machines with one --out
on a disk that they share).

OUT gets the page (NAME.html), the scores as .parquet, and the pictures.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..checkpoints.fingerprint import weights_fingerprint
from ..utils.option_checks import refuse_unused
from ..utils.option_types import Joined, gammas, output_folder, seed, whole
from ..utils.parquet import check_parquet, write_parquet
from ..utils.printable import counted
from ..utils.processes import ProcessGroup, join_group
from ..utils.work_log import agree_on_settings
from . import latency, paper_figures, scorers
from .benchmark import Plan, Worker, run_benchmark
from .dreambench import read_dreambench
from .model_options import UNUSED, add_model, chosen_model
from .records import Record
from .reference_cut import Segmentation, load_segmentation
from .report_page import Report, write_page
from .scorers import Scorers
from .variants import ENCODER_KINDS, Loader, Swap, ablation_variants, default_variant

logger = logging.getLogger(__name__)

PUBLISHED_SIZE = (30, 25, 4)
"""Subjects, prompts and pictures of the published protocol."""


def add_parser(subparsers: Any) -> None:
    """Both commands and their options."""
    _add_command(subparsers, "dreambench", 4, "DINO, CLIP-I and CLIP-T on DreamBench")
    about = "the same with a path off, another encoder, and over a grid of γ"
    _add_ablation_options(_add_command(subparsers, "ablations", 1, about))


def _add_command(subparsers: Any, name: str, pictures: int, about: str) -> argparse.ArgumentParser:
    """A command with the options of both. pictures: how many per prompt, unless told otherwise."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name, help=about, description=(__doc__ or "").replace("NAME", name)
    )
    parser.set_defaults(run=run)
    parser.add_argument("--data", type=Path, required=True, help="DreamBench as published")
    parser.add_argument(
        "--out",
        type=output_folder,
        required=True,
        help="folder for scores, pictures and the page (several machines: one that they share)",
    )
    parser.add_argument(
        "--subjects",
        nargs="+",
        default=[],
        help="names, or a number: the first N of the list (default: all)",
    )
    parser.add_argument("--prompts", type=whole(1), help="the first N of each kind (default: all)")
    parser.add_argument("--pictures", type=whole(1), default=pictures, help="pictures per prompt")
    parser.add_argument("--seed", type=seed, default=0, help="seed of the first picture")
    parser.add_argument(
        "--dino", default=scorers.DINO, help="DINO ViT-S/16: folder, or hub id already on disk"
    )
    parser.add_argument(
        "--clip", default=scorers.CLIP, help="CLIP ViT-B/32: folder, or hub id already on disk"
    )
    add_model(parser)
    return parser


def _add_ablation_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--grid-t",
        type=gammas,
        nargs="+",
        action=Joined,
        default=[],
        help="γ_t of the grid (default: --gamma-t)",
    )
    parser.add_argument(
        "--grid-i",
        type=gammas,
        nargs="+",
        action=Joined,
        default=[0, 1, 2, 3, 4],
        help="γ_I of the grid; ranges too: 0-4, 0-4 (+0.5)",
    )
    parser.add_argument(
        "--swap",
        type=parse_swap,
        action="append",
        default=[],
        metavar="KIND=FOLDER",
        help=f"replace an encoder by another of the same sizes; KIND: {', '.join(ENCODER_KINDS)}",
    )


def parse_swap(text: str) -> Swap:
    """KIND=FOLDER. Raises ArgumentTypeError otherwise."""
    kind, _, folder = text.partition("=")
    if kind not in ENCODER_KINDS or not folder:
        raise argparse.ArgumentTypeError(
            f"expected KIND=FOLDER with a kind from {', '.join(ENCODER_KINDS)}, got {text!r}"
        )
    return Swap(kind, Path(folder))


def run(args: argparse.Namespace) -> int:
    """Do this process's share; process 0 writes the results."""
    refuse_unused(args, UNUSED)
    check_parquet("The raw scores are written as Parquet")
    group = join_group(args.device)
    loader = Loader(chosen_model(args, group.device))
    own = default_variant(args.model, args.gamma_t, args.gamma_i)
    bench = read_dreambench(args.data, args.subjects, args.prompts)
    plan = Plan(bench, (own,), args.pictures, args.seed)
    scoring = Scorers(args.dino, args.clip, group.device)
    segmentation = load_segmentation(args.detector, args.segmenter, group.device)
    settings = _check_settings(args, loader, segmentation, scoring, group)
    if args.what == "ablations":
        # every encoder is loaded before any work: the variants before its own may take hours
        swaps = [loader.identified(swap) for swap in args.swap]
        variants = ablation_variants(own, args.grid_t or [own.gamma_t], args.grid_i, swaps)
        plan = replace(plan, variants=tuple(variants))
    worker = Worker(plan, args.out, scoring, segmentation, loader)
    records = run_benchmark(plan, args.out, group, worker)
    if group.rank == 0:
        _report(args, loader.model.title, plan, records, scoring, settings)
    group.destroy()
    return 0


def _check_settings(
    args: argparse.Namespace,
    loader: Loader,
    segmentation: Segmentation,
    scoring: Scorers,
    group: ProcessGroup,
) -> dict[str, str]:
    """What the scores of a folder must have in common, in words: stored there, or compared with it."""
    model, pipeline = loader.model, loader.pipeline()
    preset, numbers = pipeline.preset, weights_fingerprint(pipeline.bundle.parts().values())
    settings = {
        "model": f"{model.title}, {model.dtype}, numbers {numbers}",
        "sampling": f"tau {preset.tau:g}, top_p {preset.top_p:g}, first seed {args.seed}",
        "reference": f"the first picture of a subject, cut out by {segmentation.name}",
        **{
            kind: f"{found.name}: {found.shape}, numbers {found.fingerprint}"
            for kind, found in scoring.backbones.items()
        },
    }
    agree_on_settings(args.out, settings, "scores", group)
    return settings


def _report(
    args: argparse.Namespace,
    name: str,
    plan: Plan,
    records: Sequence[Record],
    scoring: Scorers,
    settings: dict[str, str],
) -> None:
    prompts = len(plan.bench.object_prompts)
    size = (len(plan.bench.subjects), prompts, plan.pictures)
    about = {
        "size": "{} subjects, {} prompts each, {} pictures per prompt".format(*size),
        **settings,
        **{
            variant.swap.label: f"numbers {variant.swap.fingerprint}"
            for variant in plan.variants
            if variant.swap
        },
        "scores": "DINO, CLIP-I: mean cosine with all real pictures; CLIP-T: cosine with the prompt",
    }
    comparison, seconds = paper_figures.ABLATIONS, ""
    if args.what == "dreambench":
        comparison, (seconds, about["latency"]) = paper_figures.COMPARISON, _own_latency(args.out, name)
    report = Report(
        title=f"DreamBench: {name}" + ("" if args.what == "dreambench" else ", ablations"),
        model=name,
        settings=about,
        variants=plan.variants,
        records=records,
        subjects=plan.bench.subjects,
        folder=args.out,
        latency=seconds,
        warnings=_warnings(size, scoring),
    )
    path, raw = args.out / f"{args.what}.html", args.out / f"{args.what}.parquet"
    write_parquet(Record, records, raw)
    write_page(report, path, comparison, with_curve=args.what == "ablations")
    for variant in plan.variants:
        for kind, group in report.groups(variant).items():
            figures = ", ".join(f"{metric} {interval}" for metric, interval in group.scores.items())
            sys.stdout.write(f"{variant.label}, {kind} ({counted(group.subjects, 'subject')}): {figures}\n")
    sys.stdout.write(f"{path}\n{raw}\n")


def _warnings(size: tuple[int, int, int], scoring: Scorers) -> list[str]:
    """Why these figures must not be held against the published ones."""
    found = []
    if size != PUBLISHED_SIZE:
        found.append(
            "the protocol is {} subjects, {} prompts, {} pictures; ".format(*PUBLISHED_SIZE)
            + "this run has {}, {} and {}.".format(*size)
        )
    found += [
        f"{kind} here is {backbone.name} ({backbone.shape}), the published scores are of "
        f"{scorers.PUBLISHED_SHAPES[kind]}."
        for kind, backbone in scoring.backbones.items()
        if not backbone.published
    ]
    return found


def _own_latency(folder: Path, model: str) -> tuple[str, str]:
    """What `latency` measured for this model in the same folder: seconds, and under which conditions."""
    path = folder / latency.FILE
    if path.is_file():
        about, seconds = latency.read_measured(path)
        if about.get("model") == model:
            return f"{seconds:.2f} s", latency.conditions(about)
    return "", "not measured: run `latency` with the same --out"
