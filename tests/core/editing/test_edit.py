"""Edits of pictures and masks of every kind: what the model sees, what may change, and what comes back."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from echogen_core.config import find_preset
from echogen_core.editing import (
    AREAS,
    CONTEXT,
    Canvas,
    Edit,
    Fit,
    Frame,
    Way,
    area_mask,
    grown,
    marked_box,
    region_notes,
)
from echogen_core.editing.edit import inset
from echogen_core.sampling import Target
from echogen_core.scales import ASPECT_RATIOS, ScaleSchedule, find_schedule

pytestmark = pytest.mark.usefixtures("one_thread")
SCHEDULES = [find_schedule("0.06M", ratio) for ratio in ASPECT_RATIOS]
"""Those of the 2B model at the smallest size: 256 px and the same area in every proportion."""
KINDS = ("pixel", "column", "row", "corner", "soft", "all", "specks")

sides = st.integers(16, 120)
schedules = st.sampled_from(SCHEDULES)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def mask(kind: str, height: int, width: int) -> torch.Tensor:
    area = torch.zeros(height, width)
    if kind == "pixel":
        area[height // 2, width // 3] = 1
    elif kind == "column":
        area[:, width // 2] = 1
    elif kind == "row":
        area[-1] = 1
    elif kind == "corner":
        area[: height // 2, width // 2 :] = 1
    elif kind == "soft":
        area = torch.linspace(0, 1, width).expand(height, width).clone()
    elif kind == "all":
        area += 1
    else:
        area[::7, ::5] = noise(*area[::7, ::5].shape)
    return area


def touched(canvas: Canvas, feather: float) -> torch.Tensor:
    """[B, H, W]: where a feathered mask may be above 0."""
    return grown(canvas.masks_BHW, math.ceil(1.5 * feather)) > 0


def drawn(schedule: ScaleSchedule, count: int = 1) -> torch.Tensor:
    return noise(count, 3, *schedule.pixels_hw, seed=7)


def footprints(schedule: ScaleSchedule, *boxes: tuple[float, float, float, float]) -> torch.Tensor:
    """Left, top, right, bottom as shares of the canvas."""
    height, width = schedule.pixels_hw
    found = torch.zeros(len(boxes), height, width)
    for foot_hw, (left, top, right, bottom) in zip(found, boxes, strict=True):
        foot_hw[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = 1
    return found


WHOLE = footprints(SCHEDULES[0], (0.1, 0.1, 0.9, 0.9))
"""A subject that fills most of the square canvas."""


@settings(max_examples=40, deadline=None)
@given(
    sides, sides, schedules, st.sampled_from(KINDS), st.sampled_from(list(Fit)), st.sampled_from([0.0, 3.0])
)
def test_outside_the_feathered_mask_redrawn_pictures_are_the_same_bits(
    height: int, width: int, schedule: ScaleSchedule, kind: str, fit: Fit, feather: float
) -> None:
    picture = noise(1, 3, height, width)
    edit = Edit(picture, mask(kind, height, width)[None], schedule, fit=fit, feather=feather)
    canvas = edit.redrawn()
    assert canvas.pictures_B3hw.shape == (1, 3, *schedule.pixels_hw)
    assert canvas.masks_Bhw.shape == (1, *schedule.pixels_hw)
    assert 0 <= float(canvas.masks_Bhw.min()) <= float(canvas.masks_Bhw.max()) <= 1
    back = edit.pasted_back(canvas, drawn(schedule))
    assert back.shape == picture.shape and 0 <= float(back.min()) <= float(back.max()) <= 1
    outside = ~touched(canvas, feather)[0]
    assert torch.equal(back[..., outside], picture[..., outside])


boxes = st.tuples(st.floats(0, 0.7), st.floats(0, 0.7), st.floats(0.1, 1), st.floats(0.1, 1)).map(
    lambda b: (b[0], b[1], min(1.0, b[0] + b[2]), min(1.0, b[1] + b[3]))
)


@settings(max_examples=40, deadline=None)
@given(sides, sides, schedules, st.sampled_from(KINDS), boxes)
def test_a_placed_subject_is_in_the_masks_box(
    height: int,
    width: int,
    schedule: ScaleSchedule,
    kind: str,
    foot: tuple[float, float, float, float],
) -> None:
    picture, area = noise(1, 3, height, width), mask(kind, height, width)
    edit = Edit(picture, area[None], schedule, Way.PLACE, feather=0)
    canvas = edit.placed(drawn(schedule), footprints(schedule, foot))
    assert not canvas.missed
    changed = (edit.pasted_back(canvas, drawn(schedule)) != picture)[0].any(0)
    left, top, right, bottom = marked_box(area, largest=True) or (0, 0, 0, 0)
    inside = torch.zeros(height, width, dtype=torch.bool)
    inside[top:bottom, left:right] = True
    assert not bool((changed & ~inside).any())
    # the composite is the drawn subject in front of the picture
    foot_1hw = canvas.masks_Bhw
    core, far = grown(1 - foot_1hw, 12)[0] == 0, grown(foot_1hw, 12)[0] == 0
    ground = canvas.frames[0].onto_canvas(picture)
    assert torch.allclose(canvas.pictures_B3hw[..., core], drawn(schedule)[..., core], atol=1e-5)
    assert torch.equal(canvas.pictures_B3hw[..., far], ground[..., far])


@settings(max_examples=80, deadline=None)
@given(boxes, boxes, st.integers(100, 900), st.integers(100, 900), schedules)
def test_bringing_puts_the_part_into_the_box_and_on_its_lower_edge(
    part: tuple[float, float, float, float],
    onto: tuple[float, float, float, float],
    height: int,
    width: int,
    schedule: ScaleSchedule,
) -> None:
    down, across = schedule.pixels_hw
    of_canvas = marked_box(footprints(schedule, part)[0])
    of_picture = tuple(round(share * side) for share, side in zip(onto, (width, height) * 2, strict=True))
    assert of_canvas is not None
    frame = Frame.bringing(of_canvas, of_picture, (height, width), schedule.pixels_hw)  # type: ignore[arg-type]
    left, right = (frame.left + of_canvas[side] * frame.width / across for side in (0, 2))
    top, bottom = (frame.top + of_canvas[side] * frame.height / down for side in (1, 3))
    rounding = 1.01
    assert left >= of_picture[0] - rounding and right <= of_picture[2] + rounding
    assert top >= of_picture[1] - rounding and abs(bottom - of_picture[3]) <= rounding
    assert abs((left + right) / 2 - (of_picture[0] + of_picture[2]) / 2) <= rounding
    large = (
        right - left >= of_picture[2] - of_picture[0] - 2 or bottom - top >= of_picture[3] - of_picture[1] - 2
    )
    small = of_canvas[2] - of_canvas[0] < across / 4 or of_canvas[3] - of_canvas[1] < down / 4
    assert large or small, "as large as the box allows"


@settings(max_examples=80, deadline=None)
@given(boxes, st.integers(30, 400), st.integers(30, 400), schedules)
def test_around_shows_the_box_and_stays_in_the_picture_where_it_fits(
    share: tuple[float, float, float, float], height: int, width: int, schedule: ScaleSchedule
) -> None:
    left, top, right, bottom = (
        round(part * side) for part, side in zip(share, (width, height) * 2, strict=True)
    )
    box = (left, top, max(right, left + 1), max(bottom, top + 1))
    frame = Frame.around(box, (height, width), schedule.pixels_hw)
    for begin, length, limit, first, last in (
        (frame.left, frame.width, width, box[0], box[2]),
        (frame.top, frame.height, height, box[1], box[3]),
    ):
        assert begin <= first and last <= begin + length, "all of the box is shown"
        if length <= limit:
            assert begin >= 0 and begin + length <= limit
    whole = Frame.of((height, width), schedule.pixels_hw, Fit.CROP)
    if CONTEXT * max((box[3] - box[1]) / whole.height, (box[2] - box[0]) / whole.width) < 0.9:
        assert frame.width <= width and frame.height <= height, "no larger than the picture"
        assert max((box[3] - box[1]) / frame.height, (box[2] - box[0]) / frame.width) < 0.9, (
            "and something around"
        )


def test_a_mask_of_one_column_brings_the_subject_into_the_picture() -> None:
    """Rounded, the frame of one pixel would lie below it."""
    schedule, picture = SCHEDULES[0], noise(1, 3, 40, 60)
    edit = Edit(picture, mask("column", 40, 60)[None], schedule, Way.PLACE, feather=0)
    canvas = edit.placed(drawn(schedule), footprints(schedule, (0, 0, 1, 0.5)))
    assert canvas.frames[0].lost < 1
    assert edit.pasted_back(canvas, drawn(schedule)).shape == picture.shape


def test_where_no_subject_is_found_the_mask_is_drawn_anew() -> None:
    schedule, picture = SCHEDULES[0], noise(1, 3, 60, 90)
    edit = Edit(picture, mask("corner", 60, 90)[None], schedule, Way.PLACE)
    found = footprints(schedule, (0.2, 0.2, 0.8, 0.8), (0, 0, 0, 0))
    canvas = edit.placed(drawn(schedule, 2), found)
    redrawn = replace(edit, way=Way.REDRAW, fit=Fit.AROUND).redrawn()
    assert canvas.missed == (1,) and canvas.note.startswith("Picture 2: No subject stood out")
    assert canvas.frames[1] == redrawn.frames[0] != canvas.frames[0]
    assert torch.equal(canvas.pictures_B3hw[1], redrawn.pictures_B3hw[0])
    assert torch.equal(canvas.masks_Bhw[1], redrawn.masks_Bhw[0])
    assert torch.equal(canvas.masks_BHW[1], edit.masks_BHW[0])


@pytest.mark.parametrize("way", list(Way))
@pytest.mark.parametrize("fit", [Fit.AROUND, Fit.CROP])
def test_edits_of_a_batch_equal_single_edits(way: Way, fit: Fit) -> None:
    schedule, count = SCHEDULES[3], 3
    pictures = noise(count, 3, 50, 80)
    areas = torch.stack([mask(kind, 50, 80) for kind in ("corner", "row", "all")])
    plain = drawn(schedule, count)
    found = footprints(schedule, (0, 0.2, 0.5, 0.9), (0, 0, 0, 0), (0.4, 0.4, 0.9, 1))

    def edited(members: slice) -> torch.Tensor:
        edit = Edit(pictures[members], areas[members], schedule, way, fit)
        canvas = edit.redrawn() if way is Way.REDRAW else edit.placed(plain[members], found[members])
        return edit.pasted_back(canvas, plain[members])

    together = edited(slice(count))
    for i in range(count):
        assert torch.equal(together[i : i + 1], edited(slice(i, i + 1)))


def test_one_picture_is_edited_in_several_ways() -> None:
    """One picture and mask, several seeds; the canvas is encoded once where it is the same."""
    schedule, picture = SCHEDULES[0], noise(1, 3, 60, 60)
    edit = Edit(picture, mask("corner", 60, 60)[None], schedule, keep_scales=2)
    canvas = edit.redrawn()
    assert len(canvas.pictures_B3hw) == 1
    latent = torch.randn(1, 32, *schedule.scales[-1])
    target = edit.target(canvas, latent)
    assert isinstance(target, Target) and target.keep_scales == 2
    target.check(schedule, pictures=3, bits=32)
    back = edit.pasted_back(canvas, drawn(schedule, 3))
    assert torch.equal(back[2:], edit.pasted_back(canvas, drawn(schedule, 3)[2:]))


@pytest.mark.parametrize(
    ("height", "width", "expected"), [(60, 180, "3:1"), (90, 60, "2:3"), (64, 64, "1:1")]
)
def test_the_aspect_ratio_suits_what_the_canvas_shows(height: int, width: int, expected: str) -> None:
    large, picture = find_preset("echogen-2b"), noise(1, 3, 300, 300)
    area = torch.zeros(1, 300, 300)
    area[:, 10 : 10 + height, 20 : 20 + width] = 1
    around = Edit.of(large, picture, area, way=Way.PLACE)
    assert around.schedule.aspect_ratio == expected and around.schedule.budget == large.budget
    assert Edit.of(large, picture, area, budget="0.06M").schedule == SCHEDULES[0], "of the whole picture"
    assert Edit.of(find_preset("nano"), picture, area, way=Way.PLACE).schedule == find_schedule("nano")


@settings(max_examples=30, deadline=None)
@given(sides, sides, st.sampled_from(KINDS), st.integers(0, 40))
def test_a_grown_mask_reaches_further(height: int, width: int, kind: str, pixels: int) -> None:
    area = mask(kind, height, width)[None]
    expected = F.max_pool2d(area[:, None], 2 * pixels + 1, 1, pixels)[:, 0]
    assert torch.equal(grown(area, pixels), expected)


@settings(max_examples=30, deadline=None)
@given(sides, sides, st.sampled_from(KINDS), st.integers(1, 12))
def test_an_inset_mask_ends_further_inside_and_keeps_narrow_parts(
    height: int, width: int, kind: str, pixels: int
) -> None:
    area = mask(kind, height, width)[None]
    found = inset(area, pixels)
    assert bool((found <= area).all()) and bool(found.any())
    assert torch.equal(inset(area, 0), area)
    if kind == "all":
        assert torch.equal(found, area), "the picture's own edges are none of the mask's"


def test_an_inset_is_at_most_an_eighth_of_a_part() -> None:
    area = torch.zeros(1, 120, 240)
    area[0, 10:30, 20:200] = 1  # 20 px high: 12 px would be more than half of it
    area[0, 50:110, 100:220] = 1
    found = inset(area, 12)
    assert marked_box(found[0, :40]) == (21, 11, 199, 29)
    assert marked_box(found[0, 40:]) == (106, 16, 214, 64)


@settings(max_examples=20, deadline=None)
@given(sides, sides, schedules, st.sampled_from(list(Fit)))
def test_where_all_may_change_all_of_the_picture_is_drawn(
    height: int, width: int, schedule: ScaleSchedule, fit: Fit
) -> None:
    """So such a redraw is a plain run; beside a padded picture, nothing is drawn."""
    canvas = Edit(noise(1, 3, height, width), torch.ones(1, height, width), schedule, fit=fit).redrawn()
    assert canvas.fine_masks_Bhw is not None and torch.equal(canvas.fine_masks_Bhw, canvas.masks_Bhw)


def test_areas_are_parts_of_the_picture() -> None:
    for first, second in (("left half", "right half"), ("top half", "bottom half")):
        assert bool((area_mask(first) + area_mask(second) == 1).all())
    thirds = [area_mask(area) for area in AREAS if area.endswith("third")]
    assert bool((sum(thirds, torch.zeros(())) == 1).all())
    schedule = SCHEDULES[0]
    assert region_notes([area_mask("left half"), area_mask("right half")], schedule) == []
    nothing, twice = region_notes([torch.zeros(5, 5), *[area_mask("left half")] * 2], schedule)
    assert nothing.startswith("Region 1 covers nothing") and "overlap in 50%" in twice


def test_what_does_not_fit_is_said() -> None:
    schedule, picture, area = SCHEDULES[0], noise(2, 3, 40, 50), torch.ones(1, 40, 50)
    edit = Edit(picture, area, schedule)
    canvas = edit.redrawn()
    apart = Edit(
        picture, torch.stack([mask("corner", 40, 50), mask("row", 40, 50)]), schedule, fit=Fit.AROUND
    )
    for bad, words in (
        (lambda: Edit(picture, torch.ones(1, 50, 40), schedule), "50×40 px, the mask 40×50"),
        (lambda: Edit(picture, area.expand(3, -1, -1), schedule), "one for each of the 2 pictures, got 3"),
        (lambda: Edit(picture, torch.zeros(1, 40, 50), schedule), "mask 1 is empty"),
        (lambda: Edit(picture, area * 2, schedule), "values from 0 to 1"),
        (lambda: Edit(picture, area, schedule, keep_scales=8), "expected 0 to 7"),
        (lambda: Edit(picture, area, schedule, feather=65), "0 to 64 pixels"),
        (lambda: edit.pasted_back(canvas, drawn(schedule, 3)), r"drawn as 2 pictures.*got 3: paste all"),
        (lambda: edit.pasted_back(canvas, drawn(SCHEDULES[3], 2)), "frame is for"),
        (lambda: edit.check(3, 0), "holds 2 pictures, the run draws 3"),
        (lambda: replace(edit, way=Way.PLACE).check(2, 1), "Place puts one subject"),
        (lambda: apart.redrawn().region_mask(area[0]), "framed in 2 ways"),
    ):
        with pytest.raises(ValueError, match=words):
            bad()


@pytest.mark.parametrize("way", list(Way))
def test_noise_and_specks_of_a_mask_do_not_count(way: Way) -> None:
    schedule, picture = SCHEDULES[0], noise(1, 3, 90, 120)
    clean = torch.zeros(90, 120)
    clean[30:70, 60:100] = 1
    dirty = clean.clone()
    dirty[3, 5] = 1
    dirty += (1 - dirty) / 255
    edits = [Edit(picture, area[None], schedule, way, Fit.AROUND) for area in (clean, dirty)]
    canvases = [edit.placed(drawn(schedule), WHOLE) if way is Way.PLACE else edit.redrawn() for edit in edits]
    assert canvases[0].frames == canvases[1].frames and not edits[1].mask_note


def test_a_subject_goes_into_the_largest_part_and_its_mask_is_spoken_of() -> None:
    schedule, picture = SCHEDULES[0], noise(1, 3, 90, 120)
    area = torch.zeros(90, 120)
    area[10:80, 70:110], area[20:40, 10:30] = 1, 1
    edit = Edit(picture, area[None], schedule, Way.PLACE, feather=0)
    changed = (edit.pasted_back(edit.placed(drawn(schedule), WHOLE), drawn(schedule)) != picture)[0].any(0)
    assert bool(changed.any()) and not bool(changed[:, :70].any())
    assert "several parts" in edit.mask_note
    assert "only 3×2 px" in replace(edit, masks_BHW=small_mask(90, 120)).mask_note
    frame = torch.zeros(90, 120)
    frame[10:80, 20:100] = 1
    frame[16:74, 26:94] = 0  # an outline: nearly all of the subject is where nothing is painted
    outlined = replace(edit, masks_BHW=frame[None])
    assert "outside of what is painted" in outlined.placed(drawn(schedule), WHOLE).note
    assert not replace(edit, masks_BHW=area[None] * 0 + 1).placed(drawn(schedule), WHOLE).note


def small_mask(height: int, width: int) -> torch.Tensor:
    """[1, H, W] with 3×2 pixels."""
    area = torch.zeros(1, height, width)
    area[:, 40:42, 50:53] = 1
    return area


def test_one_picture_of_a_placed_batch_is_not_pasted_back_alone() -> None:
    schedule, picture = SCHEDULES[0], noise(1, 3, 60, 60)
    edit = Edit(picture, torch.ones(1, 60, 60), schedule, Way.PLACE)
    canvas = edit.placed(drawn(schedule, 3), WHOLE.expand(3, -1, -1))
    assert len(edit.pasted_back(canvas, drawn(schedule, 3))) == 3
    with pytest.raises(ValueError, match=r"drawn as 3 pictures.*got 1"):
        edit.pasted_back(canvas, drawn(schedule))
    alone = Edit(picture, torch.ones(1, 60, 60), schedule)
    assert len(alone.pasted_back(alone.redrawn(), drawn(schedule, 3))) == 3, "redrawn, all lie in one place"


def test_what_the_canvas_does_not_show_is_not_said_to_change() -> None:
    schedule, picture = SCHEDULES[0], noise(1, 3, 60, 180)
    canvas = Edit(picture, torch.ones(1, 60, 180), schedule, fit=Fit.CROP).redrawn()
    assert float(canvas.masks_BHW.mean()) == pytest.approx(1 / 3, abs=0.02)


def test_however_wide_the_feather_the_middle_is_what_was_drawn() -> None:
    schedule, picture, area = SCHEDULES[0], noise(1, 3, 120, 120), torch.zeros(1, 120, 120)
    area[:, 50:70, 50:70] = 1
    edit = Edit(picture, area, schedule, feather=64)
    pasted = edit.pasted_back(edit.redrawn(), torch.zeros(1, 3, *schedule.pixels_hw))
    assert float(pasted[..., 58:62, 58:62].abs().max()) < 0.05


@pytest.mark.parametrize(
    ("place", "strength", "says"),
    [
        ((slice(50, 70), slice(80, 100)), 1.0, ""),
        ((slice(50, 70), slice(80, 100)), 0.4, ""),
        ((slice(50, 70), slice(80, 100)), 0.2, "too faint"),
        ((slice(50, 70), slice(0, 20)), 1.0, "outside of what the model sees"),
        ((slice(50, 51), slice(80, 81)), 1.0, "smaller than a token"),
    ],
)
def test_why_nothing_changes(place: tuple[slice, slice], strength: float, says: str) -> None:
    area = torch.zeros(1, 120, 180)
    area[0][place] = strength
    edit = Edit(noise(1, 3, 120, 180), area, SCHEDULES[0], fit=Fit.CROP)
    note = edit.unchanged_note(edit.redrawn())
    assert says in note and bool(note) == bool(says)


def test_a_thin_stroke_is_not_sent_where_it_is_already() -> None:
    area = torch.zeros(1, 400, 400)
    area[0, 200, 20:380] = 1
    edit = Edit(noise(1, 3, 400, 400), area, SCHEDULES[0], fit=Fit.AROUND)
    note = edit.unchanged_note(edit.redrawn())
    assert "smaller than a token" in note and "fit" not in note


def test_overlaps_are_a_share_of_the_picture() -> None:
    masks = [area_mask("everywhere")] * 4
    assert any("100% of the picture" in note for note in region_notes(masks, SCHEDULES[0]))
    half = [area_mask("everywhere"), area_mask("left half"), area_mask("left half")]
    assert any("50% of the picture" in note for note in region_notes(half, SCHEDULES[0]))


def test_enlarged_plain_pictures_place_the_same_subject() -> None:
    """Some tokenizers draw larger pictures than they encode."""
    schedule, picture = SCHEDULES[0], noise(1, 3, 90, 120)
    edit = Edit(picture, torch.ones(1, 90, 120), schedule, Way.PLACE)
    plain, foot = drawn(schedule), footprints(schedule, (0.25, 0.25, 0.75, 0.75))
    larger = (each.repeat_interleave(2, -1).repeat_interleave(2, -2) for each in (plain, foot))
    one, other = edit.placed(plain, foot), edit.placed(*larger)
    assert one.frames == other.frames and torch.equal(one.masks_Bhw, other.masks_Bhw)
    torch.testing.assert_close(one.pictures_B3hw, other.pictures_B3hw)
