"""The contact sheet of editing: what its figures are taken from.

Shapes: S subjects, H and W pixels.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PIL import Image

from ...data.dataset import Compositor
from ..sheet import Column, draw, rows_of
from . import insertion, keeping, pairs
from .drawing import Draughtsman
from .questions import build_insertion, chosen

HEADINGS = {
    insertion.PLAIN: "plain,\non the right",
    insertion.STORED: "stored bits\noutside",
    insertion.PLACE: "place,\npasted back",
    insertion.FIRST_PASS: "first pass,\npasted",
    insertion.PASTE: "reference,\npasted",
}
"""Row of the insertion table -> heading of its column."""
KEPT_SCALES = (1, 2, 3)


def contact_sheet(data: Path, artist: Draughtsman, names: list[str], seed: int) -> Image.Image:
    """A row a subject: both ways of editing with baselines, two in one picture, kept scales."""
    held = Compositor(data, "heldout", icons=False)
    rows = rows_of(held, names)
    columns = [*_insertion(data, artist, rows, seed), *_pairs(data, artist, rows, seed)]
    columns += _keeping(data, artist, rows, seed)
    return draw(names, columns)


def _insertion(data: Path, artist: Draughtsman, rows: list[int], seed: int) -> list[Column]:
    subjects = max(rows) + 1
    every = build_insertion(data, subjects, seed)
    grounds = len(every.grounds_N3HW) // subjects
    rows = [row + number % grounds * subjects for number, row in enumerate(rows)]  # in turn
    asked = replace(every, task=chosen(every.task, rows), grounds_N3HW=every.grounds_N3HW[rows])
    made = insertion.insert(asked, artist)
    references_S3HW = asked.task.references_S3HW[asked.task.subjects_N]
    return [
        Column("reference", references_S3HW),
        Column("photograph", asked.grounds_N3HW),
        Column("redraw,\nas drawn", made.drawn[insertion.REDRAW]),
        Column("redraw,\npasted back", made.finished[insertion.REDRAW]),
        *(Column(heading, made.finished[name]) for name, heading in HEADINGS.items()),
    ]


def _pairs(data: Path, artist: Draughtsman, rows: list[int], seed: int) -> list[Column]:
    task, _ = pairs.build_pairs(data, max(rows) + 1, seed)
    beside = dict(zip(rows, [*rows[1:], rows[0]], strict=True))
    made = pairs.draw_pairs(chosen(task, rows), [beside[row] for row in rows], artist)
    return [
        Column("two regions", made[pairs.REGIONS][0]),
        Column("one prompt\nnames both", made[pairs.NAMED][0]),
    ]


def _keeping(data: Path, artist: Draughtsman, rows: list[int], seed: int) -> list[Column]:
    kept = keeping.build_kept(data, max(rows) + 1, seed)
    own = replace(
        kept,
        places=replace(kept.places, task=chosen(kept.places.task, rows)),
        prompts=[kept.prompts[row] for row in rows],
        pictures_N3HW=kept.pictures_N3HW[rows],
    )
    pictures = keeping.draw_kept(own, artist, KEPT_SCALES)
    columns = [
        Column(f"keep_scales {scales}", images_S3HW)
        for scales, images_S3HW in zip(KEPT_SCALES, pictures, strict=True)
    ]
    return [Column("picture to\nbe kept", own.pictures_N3HW), *columns]
