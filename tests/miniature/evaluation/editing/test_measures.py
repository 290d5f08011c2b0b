"""The measures of editing, on pictures whose values are known."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from echogen_core.editing import Edit
from echogen_core.sampling import Target
from echogen_core.scales import find_schedule
from echogen_core.tokenizer.bsq import quantize_multiscale
from miniature.data.prompt_words import LEFT, MIDDLE, RIGHT
from miniature.evaluation.editing.drawing import StoredBits
from miniature.evaluation.editing.figures import EditRow, Table, clearly_below, difference, pooled, ratio
from miniature.evaluation.editing.insertion import changed_outside, step_across
from miniature.evaluation.editing.pairs import COLUMNS, NAMED, REGIONS, SINGLE, pairs_gates
from miniature.evaluation.editing.questions import half, half_mask

SCHEDULE = find_schedule("nano")


def row(values: list[float], subjects: list[int]) -> EditRow:
    return EditRow("row", torch.tensor(subjects), {"found": torch.tensor(values, dtype=torch.float32)})


def test_the_step_across_an_edge_is_that_of_the_pixels_beside_it() -> None:
    images_N3HW = torch.zeros(2, 3, 8, 8)
    images_N3HW[1, :, :, 4:] = 0.2
    images_N3HW[:, :, :, 6] = 1  # not at the edge
    mask_1HW = half_mask(RIGHT, 8)[None]
    torch.testing.assert_close(step_across(images_N3HW, mask_1HW), torch.tensor([0.0, 51.0]))
    assert step_across(images_N3HW, torch.ones(1, 8, 8)).tolist() == [0, 0], "no edge"


def test_a_half_is_shown_in_the_middle_of_white() -> None:
    images_N3HW = torch.zeros(1, 3, 8, 8)
    images_N3HW[..., :4] = 0.5
    assert half(images_N3HW, LEFT)[0, 0, 0].tolist() == [1, 1, 0.5, 0.5, 0.5, 0.5, 1, 1]
    assert half(images_N3HW, RIGHT)[0, 0, 0].tolist() == [1, 1, 0, 0, 0, 0, 1, 1]
    with pytest.raises(ValueError, match="left or the right half"):
        half(images_N3HW, MIDDLE)


def test_only_pixels_outside_the_feathered_mask_count_as_changed() -> None:
    ground_13HW = torch.zeros(1, 3, 128, 128)
    edit = Edit(ground_13HW, half_mask(RIGHT, 128)[None], SCHEDULE, feather=4)
    finished_13HW = edit.pasted_back(edit.redrawn(), torch.ones(1, 3, 128, 128))
    assert changed_outside(ground_13HW, finished_13HW, edit, edit.redrawn()).tolist() == [0]
    finished_13HW[..., 0, :3] = 0.1
    assert changed_outside(ground_13HW, finished_13HW, edit, edit.redrawn()).tolist() == [3]


def test_seeds_are_pooled_and_subjects_resampled() -> None:
    table = Table("t", "", {"found": "found"}, [row([1, 0], [0, 1])])
    both = pooled([table, replace(table, rows=[row([1, 1], [0, 1])])])
    assert both.rows[0].means("found").tolist() == [1, 0.5]
    assert both.rows[0].interval("found") == (0.75, 0.5, 1.0)
    half_as_good, good = row([0.5, 0.25], [0, 1]), row([1, 0.5], [0, 1])
    assert ratio(half_as_good, good, "found") == (0.5, 0.5, 0.5)
    assert clearly_below(difference(half_as_good, good, "found"))
    assert not clearly_below(difference(good, good, "found"))


def test_stored_bits_are_those_of_the_picture_alone() -> None:
    latent_BDHW = torch.randn(1, 32, 16, 16, generator=torch.Generator().manual_seed(0))
    stored = quantize_multiscale(latent_BDHW, SCHEDULE.scales).bits
    mask_BHW = half_mask(RIGHT, 128)[None]
    kept = StoredBits(latent_BDHW, mask_BHW).keeping(SCHEDULE, torch.device("cpu"))
    requantized = Target(latent_BDHW, mask_BHW).keeping(SCHEDULE, torch.device("cpu"))
    same = []
    for index, bits_BhwD in enumerate(stored):
        drawn_BhwD = 1 - bits_BhwD
        taken_BhwD, own_BhwD = kept(drawn_BhwD, index), requantized(drawn_BhwD, index)
        columns = slice(0, bits_BhwD.shape[2] // 2)  # of the left half; none at the first scale
        assert torch.equal(taken_BhwD[:, :, columns], bits_BhwD[:, :, columns])
        same.append(torch.equal(own_BhwD[:, :, columns], bits_BhwD[:, :, columns]))
    assert not all(same), "re-quantising answers what was drawn"


@pytest.mark.parametrize(("both", "by_name", "passed"), [(0, 0, False), (0.1, 0, True), (0.4, 0.2, False)])
def test_finding_nothing_is_not_four_times_as_often(both: float, by_name: float, passed: bool) -> None:
    found = {
        SINGLE: {"squared": 0.1, "scene": 0.5},
        REGIONS: {"both": both, "swapped": 0, "scene": 0.5},
        NAMED: {"both": by_name},
    }
    subjects_N = torch.arange(2)
    rows = [
        EditRow(name, subjects_N, {measure: torch.full((2,), float(value)) for measure, value in row.items()})
        for name, row in found.items()
    ]
    gates = pairs_gates(Table("t", "", COLUMNS, rows))
    assert [gate.passed for gate in gates if "4 times" in gate.name] == [passed]
