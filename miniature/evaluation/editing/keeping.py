"""The layout of one picture with the subject of another: what keeping scales does.

Shapes: N pictures, H and W pixels.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from echogen_core.sampling import Target

from ...data.prompt_words import PLACES
from ...psnr import psnr
from .. import metrics
from ..evaluator import Evaluator
from ..places import PlaceTask, build_place_task
from ..protocol import REFERENCE_VIEW
from .drawing import Draughtsman, Wish
from .figures import EditRow, Table
from .questions import chosen

logger = logging.getLogger(__name__)

TITLE = "Keeping the layout"
COLUMNS = {
    "retrieved": "new subject retrieval@1",
    "old": "the old one's",
    "layout": "stands where the old one stood",
    "scene": "scene",
    "db": "dB to the old picture",
}
NOTE = (
    "A real picture of one subject on the left, in the middle or on the right of a scene; the reference is "
    "another subject, the prompt names the same scene and no place. The first keep_scales of nano's five "
    "scales are the picture's."
)


@dataclass(frozen=True)
class Kept:
    """Real pictures of subjects, and the other subject that is to stand in the place of each.

    places: where the old one stands, and how that is found. old_N: indices of the old subjects.
    prompts: the scenes of the pictures, without a place.
    """

    places: PlaceTask
    old_N: Tensor
    prompts: list[str]
    pictures_N3HW: Tensor


def build_kept(data: Path, subjects: int, seed: int) -> Kept:
    """Each of the first `subjects` held-out subjects, for a picture of the one half the list further on."""
    asked = build_place_task(data, subjects, seed)
    count = len(asked.task.names)
    # one place each, the next one for the next subject
    rows = [subject * len(PLACES) + subject % len(PLACES) for subject in range(count)]
    own = chosen(asked.task, rows)
    places = replace(asked, task=own, places_N=asked.places_N[rows])
    old_N = (own.subjects_N + count // 2) % count
    prompts = [
        prompt.removesuffix(f" {PLACES[place]}")
        for prompt, place in zip(own.prompts, places.places_N.tolist(), strict=True)
    ]
    return Kept(places, old_N, prompts, replace(own, subjects_N=old_N).real(REFERENCE_VIEW))


def keeping_table(kept: Kept, artist: Draughtsman, evaluator: Evaluator) -> Table:
    """A row for each number of kept scales, 0 to all."""
    task = kept.places.task
    all_scales = range(len(artist.schedule.scales) + 1)
    pictures = draw_kept(kept, artist, all_scales)
    rows = [
        EditRow(f"keep_scales {scales}", task.subjects_N, _judged(kept, evaluator, images_N3HW))
        for scales, images_N3HW in zip(all_scales, pictures, strict=True)
    ]
    for row in rows:
        logger.info("%s: new %s, old %s", row.name, *(row.interval(m) for m in ("retrieved", "old")))
    return Table(TITLE, NOTE, COLUMNS, rows)


def draw_kept(kept: Kept, artist: Draughtsman, numbers: Sequence[int]) -> list[Tensor]:
    """The pictures with the new subjects, [N, 3, H, W], for each number of scales to keep."""
    task = kept.places.task
    subjects = {
        s: artist.subject(task.references_S3HW[s : s + 1]) for s in sorted(set(task.subjects_N.tolist()))
    }
    wishes = [
        Wish(prompt, subjects[s]) for prompt, s in zip(kept.prompts, task.subjects_N.tolist(), strict=True)
    ]
    latents_NDhw = artist.latents(kept.pictures_N3HW)
    everywhere_1HW = torch.ones(1, *kept.pictures_N3HW.shape[-2:])
    targets = [Target(latents_NDhw, everywhere_1HW, keep_scales=scales) for scales in numbers]
    return artist.draw_around(wishes, task.seeds, targets)


def _judged(kept: Kept, evaluator: Evaluator, images_N3HW: Tensor) -> dict[str, Tensor]:
    task = kept.places.task
    features_ND = evaluator.judge.features(images_N3HW)
    placed = kept.places.row("", images_N3HW)
    return {
        "retrieved": metrics.retrieved(features_ND, evaluator.gallery_SD, task.subjects_N),
        "old": metrics.retrieved(features_ND, evaluator.gallery_SD, kept.old_N),
        "layout": placed.right_N,
        "scene": evaluator.probe.classified(features_ND, task.scenes_N),
        "db": psnr((images_N3HW - kept.pictures_N3HW).square().mean((1, 2, 3))),
    }
