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
from ..utils.option_checks import Unused, refuse_unused
from ..utils.option_types import output_folder, whole, words
from ..utils.processes import join_group
from ..utils.writing import write_text
from . import latency, model_options
from .model_options import add_model, chosen_model
from .reference_cut import load_segmentation
from .variants import Loader, default_variant

PHRASE = "teddy bear"
"""What the detector looks for in the built-in picture."""

UNUSED = (
    *model_options.UNUSED,
    Unused(
        "--phrase",
        lambda args: args.detector is None,
        "without --detector: the built-in cut needs no words. Add --detector, or drop --phrase.",
    ),
)


def add_parser(subparsers: Any) -> None:
    """The command's options."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "latency", help="seconds per picture, stage by stage", description=__doc__
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "--out", type=output_folder, required=True, help="folder for latency.md and latency.json"
    )
    parser.add_argument("--runs", type=whole(1), default=15, help="pictures to take the median of")
    parser.add_argument(
        "--picture",
        type=Path,
        default=SAMPLES / "teddy_bear.png",
        help="picture of the subject (default: the pack's teddy bear)",
    )
    parser.add_argument("--phrase", type=words, help=f"what --detector looks for (default: {PHRASE})")
    parser.add_argument("--prompt", type=words, default="a teddy bear in a forest", help="the scene")
    add_model(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, write and print."""
    refuse_unused(args, UNUSED)
    group = join_group(args.device)
    if group.world_size > 1:
        raise ValueError(
            f"Latency is measured in one process, got {group.world_size}: start it without a launcher."
        )
    model = chosen_model(args, group.device)
    variant = default_variant(args.model, args.gamma_t, args.gamma_i)
    case = latency.Case(open_rgb(args.picture), args.phrase or PHRASE, args.prompt)
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
