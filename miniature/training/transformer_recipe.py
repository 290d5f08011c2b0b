"""Settings of the transformer's training."""

from __future__ import annotations

from dataclasses import dataclass

from ..data.dataset import Mix

NANO_MIX = Mix(settled=True, turned=0.0, crops=2, placed=0.3, sized=0.2, night=0.1)
"""What pictures are like: subjects large and near the middle where the prompt names no place or size, else
where it says; always from the reference's own side, before one of two views of the scene."""


@dataclass(frozen=True)
class Recipe:
    """Settings of a run.

    mix: what pictures are like.
    minutes: of training in all, resumed runs included. warmup: steps. cooldown: last share of the minutes.
    batch: references a step, each with `targets` pictures, which share its conditions' keys and values.
    guide: weight of what tells attention where to look (guide.py), which ends at `guided` of the minutes.
    thinned: share of the last scale's tokens that a step computes, until `whole` of the minutes: in the time
    of two steps it takes three, and what a token copies it hardly reads off its neighbours.
    subject: how much more the subject's tokens count. drop: probability of dropping text, semantic and
    content, independently. flips: largest bit flip rate.
    margins: bits count by their margin (loss.bit_loss).
    workers: threads that share a batch and meet once a step (PyTorch's own threads meet in every layer).
    muon, scales, adam: peak learning rates of block matrices, of the logarithms of attention's sharpness,
    which have to go far, and of everything else. ema: decay per step.
    compiler: backend of torch.compile for the blocks, such as "inductor"; "": none.
    """

    mix: Mix = NANO_MIX
    minutes: float = 90.0
    batch: int = 16
    targets: int = 4
    warmup: int = 40
    cooldown: float = 0.5
    muon: float = 0.02
    adam: float = 2e-3
    scales: float = 0.01
    ema: float = 0.995
    guide: float = 0.1
    guided: float = 0.5
    thinned: float = 0.5
    whole: float = 0.9
    subject: float = 0.0
    margins: bool = True
    drop: float = 0.1
    flips: float = 0.3
    workers: int = 2
    clip: float = 1.0
    seed: int = 0
    checkpoint_minutes: float = 2.0
    validate_every: int = 200
    compiler: str = ""
