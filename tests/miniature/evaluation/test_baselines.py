"""Baselines that keep colours and lose form."""

from __future__ import annotations

import pytest
import torch

from miniature.evaluation import (
    baselines,
)


def test_cells_keep_means_and_lose_form() -> None:
    sprite_4HW = torch.zeros(4, 16, 16)
    sprite_4HW[3, 4:12, 4:12] = 1
    sprite_4HW[0, 4:12, 4:8] = 1  # left half red, right half blue
    sprite_4HW[2, 4:12, 8:12] = 1
    one = baselines.reduce_to_cells(sprite_4HW[None], 1)[0]
    torch.testing.assert_close(one[:3, 8, 8], torch.tensor([0.5, 0.0, 0.5]))
    torch.testing.assert_close(one[3], sprite_4HW[3])
    two = baselines.reduce_to_cells(sprite_4HW[None], 2)[0]
    torch.testing.assert_close(two[:3, 8, 4], torch.tensor([1.0, 0.0, 0.0]))
    torch.testing.assert_close(two[:3, 8, 11], torch.tensor([0.0, 0.0, 1.0]))


def test_cells_average_colour_by_opacity() -> None:
    sprite_4HW = torch.zeros(4, 8, 8)
    sprite_4HW[:, :, 0] = torch.tensor([1.0, 0.0, 0.0, 1.0])[:, None]
    sprite_4HW[:, 0, :] = torch.tensor([1.0, 0.0, 0.0, 1.0])[:, None]
    sprite_4HW[1, 4:, 4:] = 1  # green without opacity must not tint
    found = baselines.reduce_to_cells(sprite_4HW[None], 1)[0]
    torch.testing.assert_close(found[:3, 4, 4], torch.tensor([1.0, 0.0, 0.0]))
    assert float(found[3, 4, 4]) == pytest.approx(15 / 64)


def test_the_square_around_a_subject_may_leave_the_frame() -> None:
    alpha_HW = torch.zeros(10, 10)
    alpha_HW[0:10, 8:10] = 1
    assert baselines.bounding_square(alpha_HW) == (0, 4, 10)
    sprite_4HW = alpha_HW.expand(4, 10, 10)
    assert baselines.reduce_to_cells(sprite_4HW[None], 4).shape == (1, 4, 10, 10)
    with pytest.raises(ValueError, match="transparent"):
        baselines.bounding_square(torch.zeros(4, 4))


def test_the_disc_has_the_subjects_colour_area_and_middle() -> None:
    sprite_4HW = torch.zeros(4, 64, 64)
    sprite_4HW[3, 10:40, 20:50] = 1
    sprite_4HW[0, 10:40, 20:35] = 1  # half red, half black
    disc_4HW = baselines.disc_of_mean_colour(sprite_4HW[None])[0]
    torch.testing.assert_close(disc_4HW[:3, 25, 35], torch.tensor([0.5, 0.0, 0.0]))
    assert float(disc_4HW[3].sum()) == pytest.approx(900, rel=0.01)
    rows, columns = torch.nonzero(disc_4HW[3] > 0.5, as_tuple=True)
    assert float(rows.float().mean()) == pytest.approx(24.5, abs=0.1)
    assert float(columns.float().mean()) == pytest.approx(34.5, abs=0.1)
