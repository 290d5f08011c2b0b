"""Judges one half of a picture: whose subject, which scene.

Shapes: N pictures, S subjects, D features, H and W pixels.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from .. import metrics
from ..judge import Judge
from ..protocol import half_resolution
from .questions import half, half_examples, standing

EXAMPLES_PER_SCENE = 12
SCENE_SEED_OFFSET = 500_000  # the classifier's pictures share no seed with the questions


class HalfJudge:
    """The gallery of references, and a classifier of scenes that has seen halves of pictures alone."""

    def __init__(self, judge: Judge, references_S3HW: Tensor, data: Path, seed: int) -> None:
        self._judge = judge
        self._gallery_SD = judge.features(references_S3HW)
        examples_M3HW, labels_M = half_examples(data, EXAMPLES_PER_SCENE, seed + SCENE_SEED_OFFSET)
        both_MD = judge.features(torch.cat((examples_M3HW, half_resolution(examples_M3HW))))
        self._probe = metrics.LinearProbe(both_MD, labels_M.repeat(2), int(labels_M.max()) + 1)

    def features(self, images_N3HW: Tensor, place: int) -> Tensor:
        """[N, D] of one half."""
        return self._judge.features(half(images_N3HW, place))

    def features_standing(self, images_N3HW: Tensor, place: int) -> Tensor:
        """[N, D] of what stands on the left or right alone."""
        return self._judge.features(standing(images_N3HW, place))

    def retrieved(self, features_ND: Tensor, subjects_N: Tensor) -> Tensor:
        """1.0 where the nearest reference is that subject's, [N]."""
        return metrics.retrieved(features_ND, self._gallery_SD, subjects_N)

    def similarity(self, features_ND: Tensor, subjects_N: Tensor) -> Tensor:
        """Cosine to that subject's reference, [N]."""
        return metrics.similarity(features_ND, self._gallery_SD, subjects_N)

    def in_scene(self, features_ND: Tensor, scenes_N: Tensor) -> Tensor:
        """1.0 where the half shows that scene, [N]; held-out scenes are numbered after the trained ones."""
        return self._probe.classified(features_ND, scenes_N)
