"""Scale schedules: the grids of tokens that next-scale prediction fills, coarse to fine.

A schedule belongs to an aspect ratio and a pixel budget. The smaller budgets of the official models are
prefixes of the largest one ("1M"), so one ladder per aspect ratio is all the data there is; wide ladders
are the tall ones transposed (checked against the official table in the tests).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate

from .config import TITLES, Preset

Grid = tuple[int, int]
"""Height and width in tokens."""

# fmt: off
_TALL_LADDERS: dict[str, tuple[float, tuple[Grid, ...]]] = {
    # aspect ratio (width:height) -> (official height/width template, grids of the 1M budget)
    "1:1": (
        1.0,
        ((1, 1), (2, 2), (4, 4), (6, 6), (8, 8), (12, 12), (16, 16),
         (20, 20), (24, 24), (32, 32), (40, 40), (48, 48), (64, 64)),
    ),
    "4:5": (
        1.25,
        ((1, 1), (2, 2), (3, 3), (5, 4), (10, 8), (15, 12), (20, 16),
         (25, 20), (30, 24), (35, 28), (45, 36), (55, 44), (70, 56)),
    ),
    "3:4": (
        1.333,
        ((1, 1), (2, 2), (4, 3), (8, 6), (12, 9), (16, 12), (20, 15),
         (24, 18), (28, 21), (36, 27), (48, 36), (60, 45), (72, 54)),
    ),
    "2:3": (
        1.5,
        ((1, 1), (2, 2), (3, 2), (6, 4), (9, 6), (15, 10), (21, 14),
         (27, 18), (33, 22), (39, 26), (48, 32), (63, 42), (78, 52)),
    ),
    "4:7": (
        1.75,
        ((1, 1), (2, 2), (3, 3), (7, 4), (11, 6), (14, 8), (21, 12),
         (28, 16), (35, 20), (42, 24), (56, 32), (70, 40), (84, 48)),
    ),
    "1:2": (
        2.0,
        ((1, 1), (2, 2), (4, 2), (6, 3), (10, 5), (16, 8), (22, 11),
         (30, 15), (38, 19), (46, 23), (60, 30), (74, 37), (90, 45)),
    ),
    "2:5": (
        2.5,
        ((1, 1), (2, 2), (5, 2), (10, 4), (15, 6), (20, 8), (25, 10),
         (30, 12), (40, 16), (50, 20), (65, 26), (80, 32), (100, 40)),
    ),
    "1:3": (
        3.0,
        ((1, 1), (2, 2), (6, 2), (9, 3), (15, 5), (21, 7), (27, 9),
         (36, 12), (45, 15), (54, 18), (72, 24), (90, 30), (111, 37)),
    ),
}
_WIDE_TEMPLATES = {"4:5": 0.8, "3:4": 0.75, "2:3": 0.666, "4:7": 0.571, "1:2": 0.5, "2:5": 0.4, "1:3": 0.333}
# fmt: on
_BUDGET_SCALES = {"0.06M": 7, "0.25M": 10, "0.60M": 12, "1M": 13}
_MINIATURE_LADDERS: dict[str, tuple[int, tuple[Grid, ...]]] = {
    # budget -> (pixels per token side, grids)
    "nano": (8, ((1, 1), (2, 2), (4, 4), (8, 8), (16, 16))),
    "nano-fine": (8, ((1, 1), (2, 2), (3, 3), (5, 5), (8, 8), (12, 12), (16, 16))),
    "nano-256": (8, ((1, 1), (2, 2), (4, 4), (8, 8), (16, 16), (32, 32))),
}

ASPECT_RATIOS: tuple[str, ...] = tuple(
    ratio for tall in _TALL_LADDERS for ratio in dict.fromkeys((tall, ":".join(reversed(tall.split(":")))))
)
"""All aspect ratios, as width:height, in the order of the official templates."""

BUDGETS: tuple[str, ...] = ("nano", *_BUDGET_SCALES)
"""Budgets of the models that can be chosen (config.PRESETS)."""


@dataclass(frozen=True)
class ScaleSchedule:
    """The grids of one picture, coarse to fine.

    aspect_ratio: width:height; h_div_w: the official template; budget: one of BUDGETS.
    scales: (height, width) in tokens; patch: pixels per token side of the last scale.
    rope_grid: grid that rotary positions are normalised to (always the 1M grid of the aspect ratio).
    """

    aspect_ratio: str
    h_div_w: float
    budget: str
    scales: tuple[Grid, ...]
    patch: int
    rope_grid: Grid

    @property
    def pixels_hw(self) -> tuple[int, int]:
        """Height and width of the picture in pixels, as it is encoded; a tokenizer may draw it larger."""
        height, width = self.scales[-1]
        return height * self.patch, width * self.patch

    @property
    def tokens(self) -> int:
        """Tokens of all scales together."""
        return sum(h * w for h, w in self.scales)

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """[start, end) of each scale in the sequence of all tokens."""
        ends = tuple(accumulate(h * w for h, w in self.scales))
        return tuple(zip((0, *ends[:-1]), ends, strict=True))


def find_schedule(budget: str, aspect_ratio: str = "1:1") -> ScaleSchedule:
    """The schedule of an aspect ratio (width:height) at a pixel budget.

    Raises ValueError, naming the choices, when the budget or the aspect ratio is unknown.
    """
    if budget not in BUDGETS and budget not in _MINIATURE_LADDERS:
        raise ValueError(f"Unknown pixel budget {budget!r}: choose one of {', '.join(BUDGETS)}.")
    if aspect_ratio not in ASPECT_RATIOS:
        raise ValueError(f"Unknown aspect ratio {aspect_ratio!r}: choose one of {', '.join(ASPECT_RATIOS)}.")
    h_div_w, ladder = _ladder(aspect_ratio)
    if budget in _MINIATURE_LADDERS:
        if aspect_ratio != "1:1":
            raise ValueError(
                f"{budget} draws square pictures only, not {aspect_ratio}: set the aspect ratio to 1:1."
            )
        patch, scales = _MINIATURE_LADDERS[budget]
        return ScaleSchedule("1:1", 1.0, budget, scales, patch, ladder[-1])
    return ScaleSchedule(aspect_ratio, h_div_w, budget, ladder[: _BUDGET_SCALES[budget]], 16, ladder[-1])


def preset_schedule(preset: Preset, budget: str | None = None, aspect_ratio: str = "1:1") -> ScaleSchedule:
    """The schedule of a preset's pictures; budget None: the one that it was trained for.

    Raises ValueError, in words for artists, for more scales than the model has, and as `find_schedule`.
    """
    schedule = find_schedule(budget or preset.budget, aspect_ratio)
    if len(schedule.scales) > preset.transformer.levels:
        height, width = preset.tokenizer.drawn_hw(find_schedule(preset.budget).scales[-1])
        title = TITLES.get(preset.name, preset.name)
        raise ValueError(f"{title} draws {width}×{height} only: set size to auto.")
    return schedule


def nearest_schedule(budget: str, height: int, width: int) -> ScaleSchedule:
    """The schedule whose proportions are nearest to a picture's, at a pixel budget.

    Raises ValueError for an unknown budget, or a side below 1.
    """
    if min(height, width) < 1:
        raise ValueError(f"Expected a picture with pixels, got {width}×{height}.")
    ratios = ("1:1",) if budget in _MINIATURE_LADDERS else ASPECT_RATIOS
    schedules = [find_schedule(budget, ratio) for ratio in ratios]
    return min(
        schedules, key=lambda each: abs(math.log(each.pixels_hw[0] * width / each.pixels_hw[1] / height))
    )


def nearest_preset_schedule(preset: Preset, budget: str | None, height: int, width: int) -> ScaleSchedule:
    """`preset_schedule` with the aspect ratio that is nearest to a picture's. Raises as both."""
    nearest = nearest_schedule(budget or preset.budget, height, width)
    return preset_schedule(preset, budget, nearest.aspect_ratio)


def _ladder(aspect_ratio: str) -> tuple[float, tuple[Grid, ...]]:
    if aspect_ratio in _TALL_LADDERS:
        return _TALL_LADDERS[aspect_ratio]
    tall = ":".join(reversed(aspect_ratio.split(":")))
    return _WIDE_TEMPLATES[tall], tuple((w, h) for h, w in _TALL_LADDERS[tall][1])
