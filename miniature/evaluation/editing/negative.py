"""Negative prompts: the scene that they name goes, others stay.

Shapes: N pictures.
"""

from __future__ import annotations

import logging

import torch

from ..evaluator import Evaluator
from ..protocol import WORD
from ..results import Gate
from .drawing import Draughtsman, Wish
from .figures import EditRow, Table, clearly_below, difference

logger = logging.getLogger(__name__)

TITLE = "Negative prompts"
NONE, FIRST, SECOND = "no negative prompt", "negative: the first scene", "negative: the second scene"
COLUMNS = {"first": "shows the first scene", "second": "shows the second scene", "other": "shows another one"}
NOTE = (
    "Prompts that name two of nano's scenes, one after the other; the second is half the list further on. "
    "Whole pictures, by the evaluation's scene classifier."
)


def negative_table(artist: Draughtsman, evaluator: Evaluator) -> Table:
    """A row without a negative prompt, one that names the first scene, one that names the second."""
    task = evaluator.task
    count, scenes = len(task.prompts), len(task.scene_names)
    further = [(row + scenes // 2) % count for row in range(count)]
    first, second = task.prompts, [task.prompts[row] for row in further]
    second_N = task.scenes_N[further]
    subjects = [artist.subject(reference_13HW) for reference_13HW in task.references_S3HW.split(1)]
    rows = []
    for name, negatives in ((NONE, [None] * count), (FIRST, first), (SECOND, second)):
        wishes = [
            Wish(f"{a} {b.removeprefix(f'{WORD} ')}", subjects[s], negative)
            for a, b, s, negative in zip(first, second, task.subjects_N.tolist(), negatives, strict=True)
        ]
        features_ND = evaluator.judge.features(artist.draw(wishes, task.seeds))
        shown = [evaluator.probe.classified(features_ND, scenes_N) for scenes_N in (task.scenes_N, second_N)]
        values = {"first": shown[0], "second": shown[1], "other": 1 - torch.maximum(*shown)}
        rows.append(EditRow(name, task.subjects_N, values))
        logger.info("%s: first %s, second %s", name, *(rows[-1].interval(m) for m in ("first", "second")))
    return Table(TITLE, NOTE, COLUMNS, rows)


def negative_gates(table: Table) -> list[Gate]:
    """What negative prompts have to reach."""
    gates = []
    for name, named, other in ((FIRST, "first", "second"), (SECOND, "second", "first")):
        row, before = table.row(name), table.row(NONE)
        change = {m: difference(row, before, m) for m in (named, other)}
        gates.append(
            Gate(
                f"{name} falls, the {other} does not",
                clearly_below(change[named]) and not clearly_below(change[other]),
                f"{named} {change[named]}, {other} {change[other]}",
            )
        )
    return gates
