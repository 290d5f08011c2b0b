"""The options that all measurements share."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from ..config import PRESETS
from ..dtypes import DTYPES
from ..utils.option_checks import Unused
from ..utils.option_types import device, gamma, threads
from .variants import Model

UNUSED = (
    Unused(
        "--segmenter",
        lambda args: args.detector is None,
        "without --detector, which finds the box that it needs. Add --detector, or drop --segmenter.",
    ),
)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Adds the options for the model, its device, and the segmentation."""
    parser.add_argument("--model", default="nano", choices=list(PRESETS), help="model to measure")
    parser.add_argument(
        "--weights",
        type=Path,
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="folders with the model's files, searched in order (not needed for nano)",
    )
    parser.add_argument(
        "--transformer",
        type=Path,
        metavar="FILE",
        help="use this transformer instead of the model's own, e.g. subject.safetensors of a training run",
    )
    parser.add_argument("--gamma-t", type=gamma, help="prompt strength, 0 to 8 (default: the model's)")
    parser.add_argument("--gamma-i", type=gamma, help="subject strength, 0 to 8 (default: the model's)")
    parser.add_argument(
        "--detector", type=Path, help="GroundingDINO, folder or file (default: the built-in cut)"
    )
    parser.add_argument("--segmenter", type=Path, help="SAM, folder or file, for the detector's box")
    parser.add_argument("--device", type=device, help="cuda, mps, cpu, ... (default: cuda if available)")
    parser.add_argument(
        "--dtype", choices=list(DTYPES), help="precision of the model (default: bf16 on cuda, else fp32)"
    )
    parser.add_argument("--threads", type=threads, help="CPU threads (default: PyTorch's choice)")


def chosen_model(args: argparse.Namespace, device: torch.device) -> Model:
    """The model that the options name; also sets the number of threads."""
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    dtype = args.dtype or ("bf16" if device.type == "cuda" else "fp32")
    return Model(args.model, tuple(args.weights), dtype, device, args.transformer)
