"""A subject in the right half of a photograph: drawn with its own ground, or placed on the photograph's.

Shapes: N pictures, H and W pixels.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from echogen_core.editing import Canvas, Edit, Way, grown
from echogen_core.subject.refine import soften

from ...data.prompt_words import PLACES, RIGHT
from ...psnr import psnr
from ..results import Gate
from .drawing import Draughtsman, StoredBits, Wish
from .figures import EditRow, Table, at_least, at_most, difference, ratio
from .half_judge import HalfJudge
from .questions import Insertion

logger = logging.getLogger(__name__)

REAL = "real, next view"
REAL_TOKENIZER = "real, next view, through the tokenizer"
PLAIN = "plain generation, on the right (no photograph)"
REDRAW = "redraw"
SOFT = "redraw, feather 16"
STORED = "redraw with stored bits outside (baseline)"
PLACE = "place"
FIRST_PASS = "place's first pass, cut out and pasted (baseline)"
PASTE = "the reference, cut out and pasted (baseline)"

FAR = 16
"""Pixels: two of nano's tokens."""
TITLE = "Insertion"
COLUMNS = {
    "retrieved": "subject retrieval@1 in the mask",
    "similarity": "similarity",
    "photo": "share of the mask that stays the photograph's",
    "photo_scene": "mask shows the photograph's scene",
    "prompt_scene": "the prompt's",
    "outside": "outside, dB, as drawn",
    "far": "16 px and more from the edge",
    "changed": "pixels outside that differ after Paste Back",
    "drawn_seam": "step across the mask's edge, as drawn",
    "seam": "after Paste Back",
    "real_seam": "of real pictures there",
}
NOTE = (
    "The mask is the right half of a crop of a panorama that no training saw. Subjects are judged in that "
    "half, after Paste Back where there is a photograph. The prompt names one of nano's scenes; redraw's and "
    "plain generation's also say “on the right”."
)


@dataclass(frozen=True)
class Inserted:
    """The pictures of one question list, by row: after Paste Back, and as drawn where that differs."""

    finished: dict[str, Tensor]
    drawn: dict[str, Tensor]
    edits: dict[str, tuple[Edit, Canvas]]


def insert(asked: Insertion, artist: Draughtsman) -> Inserted:
    """Draws what is judged, and the baselines."""
    task, grounds_N3HW = asked.task, asked.grounds_N3HW
    owners = task.subjects_N.tolist()
    subjects = {s: artist.subject(task.references_S3HW[s : s + 1]) for s in sorted(set(owners))}
    free = [Wish(task.prompts[row], subjects[s]) for row, s in enumerate(owners)]
    right = [Wish(f"{wish.prompt} {PLACES[RIGHT]}", wish.subject) for wish in free]
    redraw = Edit(grounds_N3HW, asked.mask_1HW, artist.schedule)
    softer, canvas = replace(redraw, feather=16.0), redraw.redrawn()
    target = redraw.target(canvas, artist.latents(canvas.pictures_B3hw))
    targets = [
        None,
        target,
        StoredBits(target.latent_BDHW, target.mask_BHW, fine_mask_BHW=target.fine_mask_BHW),
    ]
    drawn = dict(zip((PLAIN, REDRAW, STORED), artist.draw_around(right, task.seeds, targets), strict=True))
    place = Edit(grounds_N3HW, asked.mask_1HW, artist.schedule, way=Way.PLACE)
    first_N3HW = artist.draw(free, task.seeds)
    on_canvas = artist.placed(place, first_N3HW)
    placing = place.target(on_canvas, artist.latents(on_canvas.pictures_B3hw))
    [drawn[PLACE]] = artist.draw_around(free, task.seeds, [placing])
    references_N3HW = task.references_S3HW[task.subjects_N]
    cut_out = place.placed(references_N3HW, (references_N3HW.amin(1) < 1).float())
    real_N3HW = asked.real.images_B3HW
    finished = {
        REAL: real_N3HW,
        REAL_TOKENIZER: artist.through_tokenizer(real_N3HW),
        PLAIN: drawn[PLAIN],
        REDRAW: redraw.pasted_back(canvas, drawn[REDRAW]),
        SOFT: softer.pasted_back(canvas, drawn[REDRAW]),
        STORED: redraw.pasted_back(canvas, drawn[STORED]),
        PLACE: place.pasted_back(on_canvas, drawn[PLACE]),
        FIRST_PASS: place.pasted_back(on_canvas, first_N3HW),
        PASTE: place.pasted_back(cut_out, references_N3HW),
    }
    edits = {REDRAW: (redraw, canvas), SOFT: (softer, canvas), STORED: (redraw, canvas)}
    edits |= {PLACE: (place, on_canvas), FIRST_PASS: (place, on_canvas), PASTE: (place, cut_out)}
    return Inserted(finished, drawn, edits)


def insertion_table(asked: Insertion, artist: Draughtsman, judge: HalfJudge) -> Table:
    """Measures of every row."""
    rows, made = [], insert(asked, artist)
    for name, images_N3HW in made.finished.items():
        values = _judged(asked, judge, images_N3HW)
        if name in (REDRAW, STORED):
            values |= _outside_db(asked, made.drawn[name])
            values["drawn_seam"] = step_across(made.drawn[name], asked.mask_1HW)
        elif name == REAL_TOKENIZER:
            values |= _outside_db(asked, artist.through_tokenizer(asked.grounds_N3HW))
        if name in (REDRAW, SOFT, STORED):
            values["seam"] = step_across(images_N3HW, asked.mask_1HW)
            values["real_seam"] = step_across(asked.grounds_N3HW, asked.mask_1HW)
        elif name in (PLACE, FIRST_PASS, PASTE):
            values["seam"] = step_across(images_N3HW, made.edits[name][1].masks_BHW)
            values["real_seam"] = step_across(asked.real.images_B3HW, asked.real.subject_B1HW[:, 0])
        if name in made.edits:
            values["changed"] = changed_outside(asked.grounds_N3HW, images_N3HW, *made.edits[name])
            values["photo"] = _unchanged(asked, images_N3HW)
        rows.append(EditRow(name, asked.task.subjects_N, values))
        logger.info("%s: retrieval %s", name, rows[-1].interval("retrieved"))
    return Table(TITLE, NOTE, COLUMNS, rows)


def insertion_gates(table: Table) -> list[Gate]:
    """What insertion has to reach."""
    plain, redraw, place = table.row(PLAIN), table.row(REDRAW), table.row(PLACE)
    tokenizer = table.row(REAL_TOKENIZER)
    return [
        at_least("redraw: retrieval against plain generation's", ratio(redraw, plain, "retrieved"), 0.9),
        at_least("place: retrieval against plain generation's", ratio(place, plain, "retrieved"), 0.8),
        at_most(
            "redraw: dB below the tokenizer's round trip, outside",
            difference(tokenizer, redraw, "outside"),
            1.0,
        ),
        at_most(f"the same, {FAR} px and more from the edge", difference(tokenizer, redraw, "far"), 1.0),
        at_most("redraw: pixels changed outside", redraw.interval("changed"), 0.0),
        at_most("place: pixels changed outside", place.interval("changed"), 0.0),
        at_most("redraw: seam against real pictures'", ratio(redraw, redraw, "seam", "real_seam"), 1.25),
        at_most(
            "redraw, feather 16: seam against real pictures'",
            ratio(table.row(SOFT), table.row(SOFT), "seam", "real_seam"),
            1.25,
        ),
        at_most("place: seam against real pictures'", ratio(place, place, "seam", "real_seam"), 1.25),
    ]


def step_across(images_N3HW: Tensor, masks_BHW: Tensor) -> Tensor:
    """[N]: mean absolute difference, 0..255, of neighbouring pixels with a mask's edge between them.

    masks_BHW: one or one per picture, cut at one half; 0 where there is no edge.
    """
    inside_BHW = masks_BHW > 0.5
    total_N, edges_N = torch.zeros(2, len(images_N3HW))
    for axis in (-2, -1):
        length = images_N3HW.shape[axis] - 1
        steps_NHW = images_N3HW.diff(dim=axis).abs().mean(1)
        edge_BHW = inside_BHW.narrow(axis, 1, length) != inside_BHW.narrow(axis, 0, length)
        total_N = total_N + (steps_NHW * edge_BHW).sum((1, 2))
        edges_N = edges_N + edge_BHW.expand_as(steps_NHW).sum((1, 2))
    return 255 * total_N / edges_N.clamp_min(1)


def changed_outside(originals_N3HW: Tensor, finished_N3HW: Tensor, edit: Edit, canvas: Canvas) -> Tensor:
    """[N]: pixels that differ from the original where the feathered mask is 0."""
    outside_BHW = torch.stack([soften(mask_HW, edit.feather) for mask_HW in canvas.masks_BHW]) == 0
    differs_NHW = (originals_N3HW != finished_N3HW).any(1)
    return (differs_NHW & outside_BHW).sum((1, 2)).float()


def _judged(asked: Insertion, judge: HalfJudge, images_N3HW: Tensor) -> dict[str, Tensor]:
    features_ND = judge.features(images_N3HW, RIGHT)
    subjects_N = asked.task.subjects_N
    return {
        "retrieved": judge.retrieved(features_ND, subjects_N),
        "similarity": judge.similarity(features_ND, subjects_N),
        "photo_scene": judge.in_scene(features_ND, asked.ground_scenes_N),
        "prompt_scene": judge.in_scene(features_ND, asked.task.scenes_N),
    }


def _outside_db(asked: Insertion, images_N3HW: Tensor) -> dict[str, Tensor]:
    """[N] each, in dB: outside the mask, and there FAR away from its edge."""
    squared_NHW = (images_N3HW - asked.grounds_N3HW).square().mean(1)
    outside_1HW = 1 - asked.mask_1HW
    far_1HW = 1 - grown(asked.mask_1HW, FAR)
    return {
        name: psnr((squared_NHW * area_1HW).sum((1, 2)) / area_1HW.sum())
        for name, area_1HW in (("outside", outside_1HW), ("far", far_1HW))
    }


def _unchanged(asked: Insertion, images_N3HW: Tensor) -> Tensor:
    """[N]: share of the mask's pixels that are the photograph's own."""
    same_NHW = (images_N3HW == asked.grounds_N3HW).all(1)
    return (same_NHW * asked.mask_1HW).sum((1, 2)) / asked.mask_1HW.sum()
