"""What a better miniature must reach: the figures against their ceilings and baselines.

Shapes: N pictures, H and W pixels.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from . import examination, metrics
from .examination import Gate, Row, SweepPoint
from .metrics import Measure
from .places import PlaceRow

PLACES_RIGHT = 0.9
DECIBELS = 25.0


def targets(rows: list[Row], points: list[SweepPoint], places: list[PlaceRow], psnr: Measure) -> list[Gate]:
    """All of them. places: the ceiling first, the miniature last; psnr: the tokenizer's, in dB."""
    by_name = {row.name: row for row in rows}
    made, ceiling = by_name[examination.NANO], by_name[examination.CEILING]
    lead, clear = metrics.clearly_above(
        made.retrieved_N, by_name[examination.CELLS_8].retrieved_N, made.subjects_N
    )
    steps = [
        by_name[name].measure("similarity")
        for name in (examination.TEXT_ONLY, examination.SEMANTIC, examination.NANO)
    ]
    return [
        Gate(
            "retrieval above the 8x8 cells by two standard errors",
            clear,
            f"{lead.value:+.3f}, standard error of the difference {lead.error:.3f}",
        ),
        examination.share_gate("retrieval", made.measure("retrieved"), ceiling.measure("retrieved"), 0.75),
        Gate(
            f"tokenizer at least {DECIBELS:g} dB on unseen subjects",
            psnr.value >= DECIBELS,
            f"{psnr.value:.2f} ± {psnr.error:.2f} dB",
        ),
        examination.share_gate("scene accuracy", made.measure("scenes"), ceiling.measure("scenes"), 0.9),
        Gate(
            f"place words right at least {100 * PLACES_RIGHT:.0f} %",
            places[-1].right.value >= PLACES_RIGHT,
            f"{places[-1].right.value:.3f} ± {places[-1].right.error:.3f}, of real pictures "
            f"{places[0].right.value:.3f}",
        ),
        examination.rising_gate("similarity rises with γ_I", points, "both", "similarity"),
        examination.rising_gate(
            f"scene accuracy rises with γ_t (γ_I {examination.TEXT_GAMMA_I:g})",
            points,
            examination.beside(examination.TEXT_GAMMA_I),
            "scenes",
        ),
        Gate(
            "similarity: text only, semantic, semantic + content, 95 % intervals apart",
            all(apart(low, high) for low, high in pairwise(steps)),
            ", ".join(f"{step.value:.3f} ± {1.96 * step.error:.3f}" for step in steps),
        ),
    ]


def apart(low: Measure, high: Measure) -> bool:
    """Whether the second is above the first with 95 % intervals that do not touch."""
    return high.value - 1.96 * high.error > low.value + 1.96 * low.error


def decibels(images_N3HW: Tensor, decoded_N3HW: Tensor) -> Tensor:
    """PSNR of each picture, [N]."""
    error_N = (images_N3HW - decoded_N3HW).square().mean((1, 2, 3))
    return -10 * torch.log10(error_N.clamp_min(1e-10))
