"""A tokenizer that draws larger pictures than it encodes is judged, and trained on, at the encoded size."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from echogen_core.checkpoints import ASSETS, Bundle, load_bundle
from echogen_core.config import PRESETS
from echogen_core.pictures import reduced
from echogen_core.scales import find_schedule
from miniature.encoded_size import without_super_resolution
from miniature.evaluation.generation import through_tokenizer
from miniature.training.decoder import larger as enlarging

NANO = PRESETS["nano"]


@pytest.fixture(scope="module")
def larger() -> Bundle:
    """nano, drawing at twice the size: bicubic enlargement."""
    bundle = load_bundle("nano", ASSETS / "nano")
    return replace(bundle, tokenizer=enlarging(without_super_resolution(bundle.tokenizer), 2))


def test_pictures_of_the_size_stay_and_larger_ones_are_averaged() -> None:
    schedule, picture_B3HW = find_schedule("nano"), torch.rand(1, 3, 128, 128)
    assert reduced(picture_B3HW, schedule.pixels_hw) is picture_B3HW
    twice_B3HW = picture_B3HW.repeat_interleave(2, -1).repeat_interleave(2, -2)
    torch.testing.assert_close(reduced(twice_B3HW, schedule.pixels_hw), picture_B3HW)


def test_it_is_judged_at_the_size_that_it_encodes(larger: Bundle) -> None:
    tokenizer = larger.tokenizer
    picture_B3HW = F.interpolate(torch.rand(2, 3, 8, 8), (128, 128), mode="bilinear")
    plain = without_super_resolution(tokenizer)
    assert plain.config.super_resolution == 1 and without_super_resolution(plain) is plain
    shown_B3HW, judged_B3HW = (through_tokenizer(each, picture_B3HW, NANO) for each in (plain, tokenizer))
    assert shown_B3HW.shape == judged_B3HW.shape
    # enlarged and reduced again, it is a little softer
    assert 0 < (shown_B3HW - judged_B3HW).abs().mean() < 0.01
