"""The settings of a run, and the learning rates that follow from them."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Settings of a run. Defaults are the official training script's, where it has the setting.

    steps: of the optimiser. batch: pictures per process. accumulate: batches per step.
    base_rate: learning rate for 256 pictures per step. slow: the content path's rate in self-attention, as a
    share of the others'. schedule: "constant", or "cosine" (to zero), after `warmup` steps.
    ema: decay of the moving average, 0 for none. drop, flips: see BatchEncoder. short: see vary_caption.
    """

    steps: int = 10_000
    batch: int = 4
    accumulate: int = 1
    base_rate: float = 6e-5
    slow: float = 0.1
    schedule: str = "constant"
    warmup: int = 0
    weight_decay: float = 0.005
    clip: float = 5.0
    ema: float = 0.9999
    drop: float = 0.1
    flips: float = 0.3
    short: float = 0.5
    seed: int = 0
    checkpointing: bool = True
    workers: int = 4
    log_every: int = 10
    save_every: int = 500
    pictures_every: int = 500


FIXED = ("seed", "drop", "flips", "short")
"""Settings that a resumed run must share (and the pictures per step): the random draws depend on them."""


def peak_rate(recipe: Recipe, per_step: int) -> float:
    """Learning rate after the warm-up: `base_rate` scaled linearly from 256 to the pictures per step."""
    return recipe.base_rate * per_step / 256


def rate_share(step: int, recipe: Recipe) -> float:
    """Share of the peak rate at a step (from 0): linear warm-up, then constant or half a cosine."""
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    if recipe.schedule == "constant":
        return 1.0
    progress = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return 0.5 + 0.5 * math.cos(math.pi * min(1.0, progress))
