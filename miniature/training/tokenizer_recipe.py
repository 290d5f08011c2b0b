"""Settings of the tokenizer's and the decoder's training."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace

import torch

from echogen_core.utils.option_types import whole

from .options import add_minutes, add_options, rate, seed, weight


@dataclass(frozen=True)
class TokenizerRecipe:
    """Settings of a run, which ends after `minutes` or `steps`, whichever comes first.

    deadline: time.monotonic() at which it ends instead of after `minutes`.
    """

    minutes: float = 25.0
    deadline: float | None = None
    steps: int = 1_000_000
    batch: int = 32
    workers: int = 2  # threads that share a batch: they synchronise once a step, OpenMP's once a layer
    lr: float = 1.5e-3  # peak of AdamW; Muon follows the same schedule
    muon: float = 0.02
    decoder_lr: float = 0.4  # peak of the last phase, as a share of the first one's
    warmup: float = 0.03  # share of the run
    decoder_phase: float = 0.25  # last share of the run, with frozen codes
    quantizer_warmup: float = (
        0.1  # share of the run in which quantisation is blended in: colours are learnt sooner
    )
    weight_decay: float = 0.01
    clip: float = 1.0
    mse_weight: float = 2.0
    gradient_weight: float = 1.0
    commitment_weight: float = 0.1
    subject_weight: float = 2.0  # added to the weight of the subject's pixels, which gets bits first
    perceptual_weight: float = 0.4  # 0: not computed
    perceptual_share: float = 0.25  # share of a batch that it is computed for
    perceptual_start: float = 0.3  # share of the run before it sets in
    seed: int = 0
    eval_seconds: float = 60.0


def add_recipe_options(parser: argparse.ArgumentParser, defaults: TokenizerRecipe) -> None:
    """Adds the options of a recipe, --preset and --device."""
    add_minutes(parser, defaults.minutes, "training time in minutes")
    parser.add_argument("--lr", type=rate, default=defaults.lr, help="peak learning rate of AdamW")
    parser.add_argument(
        "--muon", type=rate, default=defaults.muon, help="peak learning rate of Muon (convolutions)"
    )
    parser.add_argument("--batch", type=whole(1), default=defaults.batch, help="pictures per step")
    parser.add_argument(
        "--perceptual",
        type=weight,
        default=defaults.perceptual_weight,
        help="weight of the perceptual loss; 0: off",
    )
    parser.add_argument("--seed", type=seed, default=defaults.seed, help="seed of everything random")
    parser.add_argument(
        "--workers", type=whole(1), default=defaults.workers, help="threads that share a batch"
    )
    add_options(parser)


def recipe_from(
    options: argparse.Namespace, defaults: TokenizerRecipe, device: torch.device
) -> TokenizerRecipe:
    """`defaults` with the options of `add_recipe_options`."""
    return replace(
        defaults,
        minutes=options.minutes,
        deadline=options.within,
        lr=options.lr,
        muon=options.muon,
        batch=options.batch,
        perceptual_weight=options.perceptual,
        workers=options.workers if device.type == "cpu" else 1,
        seed=options.seed,
    )
