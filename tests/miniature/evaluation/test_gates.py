"""Gates and targets, and the report of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from miniature.evaluation import (
    metrics,
    places,
    protocol,
    report,
    results,
)
from miniature.evaluation.gates import gates, intervals_apart, targets
from miniature.evaluation.metrics import Measure
from miniature.psnr import psnr


def _row(name: str, retrieved: list[float], similarity: list[float], scenes: float) -> results.Row:
    retrieved_N, scenes_N = torch.tensor(retrieved).float(), torch.full((len(retrieved),), scenes)
    values = (retrieved_N, retrieved_N, retrieved_N, torch.tensor(similarity), scenes_N, scenes_N)
    return results.Row(name, torch.arange(len(retrieved)), *values)


def _point(conditions: str, gamma: float) -> results.SweepPoint:
    values_N = torch.full((3,), 0.1 * gamma)
    return results.SweepPoint(conditions, gamma, torch.arange(3), values_N, values_N, values_N)


def test_gates_compare_what_they_say(data: Path) -> None:
    task = protocol.build_task(data, 3, 1, seed=0)
    rows = [
        _row(results.CEILING, [1, 1, 1], [0.9, 0.9, 0.9], 1.0),
        _row(results.CELLS_8, [0, 0, 0], [0.5, 0.5, 0.5], 1.0),
        _row(results.CELLS_4, [0, 0, 1], [0.5, 0.5, 0.5], 1.0),
        _row(results.DISC, [0, 0, 0], [0.4, 0.4, 0.4], 1.0),
        _row(results.TEXT_ONLY, [0, 0, 0], [0.3, 0.3, 0.3], 1.0),
        _row(results.SEMANTIC, [1, 0, 0], [0.5, 0.6, 0.7], 0.8),
        _row(results.NANO, [1, 1, 1], [0.7, 0.7, 0.8], 0.79),
    ]
    points = [_point(conditions, gamma) for conditions in ("both", "γ_I 1") for gamma in (0.0, 4.0)]
    found_gates = gates(rows, points)
    assert [gate.passed for gate in found_gates] == [True, True, True, False, True, True]
    labels_N = torch.arange(3)
    placed = [
        places.PlaceRow(name, labels_N, labels_N, torch.tensor(right))
        for name, right in ((places.REAL, [1.0, 1.0, 1.0]), (places.NANO, [1.0, 1.0, 0.0]))
    ]
    wanted = targets(rows, points, placed, Measure(26.0, 0.1))
    # retrieval: 1 of 1; scenes 79 % < 90 %; places 2 of 3; the last step of similarity is not clear
    assert [gate.passed for gate in wanted] == [True, True, True, False, False, True, True, False]
    about = report.describe(task, 1, [0, 7], [])
    found = results.Results(rows, placed, points, found_gates, wanted)
    text = report.markdown(found, about)
    assert "| gate |" in text and "FAIL" in text and "0.790 of 1.000 = 79%" in text
    assert "seeds 0, 7" in text and f"| {places.NANO} | 0.667" in text
    saved = json.loads(json.dumps(report.as_json(found, about)))
    assert saved["gates"][3] == {
        "name": found_gates[3].name,
        "passed": False,
        "detail": found_gates[3].detail,
    }
    assert saved["targets"][4]["detail"].startswith("0.667") and saved["places"][0]["right"]["value"] == 1


def test_rounds_are_joined_picture_by_picture() -> None:
    first, second = _row("a", [1, 0, 1], [0.1, 0.2, 0.3], 1.0), _row("a", [0, 0, 1], [0.3, 0.4, 0.5], 0.5)
    (row,) = results.merge_seeds([[first], [second]])
    assert row.measure("retrieved").value == pytest.approx(0.5) and row.measure("scenes").value == 0.75
    assert row.measure("similarity") == metrics.over_subjects(torch.tensor([0.2, 0.3, 0.4]), torch.arange(3))
    assert intervals_apart(Measure(0.5, 0.1), Measure(0.9, 0.1)) and not intervals_apart(
        Measure(0.5, 0.1), Measure(0.8, 0.1)
    )
    images = torch.full((2, 3, 4, 4), 0.5)
    assert psnr((images - images - 0.1).square().mean((1, 2, 3))).tolist() == pytest.approx(
        [20.0, 20.0], abs=1e-3
    )
