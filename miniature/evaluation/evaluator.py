"""The evaluation's rows and sweeps: real pictures, baselines and the miniature, all judged alike.

Every row answers the same questions (protocol.Task) and is judged by the same features (judge.Judge).
Shapes: N pictures, H and W pixels.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from . import metrics
from .baselines import disc_of_mean_colour, reduce_to_cells
from .generation import Miniature
from .judge import Judge
from .protocol import FAR_VIEW, OTHER_VIEW, REFERENCE_VIEW, Task, half_resolution, scene_examples
from .results import (
    CEILING,
    CELLS_4,
    CELLS_8,
    CONTENT,
    DISC,
    FAR,
    NANO,
    SAME_VIEW,
    SEMANTIC,
    TEXT_ONLY,
    TOKENIZER,
    Row,
    SweepPoint,
    text_sweep_at,
)

logger = logging.getLogger(__name__)

SWEEP = (0.0, 1.0, 2.0, 3.0, 4.0)
TEXT_SWEEP = (0.0, 1.0, 2.0, 4.0)
TEXT_GAMMA_I = 1.0
"""γ_I of the sweep in which γ_t has to raise scene accuracy; a second sweep runs at the preset's γ_I.

A larger γ_I leaves γ_t little to do: prompt and subject together already say more about the scene than the
prompt alone, and γ_I multiplies that difference.
"""
EXAMPLES_PER_SCENE = 30
SCENE_SEED_OFFSET = 500_000  # the classifier's pictures share no seed with the task


class Evaluator:
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
        """Judges pictures [N, 3, H, W], one for each of the task's prompts."""
        task = self.task
        features_ND = self.judge.features(images_N3HW)
        retrieved_N = metrics.retrieved(features_ND, self.gallery_SD, task.subjects_N)
        similarity_N = metrics.similarity(features_ND, self.gallery_SD, task.subjects_N)
        scenes_N = self.probe.classified(features_ND, task.scenes_N)
        near_mean_N = metrics.classified(features_ND, self.means_CD, task.scenes_N)
        centred_ND = metrics.centred(features_ND, self.means_CD[task.scenes_N])
        gallery_SD = metrics.centred(self.gallery_SD, self.gallery_SD.mean(0, keepdim=True))
        centred_N = metrics.retrieved(centred_ND, gallery_SD, task.subjects_N)
        hard_negative_N = metrics.beats_hard_negative(features_ND, self.gallery_SD, task.subjects_N)
        row = Row(
            name,
            task.subjects_N,
            retrieved_N,
            centred_N,
            hard_negative_N,
            similarity_N,
            scenes_N,
            near_mean_N,
        )
        logger.info(
            "%s: retrieval %.3f ± %.3f, similarity %.3f, scene %.3f",
            name, *row.measure("retrieved"), row.measure("similarity").value, row.measure("scenes").value,
        )  # fmt: skip
        return row


def data_rows(evaluator: Evaluator) -> list[Row]:
    """Rows that need no model: the ceiling, easier and harder real pictures, and the baselines."""
    task = evaluator.task
    sprites_N4HW = task.sprites(OTHER_VIEW)
    return [
        evaluator.row(SAME_VIEW, task.real(REFERENCE_VIEW)),
        evaluator.row(CEILING, task.real(OTHER_VIEW)),
        evaluator.row(FAR, task.real(FAR_VIEW)),
        evaluator.row(CELLS_8, task.placed(reduce_to_cells(sprites_N4HW, 8))),
        evaluator.row(CELLS_4, task.placed(reduce_to_cells(sprites_N4HW, 4))),
        evaluator.row(DISC, task.placed(disc_of_mean_colour(sprites_N4HW))),
    ]


def model_rows(evaluator: Evaluator, miniature: Miniature) -> list[Row]:
    """The tokenizer's ceiling, and the miniature at its preset: both paths, either path, text alone."""
    task, preset = evaluator.task, miniature.preset
    settings_by_row = {
        TEXT_ONLY: replace(preset, gamma_i=0.0),
        SEMANTIC: replace(preset, content=False),
        CONTENT: replace(preset, semantic=False),
        NANO: preset,
    }
    rows = [evaluator.row(TOKENIZER, miniature.through_tokenizer(task.real(OTHER_VIEW)))]
    return rows + [
        evaluator.row(name, miniature.generate(task, settings)) for name, settings in settings_by_row.items()
    ]


def sweep(evaluator: Evaluator, task: Task, miniature: Miniature) -> list[SweepPoint]:
    """γ_I from 0 to 4 with both conditions and with each alone; `task` may be a shorter one."""
    points: list[SweepPoint] = []
    for conditions in ("both", "semantic", "content"):
        for gamma_i in SWEEP:
            if gamma_i == 0 and points:
                first = points[0]  # without weight the reference cannot matter: the same pictures
                points.append(replace(first, conditions=conditions))
                continue
            settings = replace(
                miniature.preset,
                gamma_i=gamma_i,
                semantic=conditions != "content",
                content=conditions != "semantic",
            )
            points.append(
                _sweep_point(evaluator, task, conditions, gamma_i, miniature.generate(task, settings))
            )
    return points


def text_sweep(evaluator: Evaluator, task: Task, miniature: Miniature) -> list[SweepPoint]:
    """γ_t over the useful range, with both conditions at TEXT_GAMMA_I and at the preset's γ_I."""
    points = []
    for gamma_i in dict.fromkeys((TEXT_GAMMA_I, miniature.preset.gamma_i)):
        for gamma_t in TEXT_SWEEP:
            settings = replace(miniature.preset, gamma_t=gamma_t, gamma_i=gamma_i)
            pictures = miniature.generate(task, settings)
            points.append(_sweep_point(evaluator, task, text_sweep_at(gamma_i), gamma_t, pictures))
    return points


def _sweep_point(
    evaluator: Evaluator, task: Task, conditions: str, gamma: float, images_N3HW: Tensor
) -> SweepPoint:
    features_ND = evaluator.judge.features(images_N3HW)
    point = SweepPoint(
        conditions,
        gamma,
        task.subjects_N,
        metrics.retrieved(features_ND, evaluator.gallery_SD, task.subjects_N),
        metrics.similarity(features_ND, evaluator.gallery_SD, task.subjects_N),
        evaluator.probe.classified(features_ND, task.scenes_N),
    )
    logger.info("%s, γ %.0f: similarity %.3f", conditions, gamma, point.measure("similarity").value)
    return point
