"""A picture of any size goes onto the canvas and back to where it came from."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from echogen_core.editing import Fit, Frame, paste_back
from echogen_core.scales import ASPECT_RATIOS, find_schedule, nearest_schedule

sizes = st.tuples(st.integers(8, 90), st.integers(8, 90))
fits = st.sampled_from([Fit.CROP, Fit.PAD, Fit.STRETCH])


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def smooth(height: int, width: int) -> torch.Tensor:
    """Brightness that rises to the right and downwards: whatever is resized keeps its place in it."""
    down, across = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)[None]
    return torch.stack([down.expand(height, width), across.expand(height, width), down * across])[None]


@pytest.mark.parametrize("budget", ["nano", "0.06M", "1M"])
@pytest.mark.parametrize("ratio", ASPECT_RATIOS)
def test_a_picture_of_a_schedules_size_gets_that_schedule(budget: str, ratio: str) -> None:
    wanted = find_schedule(budget, ratio if budget != "nano" else "1:1")
    assert nearest_schedule(budget, *wanted.pixels_hw) == wanted
    assert nearest_schedule(budget, 3 * wanted.pixels_hw[0], 3 * wanted.pixels_hw[1]) == wanted


def test_extremes_get_the_nearest() -> None:
    assert nearest_schedule("1M", 9000, 10).aspect_ratio == "1:3"
    assert nearest_schedule("1M", 10, 9000).aspect_ratio == "3:1"
    assert nearest_schedule("nano", 10, 9000).aspect_ratio == "1:1"
    with pytest.raises(ValueError, match="with pixels"):
        nearest_schedule("1M", 0, 5)


@settings(max_examples=80, deadline=None)
@given(sizes, sizes, fits)
def test_there_and_back_every_pixel_is_in_its_place(
    picture: tuple[int, int], canvas: tuple[int, int], fit: Fit
) -> None:
    frame, original = Frame.of(picture, canvas, fit), smooth(*picture)
    there = frame.onto_canvas(original)
    assert there.shape == (1, 3, *canvas) and bool(torch.isfinite(there).all())
    back = frame.from_canvas(there, torch.zeros_like(original))
    shown = frame.from_canvas(torch.ones(1, 3, *canvas), torch.zeros_like(original)) > 0
    assert float(shown.float().mean()) == pytest.approx(1 - frame.lost)
    if fit is not Fit.CROP:
        assert frame.lost == 0
    # reduced and enlarged again, at most about two of the canvas's pixels off
    reach = 2.5 * max(frame.height / canvas[0], frame.width / canvas[1], 1) / min(picture)
    assert float((back - original)[shown].abs().max()) <= reach


@settings(max_examples=40, deadline=None)
@given(sizes, sizes)
def test_proportions_are_kept_unless_stretched(picture: tuple[int, int], canvas: tuple[int, int]) -> None:
    assume(min(picture) >= 30)
    for fit in (Fit.CROP, Fit.PAD):
        frame = Frame.of(picture, canvas, fit)
        off = math.log(frame.height / frame.width * canvas[1] / canvas[0])
        assert abs(off) < 1 / min(frame.height, frame.width)
    assert Frame.of(picture, picture, Fit.CROP) == Frame.of(picture, picture, Fit.STRETCH)


def test_a_picture_of_the_canvas_size_is_not_touched() -> None:
    original = noise(2, 3, 24, 32)
    for fit in Fit:
        frame = Frame.of((24, 32), (24, 32), fit)
        assert torch.equal(frame.onto_canvas(original), original)
        assert torch.equal(frame.from_canvas(original, torch.zeros_like(original)), original)


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, fits, st.sampled_from([0.0, 1.5, 6.0]), st.integers(1, 3))
def test_outside_the_mask_pixels_are_the_originals_exactly(
    picture: tuple[int, int], canvas: tuple[int, int], fit: Fit, feather: float, count: int
) -> None:
    frame = Frame.of(picture, canvas, fit)
    original, edited = noise(1, 3, *picture), noise(count, 3, *canvas, seed=1)
    mask = torch.zeros(1, *picture)
    mask[0, : picture[0] // 2, picture[1] // 3 :] = 1
    result = paste_back(original, edited, mask, frame, feather)
    assert result.shape == (count, 3, *picture)
    reach = math.ceil(1.5 * feather)
    far = torch.nn.functional.max_pool2d(mask[None], 2 * reach + 1, stride=1, padding=reach)[0, 0] == 0
    assert torch.equal(result[..., far], original.expand(count, -1, -1, -1)[..., far])
    if feather == 0:
        placed = frame.from_canvas(edited, original)
        assert torch.allclose(result[..., mask[0] > 0], placed[..., mask[0] > 0])


def test_masks_go_with_their_pictures_and_mark_nothing_beyond_them() -> None:
    mask = torch.ones(1, 20, 60)
    padded = Frame.of((20, 60), (64, 64), Fit.PAD).mask_onto_canvas(mask)
    assert float(padded.mean()) == pytest.approx(1 / 3, abs=0.02)
    assert bool((padded[0, :18] == 0).all()) and bool((padded[0, 24:40] == 1).all())
    for fit in (Fit.CROP, Fit.STRETCH):
        shown = Frame.of((20, 60), (64, 64), fit).mask_onto_canvas(mask)
        assert torch.allclose(shown, torch.ones_like(shown), atol=1e-5)


def test_what_does_not_fit_is_said() -> None:
    frame = Frame.of((20, 30), (16, 16), Fit.CROP)
    picture, canvas, mask = noise(1, 3, 20, 30), noise(1, 3, 16, 16), torch.ones(1, 20, 30)
    for bad, words in (
        (lambda: Frame.of((0, 3), (16, 16), Fit.PAD), "at least one pixel"),
        (lambda: frame.onto_canvas(canvas), "this frame is for 30×20"),
        (lambda: frame.from_canvas(picture, picture), "this frame is for 16×16"),
        (lambda: paste_back(picture, canvas, canvas[:, 0], frame), "The mask is 16×16"),
        (
            lambda: paste_back(picture.expand(2, -1, -1, -1), canvas.expand(3, -1, -1, -1), mask, frame),
            "2, 3 and 1",
        ),
        (lambda: paste_back(picture, canvas, mask, frame, 65), "feather must be 0 to 64"),
    ):
        with pytest.raises(ValueError, match=words):
            bad()
