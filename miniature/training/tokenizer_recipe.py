"""What may be chosen of a tokenizer's or a decoder's training."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace

import torch

from .options import add_options


@dataclass(frozen=True)
class TokenizerRecipe:
    """How the tokenizer is trained. The run ends at whichever of `minutes` and `steps` comes first."""

    minutes: float = 25.0
    steps: int = 1_000_000
    batch: int = 32
    workers: int = 2  # threads that share a batch: one meeting a step, where OpenMP has one a layer
    lr: float = 1.5e-3  # of AdamW; Muon's follows the same course
    muon: float = 0.02
    decoder_lr: float = 0.4  # peak of the last phase, as a share of the first one's
    warmup: float = 0.03  # part of the run
    decoder_phase: float = 0.25  # last part of the run, codes frozen
    easing: float = 0.1  # first part of the run, in which quantisation sets in: colours are learnt sooner
    weight_decay: float = 0.01
    clip: float = 1.0
    mse_weight: float = 2.0
    gradient_weight: float = 1.0
    commitment_weight: float = 0.1
    subject_weight: float = 2.0  # added to the weight of the subject's pixels: bits are spent on it first
    perceptual_weight: float = 0.4  # 0: never computed
    perceptual_share: float = 0.25  # part of a batch that it is computed for
    perceptual_start: float = 0.3  # part of the run before it: first the pixels
    seed: int = 0
    eval_seconds: float = 60.0
    save_seconds: float = 120.0


def add_recipe(parser: argparse.ArgumentParser, defaults: TokenizerRecipe) -> None:
    """Adds what may be said of a recipe, --preset and --device."""
    parser.add_argument("--minutes", type=float, default=defaults.minutes)
    parser.add_argument("--lr", type=float, default=defaults.lr, help="peak learning rate of AdamW")
    parser.add_argument("--muon", type=float, default=defaults.muon, help="the same of Muon: convolutions")
    parser.add_argument("--batch", type=int, default=defaults.batch)
    parser.add_argument("--perceptual", type=float, default=defaults.perceptual_weight, help="weight; 0: off")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--workers", type=int, default=defaults.workers, help="threads that share a batch")
    add_options(parser)


def given_recipe(
    options: argparse.Namespace, defaults: TokenizerRecipe, device: torch.device
) -> TokenizerRecipe:
    """`defaults` with what `add_recipe` took."""
    return replace(
        defaults,
        minutes=options.minutes,
        lr=options.lr,
        muon=options.muon,
        batch=options.batch,
        perceptual_weight=options.perceptual,
        workers=options.workers if device.type == "cpu" else 1,
        seed=options.seed,
    )
