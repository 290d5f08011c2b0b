"""The miniature's examination: rows of one table, a sweep of γ_I, and the gates it must pass.

Every row answers the same questions (protocol.Task) and is judged by the same features (judge.Judge). Rows of
several seeds are joined: more pictures of each subject.
Shapes: N pictures, H and W pixels.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from . import metrics
from .baselines import disc_of_mean_colour, reduce_to_cells
from .draw import Ask, Miniature
from .judge import Judge
from .metrics import Measure
from .places import PlaceRow
from .protocol import FAR_VIEW, OTHER_VIEW, REFERENCE_VIEW, Task, half_resolution, scene_examples

logger = logging.getLogger(__name__)

CEILING = "real, next view (ceiling)"
SAME_VIEW = "real, the reference's own view"
FAR = "real, a quarter turn away"
TOKENIZER = "real, next view, through the tokenizer"
CELLS_8 = "subject reduced to 8x8 cells"
CELLS_4 = "subject reduced to 4x4 cells"
DISC = "disc of the subject's mean colour"
TEXT_ONLY = "nano, text only (γ_I 0)"
NANO = "nano, semantic + content (preset)"
SEMANTIC = "nano, semantic only (preset)"
CONTENT = "nano, content only (preset)"

SWEEP = (0.0, 1.0, 2.0, 3.0, 4.0)
TEXT_SWEEP = (0.0, 1.0, 2.0, 4.0)
TEXT_GAMMA_I = 1.0
"""γ_I beside which γ_t has to raise scene accuracy, beside the preset's.

A larger one leaves little to raise: prompt and subject together say more of the picture's scene than the
prompt alone, and γ_I multiplies that difference.
"""
BESIDE = "γ_I "
EXAMPLES_PER_SCENE = 30
SCENE_SEED_OFFSET = 500_000  # the classifier's pictures share no seed with the task


@dataclass(frozen=True)
class Row:
    """One line of the table: what was found of each picture, [N] each.

    centred_N: retrieval after the scene's mean feature is taken off. apart_N: told from the subject's
    look-alike. scenes_N: told by a linear probe; near_mean_N: the same by the nearest class mean.
    """

    name: str
    subjects_N: Tensor
    retrieved_N: Tensor
    centred_N: Tensor
    apart_N: Tensor
    similarity_N: Tensor
    scenes_N: Tensor
    near_mean_N: Tensor

    def measure(self, values: str) -> Measure:
        """Mean over subjects of "retrieved", "centred", "apart", "similarity", "scenes", "near_mean"."""
        return metrics.over_subjects(getattr(self, f"{values}_N"), self.subjects_N)


@dataclass(frozen=True)
class SweepPoint:
    """Retrieval, likeness and scene of each picture at one γ, [N] each.

    conditions: "both", "semantic" or "content" in the sweep of γ_I, `beside` its γ_I in that of γ_t.
    """

    conditions: str
    gamma: float
    subjects_N: Tensor
    retrieved_N: Tensor
    similarity_N: Tensor
    scenes_N: Tensor

    @property
    def of_text(self) -> bool:
        """Whether it belongs to a sweep of γ_t."""
        return self.conditions.startswith(BESIDE)

    def measure(self, values: str) -> Measure:
        """Mean over subjects of "retrieved", "similarity" or "scenes"."""
        return metrics.over_subjects(getattr(self, f"{values}_N"), self.subjects_N)


Answer = TypeVar("Answer", Row, SweepPoint, PlaceRow)


def joined(seeds: Sequence[Sequence[Answer]]) -> list[Answer]:
    """The same rows (or points) of several seeds as one each."""
    joined_rows = []
    for same in zip(*seeds, strict=True):
        names = [field.name for field in fields(same[0]) if field.name.endswith("_N")]
        values = {name: torch.cat([getattr(row, name) for row in same]) for name in names}
        joined_rows.append(replace(same[0], **values))
    return joined_rows


@dataclass(frozen=True)
class Gate:
    """A condition of acceptance with its numbers."""

    name: str
    passed: bool
    detail: str


class Examiner:
    """Holds the judge, the gallery and the scene classifier of one task.

    The classifier learns from real pictures with other subjects, sharp and at half resolution, so that a soft
    picture of a scene is still that scene.
    """

    def __init__(self, judge: Judge, task: Task, data: Path, seed: int) -> None:
        self.judge, self.task = judge, task
        self.gallery_SD = judge.features(task.references_S3HW)
        examples_M3HW, labels_M = scene_examples(data, EXAMPLES_PER_SCENE, seed + SCENE_SEED_OFFSET)
        sharp_MD, blurred_MD = judge.features(examples_M3HW), judge.features(half_resolution(examples_M3HW))
        both_MD, labels_M2 = torch.cat((sharp_MD, blurred_MD)), labels_M.repeat(2)
        self.means_CD = metrics.class_means(both_MD, labels_M2, len(task.scene_names))
        self.probe = metrics.LinearProbe(both_MD, labels_M2, len(task.scene_names))

    def row(self, name: str, images_N3HW: Tensor) -> Row:
        """Judge one answer to the task."""
        task = self.task
        features_ND = self.judge.features(images_N3HW)
        retrieved_N = metrics.retrieved(features_ND, self.gallery_SD, task.subjects_N)
        similarity_N = metrics.similarity(features_ND, self.gallery_SD, task.subjects_N)
        scenes_N = self.probe.classified(features_ND, task.scenes_N)
        near_mean_N = metrics.classified(features_ND, self.means_CD, task.scenes_N)
        centred_ND = metrics.centred(features_ND, self.means_CD[task.scenes_N])
        gallery_SD = metrics.centred(self.gallery_SD, self.gallery_SD.mean(0, keepdim=True))
        centred_N = metrics.retrieved(centred_ND, gallery_SD, task.subjects_N)
        apart_N = metrics.told_apart(features_ND, self.gallery_SD, task.subjects_N)
        row = Row(name, task.subjects_N, retrieved_N, centred_N, apart_N, similarity_N, scenes_N, near_mean_N)
        logger.info(
            "%s: retrieval %.3f ± %.3f, similarity %.3f, scene %.3f",
            name, *row.measure("retrieved"), row.measure("similarity").value, row.measure("scenes").value,
        )  # fmt: skip
        return row


def data_rows(examiner: Examiner) -> list[Row]:
    """What needs no model: the ceiling, easier and harder real pictures, and the stand-ins."""
    task = examiner.task
    sprites_N4HW = task.sprites(OTHER_VIEW)
    return [
        examiner.row(SAME_VIEW, task.real(REFERENCE_VIEW)),
        examiner.row(CEILING, task.real(OTHER_VIEW)),
        examiner.row(FAR, task.real(FAR_VIEW)),
        examiner.row(CELLS_8, task.placed(reduce_to_cells(sprites_N4HW, 8))),
        examiner.row(CELLS_4, task.placed(reduce_to_cells(sprites_N4HW, 4))),
        examiner.row(DISC, task.placed(disc_of_mean_colour(sprites_N4HW))),
    ]


def model_rows(examiner: Examiner, miniature: Miniature) -> list[Row]:
    """The tokenizer's ceiling and the miniature at its preset, with each half of the reference left out."""
    task, preset = examiner.task, miniature.preset
    asks = {
        TEXT_ONLY: replace(preset, gamma_i=0.0),
        SEMANTIC: replace(preset, content=False),
        CONTENT: replace(preset, semantic=False),
        NANO: preset,
    }
    rows = [examiner.row(TOKENIZER, miniature.through_tokenizer(task.real(OTHER_VIEW)))]
    return rows + [examiner.row(name, miniature.pictures(task, ask)) for name, ask in asks.items()]


def sweep(examiner: Examiner, task: Task, miniature: Miniature) -> list[SweepPoint]:
    """γ_I from 0 to 4 with both conditions and with each alone; `task` may be a shorter one."""
    points: list[SweepPoint] = []
    for conditions in ("both", "semantic", "content"):
        for gamma_i in SWEEP:
            if gamma_i == 0 and points:
                first = points[0]  # without weight the reference cannot matter: the same pictures
                points.append(replace(first, conditions=conditions))
                continue
            ask: Ask = replace(
                miniature.preset,
                gamma_i=gamma_i,
                semantic=conditions != "content",
                content=conditions != "semantic",
            )
            points.append(_sweep_point(examiner, task, conditions, gamma_i, miniature.pictures(task, ask)))
    return points


def text_sweep(examiner: Examiner, task: Task, miniature: Miniature) -> list[SweepPoint]:
    """γ_t over the useful range, with both conditions at TEXT_GAMMA_I and at the preset's γ_I."""
    points = []
    for gamma_i in dict.fromkeys((TEXT_GAMMA_I, miniature.preset.gamma_i)):
        for gamma_t in TEXT_SWEEP:
            ask = replace(miniature.preset, gamma_t=gamma_t, gamma_i=gamma_i)
            pictures = miniature.pictures(task, ask)
            points.append(_sweep_point(examiner, task, beside(gamma_i), gamma_t, pictures))
    return points


def beside(gamma_i: float) -> str:
    """The conditions of a sweep of γ_t."""
    return f"{BESIDE}{gamma_i:g}"


def _sweep_point(
    examiner: Examiner, task: Task, conditions: str, gamma: float, images_N3HW: Tensor
) -> SweepPoint:
    features_ND = examiner.judge.features(images_N3HW)
    point = SweepPoint(
        conditions,
        gamma,
        task.subjects_N,
        metrics.retrieved(features_ND, examiner.gallery_SD, task.subjects_N),
        metrics.similarity(features_ND, examiner.gallery_SD, task.subjects_N),
        examiner.probe.classified(features_ND, task.scenes_N),
    )
    logger.info("%s, γ %.0f: similarity %.3f", conditions, gamma, point.measure("similarity").value)
    return point


def gates(rows: list[Row], points: list[SweepPoint]) -> list[Gate]:
    """The conditions of acceptance of a first miniature; differences are paired over subjects."""
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
    """Whether what the largest γ gives is clearly above what the smallest gives."""
    found = {point.gamma: point for point in points if point.conditions == conditions}
    start, end = found[min(found)], found[max(found)]
    rise, rises = metrics.clearly_above(
        getattr(end, f"{values}_N"), getattr(start, f"{values}_N"), start.subjects_N
    )
    course = " ".join(f"{found[gamma].measure(values).value:.3f}" for gamma in sorted(found))
    return Gate(name, rises, f"{course}; {rise.value:+.3f}, standard error {rise.error:.3f}")
