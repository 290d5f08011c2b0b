"""Negative prompts: the scene that they name goes, others stay.

Shapes: N pictures.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import torch

from ..evaluator import Evaluator
from ..protocol import WORD
from ..results import Gate
from .drawing import Draughtsman, Wish
from .figures import EditRow, Table, clearly_below, difference

logger = logging.getLogger(__name__)

TITLE = "Negative prompts"
NONE, FIRST, SECOND = "no negative prompt", "negative: the first", "negative: the second"
COLUMNS = {"first": "shows the first scene", "second": "shows the second scene", "other": "shows another one"}
GAMMAS = (None, 4.0)
"""γ_t: the preset's, and a stronger one."""
NOTE = (
    "Prompts that name two of nano's scenes, one after the other; the second is half the list further on. "
    "Whole pictures, by the evaluation's scene classifier. The negative prompt's weight is 1 - γ_t."
)


def negative_table(artist: Draughtsman, evaluator: Evaluator) -> Table:
    """A row without a negative prompt, one that names the first scene, one that names the second."""
    task = evaluator.task
    count = len(task.prompts)
    further = [(row + len(task.scene_names) // 2) % count for row in range(count)]
    first, second = task.prompts, [task.prompts[row] for row in further]
    scenes = (task.scenes_N, task.scenes_N[further])
    subjects = [artist.subject(reference_13HW) for reference_13HW in task.references_S3HW.split(1)]
    rows = []
    for gamma_t in GAMMAS:
        settings = artist.preset if gamma_t is None else replace(artist.preset, gamma_t=gamma_t)
        for name, negatives in ((NONE, [None] * count), (FIRST, first), (SECOND, second)):
            wishes = [
                Wish(f"{a} {b.removeprefix(f'{WORD} ')}", subjects[s], negative)
                for a, b, s, negative in zip(first, second, task.subjects_N.tolist(), negatives, strict=True)
            ]
            features_ND = evaluator.judge.features(artist.draw(wishes, task.seeds, settings))
            shown = [evaluator.probe.classified(features_ND, scenes_N) for scenes_N in scenes]
            values = {"first": shown[0], "second": shown[1], "other": 1 - torch.maximum(*shown)}
            rows.append(EditRow(_at(name, settings.gamma_t), task.subjects_N, values))
            logger.info("%s: %s, %s", rows[-1].name, *(rows[-1].interval(m) for m in ("first", "second")))
    return Table(TITLE, NOTE, COLUMNS, rows)


def negative_gates(table: Table) -> list[Gate]:
    """What negative prompts have to reach: at each γ_t, which the rows name."""
    gates = []
    for start in range(0, len(table.rows), 3):
        before, *others = table.rows[start : start + 3]
        for row, (named, other) in zip(others, (("first", "second"), ("second", "first")), strict=True):
            change = {measure: difference(row, before, measure) for measure in (named, other)}
            gates.append(
                Gate(
                    f"{row.name} scene falls, the {other} does not",
                    clearly_below(change[named]) and not clearly_below(change[other]),
                    f"{named} {change[named]}, {other} {change[other]}",
                )
            )
    return gates


def _at(name: str, gamma_t: float) -> str:
    return f"γ_t {gamma_t:g}, {name}"
