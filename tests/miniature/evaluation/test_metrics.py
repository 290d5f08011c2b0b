"""The measures, on cases worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from miniature.evaluation import (
    metrics,
)
from miniature.evaluation.metrics import Measure


def test_a_picture_is_retrieved_when_its_own_reference_is_the_most_alike() -> None:
    gallery_GD = torch.eye(3)
    features_ND = torch.tensor([[0.8, 0.6, 0.0], [0.8, 0.6, 0.0], [0.0, 0.6, 0.8], [0.6, 0.6, 0.5]])
    labels_N = torch.tensor([0, 1, 2, 0])
    # the last ties with subject 1: a miss
    assert metrics.retrieved(features_ND, gallery_GD, labels_N).tolist() == [1, 0, 1, 0]
    found = metrics.similarity(features_ND, gallery_GD, labels_N)
    torch.testing.assert_close(found, torch.tensor([0.8, 0.6, 0.8, 0.6]))


def test_a_picture_is_told_from_the_subject_most_alike() -> None:
    gallery_GD = F.normalize(torch.tensor([[1.0, 0, 0], [0.9, 0.4, 0], [0, 0, 1]]), dim=1)
    features_ND = F.normalize(torch.tensor([[1.0, 0.1, 0], [1, 0.4, 0], [1, 0, 0.9], [1, 0, 0.9]]), dim=1)
    # 0 and 1 are each other's rivals, and that of 2 (equally unlike both) is the first, 0
    labels_N = torch.tensor([0, 0, 2, 1])
    assert metrics.beats_hard_negative(features_ND, gallery_GD, labels_N).tolist() == [1, 0, 0, 0]


def test_the_standard_error_is_that_of_the_subjects_means() -> None:
    values_N = torch.tensor([1.0, 1.0, 0.0, 1.0, 0.0, 0.0])
    labels_N = torch.tensor([0, 0, 1, 1, 2, 2])
    # means 1, 0.5, 0: mean 0.5, sample deviation 0.5, error 0.5 / sqrt(3)
    found = metrics.over_subjects(values_N, labels_N)
    assert found.value == pytest.approx(0.5)
    assert found.error == pytest.approx(0.5 / math.sqrt(3))
    assert metrics.over_subjects(values_N[:2], labels_N[:2]) == Measure(1.0, 0.0)


def test_a_difference_is_clear_from_two_paired_standard_errors_on() -> None:
    labels_N = torch.arange(4)
    base_N = torch.tensor([0.1, 0.5, 0.2, 0.9])
    difference, clear = metrics.clearly_above(base_N + 0.1, base_N, labels_N)
    assert difference.value == pytest.approx(0.1)
    assert difference.error == pytest.approx(0.0, abs=1e-7)
    assert clear
    # differences 1, 0, 0, 0: mean 0.25, error 0.25: one standard error only
    difference, clear = metrics.clearly_above(base_N + torch.tensor([1.0, 0, 0, 0]), base_N, labels_N)
    assert difference == Measure(pytest.approx(0.25), pytest.approx(0.25))
    assert not clear
    assert not metrics.clearly_above(base_N, base_N, labels_N)[1]


def test_scenes_are_told_by_the_nearest_class_mean() -> None:
    features_ND = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 10.0], [0.0, 12.0]])
    means_CD = metrics.class_means(features_ND, torch.tensor([0, 0, 1, 1]), 2)
    assert means_CD.tolist() == [[1.0, 0.0], [0.0, 11.0]]
    asked_ND = torch.tensor([[1.0, 5.0], [1.0, 7.0]])
    assert metrics.classified(asked_ND, means_CD, torch.tensor([0, 0])).tolist() == [1, 0]
    with pytest.raises(ValueError, match="each of 3 classes"):
        metrics.class_means(features_ND, torch.tensor([0, 0, 1, 1]), 3)


def test_the_probe_heeds_what_tells_classes_apart() -> None:
    # the second number is large and means nothing; nearest means would follow it
    features_ND = torch.tensor([[0.0, 9.0], [0.0, -9.0], [1.0, 9.0], [1.0, -5.0]])
    labels_N = torch.tensor([0, 0, 1, 1])
    probe = metrics.LinearProbe(features_ND, labels_N, 2, ridge=0.01)
    asked_ND = torch.tensor([[0.1, 8.0], [0.9, -8.0]])
    assert probe.classified(asked_ND, torch.tensor([0, 1])).tolist() == [1, 1]
    means_CD = metrics.class_means(features_ND, labels_N, 2)
    assert metrics.classified(asked_ND, means_CD, torch.tensor([0, 1])).tolist() == [0, 0]


def test_centring_takes_the_surroundings_off() -> None:
    found = metrics.centred(torch.tensor([[3.0, 5.0]]), torch.tensor([[0.0, 1.0]]))
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.8]]))
