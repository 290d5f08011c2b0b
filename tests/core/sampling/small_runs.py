"""Runs of a tiny EchoGen with the 2B model's structure, for what is kept, and where."""

from __future__ import annotations

from typing import Any

import torch

from echogen_core.sampling import Branches, Guidance, PrefillCache, SamplingSettings, ScaleStep, sample
from echogen_core.scales import ScaleSchedule, find_schedule

from .. import golden

SQUARE, WIDE = find_schedule("0.06M"), find_schedule("0.06M", "3:2")


def settings(
    schedule: ScaleSchedule, gamma_t: float = 3.0, gamma_i: float = 2.0, greedy: bool = False
) -> SamplingSettings:
    """Guidance that needs all three branches."""
    return SamplingSettings(Guidance.constant(gamma_t, gamma_i, len(schedule.scales)), greedy=greedy)


def branches(
    prefill: PrefillCache, text: str | None = "text_len7", subject: str | None = "a", **options: Any
) -> Branches:
    """Those of a prompt and a subject of the golden files."""
    features = (None, None) if subject is None else golden.subject(subject)
    return prefill.branches(None if text is None else golden.text(text), *features, **options)


def run(given: Branches, schedule: ScaleSchedule = SQUARE, **options: Any) -> list[ScaleStep]:
    """All steps; `settings` and `seeds` have defaults."""
    options = {"settings": settings(schedule), "seeds": [5], **options}
    return list(sample(golden.model(), given, schedule, **options))


def bits(steps: list[ScaleStep]) -> list[torch.Tensor]:
    """Of every scale."""
    return list(steps[-1].bits.scales)


def assert_same(ours: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    """Bit for bit, at every scale."""
    assert len(ours) == len(expected)
    for scale, (own, other) in enumerate(zip(ours, expected, strict=True)):
        assert torch.equal(own, other), f"scale {scale}"
