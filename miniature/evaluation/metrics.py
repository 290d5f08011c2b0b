"""The measures, on features alone.

Shapes: N pictures, G gallery (one reference a subject), S subjects, C classes, D features. Features have unit
length.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Measure(NamedTuple):
    """A mean over subjects and its standard error (0 for a single subject)."""

    value: float
    error: float


def retrieved(features_ND: Tensor, gallery_GD: Tensor, labels_N: Tensor) -> Tensor:
    """Retrieval@1: 1.0 where the nearest in the gallery is the picture's own subject, [N]; ties miss."""
    cosine_NG = features_ND @ gallery_GD.T
    own_N = cosine_NG.gather(1, labels_N[:, None])[:, 0]
    others_NG = cosine_NG.scatter(1, labels_N[:, None], -math.inf)
    return (own_N > others_NG.amax(1)).float()


def beats_hard_negative(features_ND: Tensor, gallery_GD: Tensor, labels_N: Tensor) -> Tensor:
    """1.0 where a picture is closer to its own subject than to the hard negative, [N]; chance 0.5.

    The hard negative is the other subject whose reference is nearest to the own one's: the right one of two
    bottles, which retrieval among unlike things does not test.
    """
    cosine_GG = (gallery_GD @ gallery_GD.T).fill_diagonal_(-math.inf)
    negatives_ND = gallery_GD[cosine_GG.argmax(1)][labels_N]
    return (similarity(features_ND, gallery_GD, labels_N) > (features_ND * negatives_ND).sum(1)).float()


def similarity(features_ND: Tensor, gallery_GD: Tensor, labels_N: Tensor) -> Tensor:
    """Cosine of each picture to its own subject's reference, [N]."""
    return (features_ND * gallery_GD[labels_N]).sum(1)


def over_subjects(values_N: Tensor, labels_N: Tensor) -> Measure:
    """Mean of the subjects' means, and its standard error.

    Pictures of one subject are no independent draws: the error is that of the mean of S subjects, so more
    prompts a subject do not shrink it beyond what they are worth.
    """
    subjects = labels_N.unique()
    means_S = torch.stack([values_N[labels_N == subject].mean() for subject in subjects])
    if len(subjects) < 2:
        return Measure(float(means_S.mean()), 0.0)
    return Measure(float(means_S.mean()), float(means_S.std(correction=1)) / math.sqrt(len(subjects)))


def class_means(features_ND: Tensor, labels_N: Tensor, classes: int) -> Tensor:
    """Mean feature of each class, [C, D]. Raises ValueError when a class has no picture."""
    counts_C = torch.bincount(labels_N, minlength=classes)
    if len(counts_C) != classes or bool((counts_C == 0).any()):
        raise ValueError(f"Expected pictures of each of {classes} classes, got counts {counts_C.tolist()}.")
    sums_CD = torch.zeros(classes, features_ND.shape[1]).index_add_(0, labels_N, features_ND)
    return sums_CD / counts_C[:, None]


def classified(features_ND: Tensor, means_CD: Tensor, labels_N: Tensor) -> Tensor:
    """1.0 where the nearest class mean (Euclidean) is the picture's own class, [N]."""
    return (torch.cdist(features_ND, means_CD).argmin(1) == labels_N).float()


class LinearProbe:
    """Ridge regression from features to classes: picks up what distinguishes scenes, not the subject."""

    def __init__(self, features_ND: Tensor, labels_N: Tensor, classes: int, ridge: float = 1.0) -> None:
        self._mean_D = features_ND.mean(0)
        centred_ND = features_ND - self._mean_D
        targets_NC = F.one_hot(labels_N, classes).float()
        gram_NN = centred_ND @ centred_ND.T + ridge * torch.eye(len(centred_ND))
        self._weights_DC = centred_ND.T @ torch.linalg.solve(gram_NN, targets_NC - targets_NC.mean(0))
        self._bias_C = targets_NC.mean(0)

    def classified(self, features_ND: Tensor, labels_N: Tensor) -> Tensor:
        """1.0 where the highest score is that of the picture's own class, [N]."""
        scores_NC = (features_ND - self._mean_D) @ self._weights_DC + self._bias_C
        return (scores_NC.argmax(1) == labels_N).float()


def clearly_above(first_N: Tensor, second_N: Tensor, labels_N: Tensor) -> tuple[Measure, bool]:
    """Mean difference of two rows, paired over subjects, and whether it is at least two standard errors."""
    difference = over_subjects(first_N - second_N, labels_N)
    return difference, difference.value > 0 and difference.value >= 2 * difference.error


def centred(features_ND: Tensor, centres_ND: Tensor) -> Tensor:
    """Features minus a centre each, at unit length again, [N, D]."""
    return F.normalize(features_ND - centres_ND, dim=1)
