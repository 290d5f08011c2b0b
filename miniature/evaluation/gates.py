"""The conditions that a miniature has to meet: figures against their ceilings and baselines.

`gates` are those of the first miniature, `targets` those of a better one. Differences are paired over
subjects.
Shapes: N pictures.
"""

from __future__ import annotations

from itertools import pairwise

from . import metrics
from .evaluator import TEXT_GAMMA_I
from .metrics import Measure
from .places import PlaceRow
from .results import (
    CEILING,
    CELLS_4,
    CELLS_8,
    DISC,
    NANO,
    SEMANTIC,
    TEXT_ONLY,
    Gate,
    Row,
    SweepPoint,
    text_sweep_at,
)

PLACES_RIGHT = 0.9
DECIBELS = 25.0


def gates(rows: list[Row], points: list[SweepPoint]) -> list[Gate]:
    """The conditions of acceptance of the first miniature."""
    by_name = {row.name: row for row in rows}
    nano, disc, text = by_name[NANO], by_name[DISC], by_name[TEXT_ONLY]
    cells, ceiling = by_name[CELLS_4], by_name[CEILING]
    found, of_text = nano.measure("retrieved").value, text.measure("retrieved").value
    of_disc, of_cells = disc.measure("retrieved").value, cells.measure("retrieved").value
    lead, clear = metrics.clearly_above(nano.retrieved_N, disc.retrieved_N, nano.subjects_N)
    gain, gains = metrics.clearly_above(by_name[SEMANTIC].similarity_N, text.similarity_N, text.subjects_N)
    return [
        Gate(
            "retrieval above the mean-colour disc by two standard errors",
            clear,
            f"{found:.3f} - {of_disc:.3f} = {lead.value:+.3f}, "
            f"standard error of the difference {lead.error:.3f}",
        ),
        Gate(
            "retrieval at or above the 4x4 cells",
            found >= of_cells,
            f"{found:.3f} against {of_cells:.3f}",
        ),
        Gate(
            "retrieval at least five times text only",
            found >= 5 * of_text and found > 0,
            f"{found:.3f} against 5 x {of_text:.3f}",
        ),
        share_gate("scene accuracy", nano.measure("scenes"), ceiling.measure("scenes"), 0.8),
        rising_gate("similarity rises with γ_I from 0 to 4", points, "both", "similarity"),
        Gate(
            "text only below semantic",
            gains,
            f"similarity {text.measure('similarity').value:.3f} against "
            f"{by_name[SEMANTIC].measure('similarity').value:.3f}, "
            f"{gain.value:+.3f}, standard error {gain.error:.3f}",
        ),
    ]


def share_gate(name: str, reached: Measure, ceiling: Measure, share: float) -> Gate:
    """Whether a figure is at least a share of its ceiling."""
    part = reached.value / max(ceiling.value, 1e-9)
    return Gate(
        f"{name} at least {100 * share:.0f} % of the ceiling",
        part >= share,
        f"{reached.value:.3f} of {ceiling.value:.3f} = {part:.0%}",
    )


def rising_gate(name: str, points: list[SweepPoint], conditions: str, values: str) -> Gate:
    """Whether a measure at the largest γ is clearly above the one at the smallest."""
    found = {point.gamma: point for point in points if point.conditions == conditions}
    start, end = found[min(found)], found[max(found)]
    rise, rises = metrics.clearly_above(
        getattr(end, f"{values}_N"), getattr(start, f"{values}_N"), start.subjects_N
    )
    course = " ".join(f"{found[gamma].measure(values).value:.3f}" for gamma in sorted(found))
    return Gate(name, rises, f"{course}; {rise.value:+.3f}, standard error {rise.error:.3f}")


def targets(rows: list[Row], points: list[SweepPoint], places: list[PlaceRow], psnr: Measure) -> list[Gate]:
    """What a better miniature has to reach.

    places: ceiling first, miniature last. psnr: of the tokenizer, dB.
    """
    by_name = {row.name: row for row in rows}
    made, ceiling = by_name[NANO], by_name[CEILING]
    lead, clear = metrics.clearly_above(made.retrieved_N, by_name[CELLS_8].retrieved_N, made.subjects_N)
    steps = [by_name[name].measure("similarity") for name in (TEXT_ONLY, SEMANTIC, NANO)]
    return [
        Gate(
            "retrieval above the 8x8 cells by two standard errors",
            clear,
            f"{lead.value:+.3f}, standard error of the difference {lead.error:.3f}",
        ),
        share_gate("retrieval", made.measure("retrieved"), ceiling.measure("retrieved"), 0.75),
        Gate(
            f"tokenizer at least {DECIBELS:g} dB on unseen subjects",
            psnr.value >= DECIBELS,
            f"{psnr.value:.2f} ± {psnr.error:.2f} dB",
        ),
        share_gate("scene accuracy", made.measure("scenes"), ceiling.measure("scenes"), 0.9),
        Gate(
            f"place words right at least {100 * PLACES_RIGHT:.0f} %",
            places[-1].right.value >= PLACES_RIGHT,
            f"{places[-1].right.value:.3f} ± {places[-1].right.error:.3f}, of real pictures "
            f"{places[0].right.value:.3f}",
        ),
        rising_gate("similarity rises with γ_I", points, "both", "similarity"),
        rising_gate(
            f"scene accuracy rises with γ_t (γ_I {TEXT_GAMMA_I:g})",
            points,
            text_sweep_at(TEXT_GAMMA_I),
            "scenes",
        ),
        Gate(
            "similarity: text only, semantic, semantic + content, 95 % intervals apart",
            all(intervals_apart(low, high) for low, high in pairwise(steps)),
            ", ".join(f"{step.value:.3f} ± {1.96 * step.error:.3f}" for step in steps),
        ),
    ]


def intervals_apart(low: Measure, high: Measure) -> bool:
    """Whether the second is above the first with 95 % intervals that do not touch."""
    return high.value - 1.96 * high.error > low.value + 1.96 * low.error
