"""The options that all measurements share."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from ..config import PRESETS
from ..dtypes import DTYPES
from .variants import Model


def add_model(parser: argparse.ArgumentParser) -> None:
    """Adds the options for the model, its device, and the segmentation."""
    parser.add_argument("--model", default="nano", choices=list(PRESETS))
    parser.add_argument(
        "--weights",
        type=Path,
        nargs="+",
        default=[],
        help="folders with the model's files, searched in order (not needed for nano)",
    )
    parser.add_argument(
        "--transformer",
        type=Path,
        help="this transformer file, whatever --weights has: subject.safetensors of a training run, say",
    )
    parser.add_argument("--gamma-t", type=float, help="guidance by the prompt (default: the model's)")
    parser.add_argument("--gamma-i", type=float, help="guidance by the subject (default: the model's)")
    parser.add_argument(
        "--detector", type=Path, help="GroundingDINO, folder or file (default: the built-in segmentation)"
    )
    parser.add_argument("--segmenter", type=Path, help="SAM, folder or file, for the detector's box")
    parser.add_argument("--device", help="cuda, mps or cpu (default: cuda if there is one)")
    parser.add_argument(
        "--dtype", choices=list(DTYPES), help="precision of the model (default: bf16 on cuda, else fp32)"
    )
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")


def chosen_model(args: argparse.Namespace, device: torch.device) -> Model:
    """The model that the options name; also sets the number of threads."""
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    dtype = args.dtype or ("bf16" if device.type == "cuda" else "fp32")
    return Model(args.model, tuple(args.weights), dtype, device, args.transformer)
