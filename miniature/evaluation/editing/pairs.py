"""Two subjects in one picture: a region for each, against one prompt that names both and two glued pictures.

Shapes: N pictures, H and W pixels.
"""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import Tensor

from ...data.dataset import Compositor
from ...data.prompt_words import LEFT, PLACES, RIGHT
from ..protocol import WORD, Task, make_task
from ..results import Gate
from .drawing import Draughtsman, Wish, WishedRegion
from .figures import EditRow, Table, at_least, at_most, difference, ratio
from .half_judge import HalfJudge
from .questions import half_mask

logger = logging.getLogger(__name__)

SINGLE = "one subject (a picture each)"
REGIONS = "two regions"
GLUED = "halves of two pictures, glued"
NAMED = "one prompt names both, both references as views (baseline)"

TITLE = "Two subjects"
COLUMNS = {
    "left": "left one in the left half",
    "right": "right one in the right half",
    "both": "both",
    "squared": "a single one's, squared",
    "swapped": "swapped",
    "scene": "scene",
}
NOTE = (
    "Each subject on the left with another one on the right, in one of nano's scenes. A subject counts as "
    "found where the square in which nano draws what is on that side retrieves it among all references."
)


def build_pairs(data: Path, subjects: int, seed: int) -> tuple[Task, list[int]]:
    """Questions about one subject each, and the subject that stands beside it on the right."""
    held = Compositor(data, "heldout", seed=seed, icons=False)
    count = min(subjects, len(held.views_NVHW4))
    if count < 2:
        raise ValueError(f"Expected at least 2 subjects to make pairs of, got {count}.")
    lefts = torch.arange(count)
    task = make_task(held, lefts, lefts % len(held.scenes), seed)
    return task, [(left + count // 2) % count for left in range(count)]


def pairs_table(asked: tuple[Task, list[int]], artist: Draughtsman, judge: HalfJudge) -> Table:
    """Measures of every row."""
    task, rights = asked
    rights_N = torch.tensor(rights)
    pictures = draw_pairs(task, rights, artist)
    rows = []
    for name, (left_N3HW, right_N3HW) in pictures.items():
        left_ND = judge.features_standing(left_N3HW, LEFT)
        right_ND = judge.features_standing(right_N3HW, RIGHT)
        left_N = judge.retrieved(left_ND, task.subjects_N)
        right_N = judge.retrieved(right_ND, rights_N)
        swapped_N = judge.retrieved(left_ND, rights_N) * judge.retrieved(right_ND, task.subjects_N)
        scene_N = judge.in_scene(judge.features(right_N3HW, RIGHT), task.scenes_N)
        values = {"left": left_N, "right": right_N, "scene": scene_N}
        if name == SINGLE:
            values["squared"] = ((left_N.mean() + right_N.mean()) / 2).square().expand_as(left_N)
        else:
            values |= {"both": left_N * right_N, "swapped": swapped_N}
        rows.append(EditRow(name, task.subjects_N, values))
        logger.info("%s: left %s, right %s", name, *(rows[-1].interval(side) for side in ("left", "right")))
    return Table(TITLE, NOTE, COLUMNS, rows)


def pairs_gates(table: Table) -> list[Gate]:
    """What two regions have to reach."""
    single, regions, named = table.row(SINGLE), table.row(REGIONS), table.row(NAMED)
    both, by_name = regions.interval("both"), named.interval("both")
    return [
        at_least(
            "both found, against a single one's figure squared",
            ratio(regions, single, "both", "squared"),
            0.9,
        ),
        Gate(
            "both found at least 4 times as often as by one prompt",
            both.value > 0 and both.value >= 4 * by_name.value,
            f"{both} against {by_name}",
        ),
        at_most("swapped", regions.interval("swapped"), 0.02),
        at_most("scene accuracy below single subjects'", difference(single, regions, "scene"), 0.1),
    ]


def draw_pairs(task: Task, rights: list[int], artist: Draughtsman) -> dict[str, tuple[Tensor, Tensor]]:
    """Row -> the pictures whose left halves, and those whose right halves are judged."""
    references_S3HW, lefts_N = task.references_S3HW, task.subjects_N.tolist()
    subjects = {s: artist.subject(references_S3HW[s : s + 1]) for s in sorted({*lefts_N, *rights})}
    lefts, beside = (
        [
            Wish(f"{prompt} {PLACES[place]}", subjects[s])
            for prompt, s in zip(task.prompts, numbers, strict=True)
        ]
        for place, numbers in ((LEFT, lefts_N), (RIGHT, rights))
    )
    side = references_S3HW.shape[-1]
    masks = [half_mask(place, side) for place in (LEFT, RIGHT)]
    left_N3HW, right_N3HW = artist.draw(lefts, task.seeds), artist.draw(beside, task.seeds)
    regions_N3HW = torch.cat(
        [
            artist.draw_regions([WishedRegion(a, masks[0]), WishedRegion(b, masks[1])], seed)
            for a, b, seed in zip(lefts, beside, task.seeds, strict=True)
        ]
    )
    both = [
        Wish(_naming_both(task, prompt, left, right), artist.subject(references_S3HW[[left, right]]))
        for prompt, left, right in zip(task.prompts, lefts_N, rights, strict=True)
    ]
    named_N3HW = artist.draw(both, task.seeds)
    return {
        SINGLE: (left_N3HW, right_N3HW),
        REGIONS: (regions_N3HW, regions_N3HW),
        GLUED: (left_N3HW, right_N3HW),
        NAMED: (named_N3HW, named_N3HW),
    }


def _naming_both(task: Task, prompt: str, left: int, right: int) -> str:
    """A prompt that names both subjects and their places, in the scene of another prompt."""
    names = [task.names[row].lower() for row in (left, right)]
    scene = prompt.removeprefix(f"{WORD} ")
    return f"a {names[0]} {PLACES[LEFT]} and a {names[1]} {PLACES[RIGHT]} {scene}"
