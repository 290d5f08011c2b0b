"""Measures seconds per picture, stage by stage, as the paper counts them.

Writes OUT/latency.md and OUT/latency.json; the page of `dreambench` in the same OUT shows the sum.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ..pictures import open_rgb
from ..subject.samples import FOLDER as SAMPLES
from ..utils.processes import join_group
from ..utils.writing import write_text
from . import latency
from .model_options import add_model, chosen_model
from .reference_cut import load_segmentation
from .variants import Loader, default_variant


def add_parser(subparsers: Any) -> None:
    """The command's options."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "latency",
        help="seconds per picture, stage by stage",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("--out", type=Path, required=True, help="folder for latency.md and latency.json")
    parser.add_argument("--runs", type=int, default=15, help="pictures to take the median of (default: 15)")
    parser.add_argument("--picture", type=Path, default=SAMPLES / "teddy_bear.png", help="of the subject")
    parser.add_argument("--phrase", default="teddy bear", help="what --detector looks for")
    parser.add_argument("--prompt", default="a teddy bear in a forest")
    add_model(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, write and print."""
    group = join_group(args.device)
    if group.world_size > 1:
        raise ValueError(
            f"Latency is measured in one process, got {group.world_size}: start it without a launcher."
        )
    model = chosen_model(args, group.device)
    variant = default_variant(args.model, args.gamma_t, args.gamma_i)
    case = latency.Case(open_rgb(args.picture), args.phrase, args.prompt)
    segmentation = load_segmentation(args.detector, args.segmenter, model.device)
    pipeline = Loader(model).pipeline()
    measured = latency.measure(pipeline, segmentation, case, variant, args.runs)
    about = latency.describe(model, variant, pipeline, segmentation, args.runs)
    text = latency.markdown(measured, about)
    found = json.dumps(latency.as_json(measured, about), indent=1, ensure_ascii=False)
    write_text(args.out / latency.FILE, found)
    write_text(args.out / "latency.md", text)
    sys.stdout.write(text)
    return 0
