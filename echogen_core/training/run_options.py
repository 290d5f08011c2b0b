"""Trains the subject parameters of an EchoGen model beside its frozen Infinity base.

    python -m echogen_core.training --data ROWS --base infinity_2b_reg.pth --parts MODELS --out RUN

Run the same command again to resume. On several GPUs: accelerate launch -m echogen_core.training, with the
same options. RUN gets subject.safetensors (load it beside its base), state.pt (to resume), log.jsonl and
sample sheets. --dry-run prints what a run would take. docs/training.md has the details.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path

from ..config import PRESETS
from ..utils.option_checks import Unused
from ..utils.option_parser import OptionParser
from ..utils.option_types import number, output_folder, seed, whole
from . import PROGRAM
from .recipe import Recipe

_SHARE = number(0, 1)
RECIPE_OPTIONS: Mapping[str, tuple[Callable[[str], float], str]] = {
    "steps": (whole(1), "optimiser steps in total"),
    "batch": (whole(1), "pictures per process and batch"),
    "accumulate": (whole(1), "batches per step; pictures per step = batch x accumulate x processes"),
    "base_rate": (
        number(0, above=True),
        "learning rate for 256 pictures per step, scaled linearly; --dry-run prints the result",
    ),
    "slow": (number(0), "learning rate of the content path in self-attention, as a share of the others'"),
    "warmup": (whole(0), "steps until the full learning rate"),
    "weight_decay": (number(0), "weight decay of matrices"),
    "clip": (number(0, above=True), "largest gradient norm"),
    "ema": (number(0, 1, below=True), "decay of the moving average that is saved; 0 turns it off"),
    "drop": (_SHARE, "probability of dropping each of text, semantic and content"),
    "flips": (_SHARE, "largest share of bits flipped for self-correction"),
    "short": (
        _SHARE,
        "probability of cutting a model's caption to its first sentence (two if the first is short)",
    ),
    "seed": (seed, "seed of everything random"),
    "workers": (whole(0), "processes that read pictures; 0 reads in the training process"),
    "log_every": (whole(1), "steps between log records"),
    "save_every": (whole(1), "steps between saved states"),
    "pictures_every": (whole(0), "steps between sample sheets; 0 turns them off"),
}
"""Field of Recipe -> the values accepted, and the help text of its option."""

UNUSED = (
    Unused(
        "--official-init",
        lambda args: args.init_from is not None,
        "with --init-from, whose subject parameters are kept. Drop one of the two.",
    ),
)


def make_parser() -> argparse.ArgumentParser:
    """The options of `python -m echogen_core.training`.

    None of them may begin an option of torchrun or `accelerate launch`: these read a whole command line and
    take such a word for an abbreviation of their own.
    """
    parser = OptionParser(prog=PROGRAM, description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with [h_div_w]_[count].jsonl files")
    parser.add_argument("--out", type=output_folder, required=True, help="folder of this run")
    parser.add_argument(
        "--model", choices=list(PRESETS), default="echogen-2b", help="preset: sizes and encoders"
    )
    parser.add_argument("--base", type=Path, help="Infinity model that stays frozen")
    parser.add_argument(
        "--init-from", type=Path, help="EchoGen model to start from (default: new subject parameters)"
    )
    parser.add_argument("--parts", type=Path, nargs="+", help="folders with the encoders and the tokenizer")
    parser.add_argument("--images", type=Path, default=Path(), help="folder that relative paths start from")
    parser.add_argument("--cache", type=Path, help="folder for encoder features (default: no cache)")
    parser.add_argument(
        "--precision",
        type=precision,
        metavar="{fp32,bf16}",
        help="precision of the blocks' arithmetic (default: accelerate's setting)",
    )
    parser.add_argument(
        "--schedule",
        choices=["constant", "cosine"],
        default="constant",
        help="learning rate after the warm-up: constant, or half a cosine down to 0",
    )
    parser.add_argument(
        "--no-checkpointing",
        action="store_true",
        help="keep activations instead of recomputing them: a quarter less time, more memory",
    )
    parser.add_argument(
        "--official-init",
        action="store_true",
        help="initialise as the released code does, whose content path never learns",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check the data and the named files, print memory, learning rate and time, then stop",
    )
    defaults = Recipe()
    for name, (kind, text) in RECIPE_OPTIONS.items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=kind, default=getattr(defaults, name), help=text)
    return parser


def chosen_recipe(args: argparse.Namespace) -> Recipe:
    """The options as a Recipe."""
    known = {field.name for field in fields(Recipe)} & set(vars(args))
    return Recipe(**{name: getattr(args, name) for name in known}, checkpointing=not args.no_checkpointing)


def precision(text: str) -> str:
    """fp32 or bf16. ArgumentTypeError for anything else; for fp16, with the reason."""
    if text not in ("fp32", "bf16"):
        reason = ": small gradients vanish in fp16" if text == "fp16" else ""
        raise argparse.ArgumentTypeError(f"expected fp32 or bf16, got {text!r}{reason}")
    return text


def half_precision(args: argparse.Namespace) -> bool:
    """Whether blocks compute in bfloat16: --precision, or else accelerate's mixed precision.

    ValueError for fp16 and the like.
    """
    chosen = args.precision or os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if chosen not in ("fp32", "no", "bf16"):
        raise ValueError(
            f"accelerate's mixed precision must be bf16 or no, got {chosen}: small gradients vanish in fp16. "
            "Pass --precision bf16 or --precision fp32."
        )
    return bool(chosen == "bf16")
