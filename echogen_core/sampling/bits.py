"""Bits of a batch of pictures, and how they are drawn from logits.

Shape suffixes: B pictures, L tokens of one scale, d bits per token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..scales import ScaleSchedule


@dataclass(frozen=True)
class Bits:
    """Bit labels, coarse to fine; fewer scales than the schedule has when a run was cut short.

    scales: per scale uint8 [B, h, w, d]. seeds: one per picture (empty for encoded pictures).
    settings: what made them, for the record.
    """

    schedule: ScaleSchedule
    scales: tuple[Tensor, ...]
    seeds: tuple[int, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every scale of the schedule is there."""
        return len(self.scales) == len(self.schedule.scales)


def picture_generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """One CPU generator per picture: the noise depends on the seed alone, not on batch or device."""
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def draw_bits(logits_BLd2: Tensor, generators: Sequence[torch.Generator] | None, top_p: float) -> Tensor:
    """Bits [B, L, d] uint8 from guided logits (already divided by tau), with new noise: see `choose_bits`.

    generators: one per picture; None takes the likelier value (greedy).
    """
    _, tokens, bits, _ = logits_BLd2.shape
    noise = None
    if generators is not None:
        noise = draw_noise(generators, tokens, bits).to(logits_BLd2.device)
    return choose_bits(logits_BLd2, noise, top_p)


def draw_noise(generators: Sequence[torch.Generator], tokens: int, bits: int) -> Tensor:
    """Exponential noise of one scale, [B, tokens, bits, 2].

    Each picture's is drawn for all of its bits at once, as torch.multinomial does for one draw (official
    behaviour).
    """
    return torch.stack([torch.empty(tokens, bits, 2).exponential_(generator=g) for g in generators])


def schedule_noise(
    seeds: Sequence[int], schedule: ScaleSchedule, bits: int, device: torch.device
) -> tuple[Tensor, ...]:
    """The noise of every scale, brought to the device together."""
    generators = picture_generators(seeds)
    sizes = [h * w for h, w in schedule.scales]
    noise = torch.cat([draw_noise(generators, tokens, bits) for tokens in sizes], dim=1)
    return noise.to(device).split(sizes, dim=1)


def choose_bits(logits_BLd2: Tensor, noise_BLd2: Tensor | None, top_p: float) -> Tensor:
    """Bits [B, L, d] uint8 from guided logits (already divided by tau).

    noise: see `draw_noise`; None takes the likelier value (greedy). top_p: the less likely value is dropped
    when its probability is at most 1 - top_p; 0 and 1 keep both.
    """
    if noise_BLd2 is None:
        return logits_BLd2.argmax(-1).to(torch.uint8)
    p_BLd2 = logits_BLd2.softmax(-1)
    if 0.0 < top_p < 1.0:
        p_BLd2 = p_BLd2.masked_fill((p_BLd2 <= 1.0 - top_p) & (p_BLd2 < 0.5), 0.0)
    return (p_BLd2 / noise_BLd2).argmax(-1).to(torch.uint8)
