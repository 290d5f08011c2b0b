"""Cutting out: framing, where the subject comes from, and what is said when there is none."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from echogen_core.pictures import check_pictures, check_single, fit_within, flatten_alpha
from echogen_core.subject.cutout import (
    LARGEST_MARGIN,
    LARGEST_SQUARE,
    MaskMarks,
    cut_out,
    find_ground,
    parse_colour,
)


def scene(height: int, width: int, box: tuple[int, int, int, int], ground: float = 1.0) -> torch.Tensor:
    """[1, 3, H, W]: a coloured box (top, left, bottom, right) on a plain ground."""
    image_B3HW = torch.full((1, 3, height, width), ground)
    top, left, bottom, right = box
    image_B3HW[:, :, top:bottom, left:right] = torch.tensor([0.8, 0.2, 0.1]).view(1, 3, 1, 1)
    return image_B3HW


def mask_of(height: int, width: int, box: tuple[int, int, int, int]) -> torch.Tensor:
    mask_BHW = torch.zeros(1, height, width)
    top, left, bottom, right = box
    mask_BHW[:, top:bottom, left:right] = 1
    return mask_BHW


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_subject_pixel_survives_squared_and_centred(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(8, 60)), data.draw(st.integers(8, 60))
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    bottom, right = data.draw(st.integers(top + 1, height)), data.draw(st.integers(left + 1, width))
    margin = data.draw(st.sampled_from([0.0, 0.08, 0.3, 0.45]))
    box = (top, left, bottom, right)
    image = torch.rand(1, 3, height, width)

    cut = cut_out(image, mask_of(height, width, box), margin, mask_marks=MaskMarks.SUBJECT)

    side = cut.images_B3SS.shape[-1]
    assert cut.images_B3SS.shape == (1, 3, side, side) and cut.masks_BSS.shape == (1, side, side)
    present = cut.masks_BSS[0] > 0.5
    kept = cut.images_B3SS[0][:, present]
    assert torch.equal(kept, image[0, :, top:bottom, left:right].reshape(3, -1))
    assert torch.all(cut.images_B3SS[0][:, ~present] == 1), "the ground is white"
    rows, columns = present.any(1).nonzero()[:, 0], present.any(0).nonzero()[:, 0]
    for line in (rows, columns):
        assert abs(int(line[0]) - (side - 1 - int(line[-1]))) <= 1, "as much free on one side as on the other"
    whole = (bottom - top, right - left) == (height, width)
    expected = max(bottom - top, right - left) / (1 if whole else 1 - 2 * margin)
    assert abs(side - expected) <= 1


def test_plain_ground_is_found_without_a_mask_and_white_inside_the_subject_stays() -> None:
    image = scene(40, 60, (10, 30, 30, 50), ground=0.95)
    image[:, :, 16:24, 36:44] = 0.95  # a hole of ground colour inside the subject
    ground = find_ground(image[0])
    assert ground is not None and not ground[20, 40] and ground[0, 0]

    cut = cut_out(image, margin=0.0)

    assert cut.sources == ("plain background",)
    assert cut.images_B3SS.shape[-1] in (20, 22), "the subject's own 20 px, give or take the softened edge"


def test_ground_is_followed_around_corners() -> None:
    image = scene(33, 33, (4, 4, 29, 29))
    image[:, :, 15:18, 0:20] = 1.0  # a white channel that leads into the subject
    image[:, :, 8:18, 17:20] = 1.0
    ground = find_ground(image[0])
    assert ground is not None and ground[10, 18] and not ground[10, 10]


def test_a_busy_border_means_the_whole_picture_without_a_margin() -> None:
    image = torch.rand(1, 3, 24, 40, generator=torch.Generator().manual_seed(0))
    cut = cut_out(image, margin=0.2)
    assert cut.sources == ("whole picture",)
    assert cut.images_B3SS.shape[-1] == 40
    assert torch.equal(cut.images_B3SS[:, :, 8:32], image)


def test_a_speck_of_noise_does_not_move_the_frame() -> None:
    image = scene(60, 60, (20, 20, 40, 40))
    image[:, :, 3, 3] = 0.8
    assert cut_out(image, margin=0.0).images_B3SS.shape[-1] <= 22


def test_transparency_is_a_mask_and_so_is_its_inverse_from_load_image() -> None:
    box = (5, 6, 25, 30)
    image, mask = scene(40, 40, box, ground=0.3), mask_of(40, 40, box)
    by_alpha = cut_out(torch.cat([image, mask[:, None]], dim=1))
    by_mask = cut_out(image, mask)
    by_inverse = cut_out(image, 1 - mask)
    assert by_alpha.sources == ("transparency",) and by_mask.sources == by_inverse.sources == ("mask",)
    assert torch.equal(by_alpha.images_B3SS, by_mask.images_B3SS)
    assert torch.equal(by_inverse.images_B3SS, by_mask.images_B3SS)
    by_order = cut_out(image, 1 - mask, mask_marks=MaskMarks.BACKGROUND)
    assert torch.equal(by_order.images_B3SS, by_mask.images_B3SS)


def test_the_empty_mask_of_an_opaque_picture_counts_as_none() -> None:
    image = scene(40, 50, (10, 10, 30, 30))
    assert cut_out(image, torch.zeros(1, 64, 64)).sources == ("plain background",)


def test_a_batch_is_cut_picture_by_picture_to_one_size() -> None:
    images = torch.cat([scene(40, 40, (5, 5, 15, 15)), scene(40, 40, (10, 4, 34, 36))])
    masks = torch.cat([mask_of(40, 40, (5, 5, 15, 15)), mask_of(40, 40, (10, 4, 34, 36))])
    cut = cut_out(images, masks, margin=0.1)
    assert cut.images_B3SS.shape == (2, 3, 40, 40)
    for mask in cut.masks_BSS:
        columns = (mask > 0.5).any(0).nonzero()[:, 0]
        assert int(columns[-1]) - int(columns[0]) + 1 == pytest.approx(32, abs=2)
    assert cut_out(images, masks[:1]).images_B3SS.shape[0] == 2, "one mask serves all pictures"


def test_a_mask_of_half_the_size_fits_and_the_background_takes_its_colour() -> None:
    image = scene(40, 40, (8, 8, 32, 32), ground=0.5)
    cut = cut_out(image, mask_of(20, 20, (4, 4, 16, 16)), 0.1, parse_colour("#00ff00"))
    assert torch.equal(cut.images_B3SS[0, :, 0, 0], torch.tensor([0.0, 1.0, 0.0]))


def test_a_ten_thousand_pixel_picture_is_reduced_first() -> None:
    image = scene(8, 10_000, (1, 4000, 7, 6000), ground=0.2)
    cut = cut_out(torch.nn.functional.interpolate(image, (400, 10_000)), margin=0.0)
    assert cut.images_B3SS.shape[-1] <= 2048


def test_one_empty_mask_does_not_stop_a_batch() -> None:
    images = torch.rand(3, 3, 40, 40)
    masks = torch.cat(
        [mask_of(40, 40, (5, 5, 25, 25)), torch.zeros(1, 40, 40), mask_of(40, 40, (0, 0, 8, 8))]
    )
    cut = cut_out(images, masks, margin=0.0, mask_marks=MaskMarks.SUBJECT)
    assert cut.sources == ("mask", "whole picture", "mask") and "mask is empty" in cut.notes[1]
    assert cut.notes[0] == cut.notes[2] == ""
    assert torch.equal(cut.images_B3SS[1], images[1]), "as without a mask"
    none = cut_out(images, torch.zeros(3, 40, 40))
    assert none.sources == ("whole picture",) * 3 and all("mask is empty" in note for note in none.notes)
    assert torch.equal(none.images_B3SS, cut_out(images).images_B3SS)


@pytest.mark.parametrize("marks", [MaskMarks.AUTO, MaskMarks.BACKGROUND])
def test_several_masks_of_the_background_are_joined_as_subjects(marks: MaskMarks) -> None:
    picture, left, right = torch.rand(1, 3, 48, 64), torch.zeros(1, 48, 64), torch.zeros(1, 48, 64)
    left[:, 8:38, 4:12], right[:, 8:38, 40:48] = 1, 1
    both = torch.cat([left, right])
    expected = cut_out(picture, both, 0.0, mask_marks=MaskMarks.SUBJECT)
    turned = cut_out(picture, 1 - both, 0.0, mask_marks=marks)
    assert torch.equal(turned.masks_BSS, expected.masks_BSS)
    beside_nothing = torch.cat([1 - both, torch.zeros(1, 48, 64)])
    assert torch.equal(cut_out(picture, beside_nothing, 0.0, mask_marks=marks).masks_BSS, expected.masks_BSS)


def test_a_mask_without_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="The mask is 0×0 px"):
        cut_out(torch.rand(1, 3, 48, 64), torch.zeros(5, 0, 0), 0.0)


def test_several_masks_of_a_picture_are_joined() -> None:
    pair = torch.rand(2, 3, 40, 40)
    first, second, third = (mask_of(40, 40, box) for box in ((2, 2, 8, 8), (30, 30, 38, 38), (0, 20, 9, 29)))
    one = cut_out(pair[:1], torch.cat([first, second]), 0.0, mask_marks=MaskMarks.SUBJECT)
    assert torch.equal(one.images_B3SS, cut_out(pair[:1], first + second, 0.0).images_B3SS)
    masks = torch.cat([first, second, second, third])
    two = cut_out(pair, masks, 0.0)
    joined = torch.cat([first + second, second + third])
    assert torch.equal(two.masks_BSS, cut_out(pair, joined, 0.0).masks_BSS)
    assert torch.equal(two.masks_BSS, cut_out(pair, masks.unflatten(0, (2, 2)), 0.0).masks_BSS)
    assert cut_out(pair, masks[:0], 0.0).sources == ("whole picture",) * 2, (
        "a segmentation that found nothing"
    )


def test_of_several_subjects_the_largest_can_be_taken() -> None:
    image = torch.rand(1, 3, 40, 60)
    small, large = (2, 2, 10, 10), (12, 30, 32, 50)
    both = mask_of(40, 60, small) + 0.5 * mask_of(40, 60, large)
    assert cut_out(image, both, 0.0).images_B3SS.shape[-1] == 48, "both, in one square"
    cut = cut_out(image, both, 0.0, only_largest=True)
    assert cut.masks_BSS.shape == (1, 20, 20) and torch.all(cut.masks_BSS == 0.5)
    assert torch.equal(cut_out(image, mask_of(40, 60, large), 0.0).masks_BSS, 2 * cut.masks_BSS)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: cut_out(torch.ones(1, 3, 20, 20)), "one plain colour"),
        (lambda: cut_out(torch.zeros(1, 4, 20, 20)), "fully transparent"),
        (lambda: cut_out(torch.rand(1, 3, 1, 1)), "1×1 px"),
        (lambda: cut_out(torch.full((1, 3, 20, 20), float("nan"))), "NaN or infinity"),
        (lambda: cut_out(torch.rand(1, 3, 20, 20), torch.full((1, 20, 20), float("nan"))), "mask holds"),
        (lambda: cut_out(torch.rand(1, 3, 20, 20), torch.rand(1, 20, 40)), "does not fit"),
        (lambda: cut_out(torch.rand(2, 3, 20, 20), torch.ones(3, 20, 20)), "one mask for all"),
        (lambda: cut_out(torch.rand(1, 3, 20, 20), margin=0.5), "margin"),
        (lambda: cut_out(torch.rand(0, 3, 20, 20)), "no picture"),
        (lambda: check_pictures(torch.rand(3, 20, 20)), "shape"),
        (lambda: check_single(torch.rand(2, 3, 20, 20)), "batch of 2"),
        (lambda: parse_colour("sky"), "Unknown colour"),
    ],
)
def test_errors_say_what_was_expected(call: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()  # type: ignore[operator]


def test_small_helpers() -> None:
    rgba = torch.cat([torch.zeros(1, 3, 8, 8), torch.full((1, 1, 8, 8), 0.25)], 1)
    assert torch.allclose(flatten_alpha(rgba), torch.full((1, 3, 8, 8), 0.75))
    assert fit_within(torch.rand(2, 3, 100, 50), 20).shape == (2, 3, 20, 10)
    assert torch.equal(check_pictures(torch.full((1, 3, 8, 8), 1.2)), torch.ones(1, 3, 8, 8))


def test_a_wide_margin_round_a_large_subject_makes_no_picture_of_gigabytes() -> None:
    image, mask = torch.full((1, 3, 2048, 16), 0.3), torch.ones(1, 2048, 16)
    mask[0, 0] = 0
    cut = cut_out(image, mask, LARGEST_MARGIN, mask_marks=MaskMarks.SUBJECT)
    assert cut.images_B3SS.shape == (1, 3, LARGEST_SQUARE, LARGEST_SQUARE)
    rows = (cut.masks_BSS[0] > 0.5).any(dim=1).nonzero()[:, 0]
    height = int(rows[-1] - rows[0]) + 1
    assert abs(height / LARGEST_SQUARE - (1 - 2 * LARGEST_MARGIN)) < 0.01, "the margin is what was asked for"
