"""Options that several measurements share."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from ..config import PRESETS
from ..dtypes import DTYPES
from .variants import Model


def add_model(parser: argparse.ArgumentParser) -> None:
    """Which model, where it computes, and how subjects are cut out."""
    parser.add_argument("--model", default="nano", choices=list(PRESETS))
    parser.add_argument(
        "--weights",
        type=Path,
        nargs="+",
        default=[],
        help="folders with its files, searched in order (nano needs none)",
    )
    parser.add_argument(
        "--transformer",
        type=Path,
        help="its very file, such as subject.safetensors of a training run; the other parts as above",
    )
    parser.add_argument("--gamma-t", type=float, help="strength of the prompt (default: the model's)")
    parser.add_argument("--gamma-i", type=float, help="strength of the subject (default: the model's)")
    parser.add_argument("--detector", type=Path, help="GroundingDINO, folder or file (default: built-in cut)")
    parser.add_argument("--segmenter", type=Path, help="SAM, folder or file, for what the detector found")
    parser.add_argument("--device", help="such as cuda, mps or cpu (default: cuda where there is one)")
    parser.add_argument(
        "--dtype", choices=list(DTYPES), help="of the model (default: bf16 on cuda, else fp32)"
    )
    parser.add_argument("--threads", type=int, help="processor threads (default: torch's choice)")


def chosen_model(args: argparse.Namespace, device: torch.device) -> Model:
    """The model of these options; sets the number of threads."""
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    dtype = args.dtype or ("bf16" if device.type == "cuda" else "fp32")
    return Model(args.model, tuple(args.weights), dtype, device, args.transformer)
