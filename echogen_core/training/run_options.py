"""Trains the subject parameters of an EchoGen model beside its frozen Infinity base.

    python -m echogen_core.training --data ROWS --base infinity_2b_reg.pth --parts MODELS --out RUN

Run the same command again to resume. On several GPUs: accelerate launch -m echogen_core.training, with the
same options. RUN gets subject.safetensors (load it beside its base), state.pt (to resume), log.jsonl and
sample sheets. --dry-run prints what a run would take. docs/training.md has the details.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import fields
from pathlib import Path

from ..config import PRESETS
from . import PROGRAM
from .recipe import Recipe

HELP = {
    "steps": "optimiser steps in total",
    "batch": "pictures per process and batch",
    "accumulate": "batches per step; pictures per step = batch x accumulate x processes",
    "base_rate": "learning rate for 256 pictures per step, scaled linearly; --dry-run prints the result",
    "slow": "learning rate of the content path in self-attention, as a share of the others'",
    "warmup": "steps until the full learning rate",
    "weight_decay": "of matrices",
    "clip": "largest gradient norm",
    "ema": "decay of the moving average that is saved; 0 turns it off",
    "drop": "probability of dropping each of text, semantic and content",
    "flips": "largest share of bits flipped for self-correction",
    "short": "probability of cutting a model's caption to its first sentence (two if the first is short)",
    "seed": "for everything random",
    "workers": "processes that read pictures; 0 reads in the training process",
    "log_every": "steps between log records",
    "save_every": "steps between saved states",
    "pictures_every": "steps between sample sheets; 0 turns them off",
}

AT_LEAST = {
    1: ("steps", "batch", "accumulate", "log_every", "save_every"),
    0: ("warmup", "workers", "pictures_every", "base_rate", "slow", "weight_decay"),
}
"""Smallest value -> options."""
SHARES = ("drop", "flips", "short", "ema")
"""Options from 0 to 1."""


def make_parser() -> argparse.ArgumentParser:
    """The options of `python -m echogen_core.training`.

    None of them may begin an option of torchrun or `accelerate launch`: these read a whole command line and
    take such a word for an abbreviation of their own.
    """
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with [h_div_w]_[count].jsonl files")
    parser.add_argument("--out", type=Path, required=True, help="folder of this run")
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
    parser.add_argument("--precision", choices=["fp32", "bf16"], help="default: accelerate's setting")
    parser.add_argument("--schedule", choices=["constant", "cosine"], default="constant")
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
        "--dry-run", action="store_true", help="print data faults, memory, learning rate and time, then stop"
    )
    defaults = Recipe()
    for name, text in HELP.items():
        value = getattr(defaults, name)
        parser.add_argument(_option(name), type=type(value), default=value, help=f"{text} (default {value})")
    return parser


def chosen_recipe(args: argparse.Namespace) -> Recipe:
    """The options as a Recipe. ValueError names every option that is out of range."""
    known = {field.name for field in fields(Recipe)} & set(vars(args))
    recipe = Recipe(**{name: getattr(args, name) for name in known}, checkpointing=not args.no_checkpointing)
    wrong = [
        (name, f"of at least {least}")
        for least, names in AT_LEAST.items()
        for name in names
        if not getattr(recipe, name) >= least
    ]
    wrong += [(name, "between 0 and 1") for name in SHARES if not 0 <= getattr(recipe, name) <= 1]
    wrong += [] if recipe.clip > 0 else [("clip", "above 0")]
    if wrong:
        named = (f"{_option(name)} {allowed} (got {getattr(recipe, name)})" for name, allowed in wrong)
        raise ValueError(f"expected {', '.join(named)}.")
    return recipe


def half_precision(args: argparse.Namespace) -> bool:
    """Whether blocks compute in bfloat16: --precision, or else accelerate's mixed precision.

    ValueError for fp16 and the like.
    """
    precision = args.precision or os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if precision not in ("fp32", "no", "bf16"):
        raise ValueError(f"expected bf16 or no mixed precision, got {precision}: fp16 loses small gradients.")
    return bool(precision == "bf16")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
