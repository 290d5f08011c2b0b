"""Guidance over the scales: shapes, their ends, and what they save."""

from __future__ import annotations

import pytest

from echogen_core.sampling import Guidance, GuidanceSchedule
from echogen_core.sampling.guidance import SHAPES


def test_constant_is_the_official_guidance() -> None:
    assert GuidanceSchedule("constant", 2.5, 3.0).over(13) == Guidance.constant(2.5, 3.0, 13)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape not in ("constant", "drawn")])
@pytest.mark.parametrize("scales", [5, 7, 13])
def test_the_others_begin_at_gamma_and_end_at_the_end(shape: str, scales: int) -> None:
    guidance = GuidanceSchedule(shape, 2.5, 4.0, 1.0).over(scales)
    assert (guidance.gamma_t[0], guidance.gamma_i[0]) == (2.5, 4.0)
    assert guidance.weights(scales - 1) == (1.0, 0.0, 0.0), "exactly: one branch is left"
    assert list(guidance.gamma_i) == sorted(guidance.gamma_i, reverse=True)


def test_equal_gammas_stay_equal_so_that_two_branches_do() -> None:
    for shape in SHAPES[:-1]:
        guidance = GuidanceSchedule(shape, 2.3, 2.3, 0.7).over(13)
        assert all(guidance.weights(scale)[1] == 0 for scale in range(13)), shape


def test_thirds() -> None:
    assert GuidanceSchedule("early", 3, 3).over(13).gamma_t == (3,) * 5 + (1,) * 8
    assert GuidanceSchedule("late off", 3, 3).over(13).gamma_t == (3,) * 9 + (1,) * 4


def test_drawn_points_are_met_and_joined_by_lines() -> None:
    drawn = GuidanceSchedule("drawn", 0, 0, points_t=(4, 2, 0), points_i=(1.1, 2.2, 3.3, 4.4, 5.5))
    assert drawn.over(5).gamma_t == (4, 3, 2, 1, 0)
    assert drawn.over(5).gamma_i == (1.1, 2.2, 3.3, 4.4, 5.5)
    assert drawn.over(1).gamma_t == (4,)


def test_what_is_no_schedule() -> None:
    with pytest.raises(ValueError, match="constant, early"):
        GuidanceSchedule("wavy", 2, 2)
    with pytest.raises(ValueError, match="at least one point"):
        GuidanceSchedule("drawn", 2, 2, points_t=(1.0,))
