"""When the stages of a whole training run: `python -m miniature all`.

    time   0 ........... 0.26 ....... 0.34 ................................ 1
           tokenizer, then its decoder |
           semantic      | content     | transformer

The semantic encoder needs nothing of the tokenizer's, and the content encoder only its codes, so that the
decoder is finished beside it. The transformer needs all three. It gets most of the time: encoders level off,
while it was still improving after hours on two cores. The shares are about those of nano's own hours, had its
encoders begun from nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple


class Phase(NamedTuple):
    """A share of the time, and the stages that it is for."""

    share: float
    stages: tuple[str, ...]


PHASES = {
    "codes": Phase(0.26, ("tokenizer", "semantic")),
    "content": Phase(0.08, ("content",)),
    "transformer": Phase(0.66, ("transformer",)),
}
"""In their order."""

DECODER_PHASE = PHASES["content"].share / (PHASES["codes"].share + PHASES["content"].share)
"""Last share of the tokenizer's time, in which its codes are final."""

ENDS_WITH = {
    "tokenizer": "content",
    "semantic": "codes",
    "content": "content",
    "transformer": "transformer",
    "decoder": "transformer",
}
"""Stage -> phase at whose end it ends."""

LEAST = 0.25
"""Share of its time that an unfinished phase gets again at least, however long it has had."""


def stage_ends(available: float, spent: Mapping[str, float], finished: Collection[str]) -> dict[str, float]:
    """Stage -> seconds from now at which it ends; the last one after the `available` ones.

    spent: seconds of each stage in earlier commands. An unfinished phase gets what it lacks of its share of
    all the time, the earlier included.
    """
    total = available + sum(max(spent.get(stage, 0.0) for stage in phase.stages) for phase in PHASES.values())
    lacking = {}
    for name, (share, stages) in PHASES.items():
        had = [spent.get(stage, 0.0) for stage in stages if stage not in finished]
        lacking[name] = max(share * total - max(had), LEAST * share * total) if had else 0.0
    unit = available / (sum(lacking.values()) or 1.0)
    ends, now = {}, 0.0
    for name, seconds in lacking.items():
        now += unit * seconds
        ends[name] = now
    ends["transformer"] = available
    return {stage: ends[phase] for stage, phase in ENDS_WITH.items()}
