"""Likeness to a reference's subject: the right subject comes first, and each picture counts by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from echogen_core.checkpoints import load_bundle
from echogen_core.checkpoints.segmentation_models import load_salient
from echogen_core.encoders import SemanticEncoder
from echogen_core.features import SemanticFeatures
from echogen_core.pictures import from_pil
from echogen_core.subject.cutout import cut_out
from echogen_core.subject.likeness import WHOLE_COMPARED, Likeness, best_first, measure_likeness
from echogen_core.subject.regions import Box
from echogen_core.subject.salient import SalientSubject
from echogen_core.subject.samples import open_sample

SIDE = 96
"""Pixels of a test picture."""


class Sample(NamedTuple):
    """A packaged subject: its features as a reference, and a picture [3, SIDE, SIDE] of it on a meadow."""

    reference: SemanticFeatures
    picture_3HW: Tensor


class OnceSeen(SalientSubject):
    """The built-in cut, which looks at the same picture once only: a look takes a second."""

    def __init__(self) -> None:
        super().__init__()
        self.load_state_dict(load_salient().state_dict())
        self.masks: dict[tuple[bytes, str], Tensor] = {}

    def mask(
        self, images_BCHW: Tensor, boxes: Sequence[Box | None] | None = None, soften: float = 0.0
    ) -> Tensor:
        key = (images_BCHW.numpy().tobytes(), repr(boxes))
        if key not in self.masks:
            self.masks[key] = super().mask(images_BCHW, boxes, soften)
        return self.masks[key]


class Measure:
    """`measure_likeness` with nano's encoder and the built-in cut."""

    def __init__(self) -> None:
        self.encoder: SemanticEncoder = load_bundle("nano").semantic
        self.salient = OnceSeen().eval()

    def __call__(
        self, pictures: list[Tensor], reference: SemanticFeatures, regions: list[Tensor] | None = None
    ) -> list[Likeness]:
        within = regions or [None] * len(pictures)
        return [
            *measure_likeness(torch.stack(pictures), within, reference, self.encoder.encode, self.salient)
        ]


@pytest.fixture(scope="module")
def measure() -> Measure:
    return Measure()


@pytest.fixture(scope="module")
def samples(measure: Measure) -> list[Sample]:
    found = []
    for name, place in zip(("siamese_cat.png", "teddy_bear.png"), ((60, 8, 30), (48, 44, 4)), strict=True):
        cut = cut_out(from_pil(open_sample(name).convert("RGBA"))[None])
        picture_3HW = on_meadow(cut.images_B3SS, cut.masks_BSS[None], *place)
        found.append(Sample(measure.encoder.encode(cut.images_B3SS), picture_3HW))
    return found


@pytest.fixture(scope="module")
def found(measure: Measure, samples: list[Sample]) -> list[list[Likeness]]:
    """Of both pictures, to each reference."""
    pictures = [sample.picture_3HW for sample in samples]
    return [measure(pictures, sample.reference) for sample in samples]


def on_meadow(image_13SS: Tensor, mask_11SS: Tensor, side: int, left: int, top: int) -> Tensor:
    """[3, SIDE, SIDE]: a cut-out, smaller, on green that gets darker towards the top."""
    green_311 = torch.tensor([0.45, 0.6, 0.35]).view(3, 1, 1)
    picture_3HW = (green_311 * torch.linspace(0.6, 1, SIDE).view(1, SIDE, 1)).repeat(1, 1, SIDE)
    image_3ss, alpha_1ss = (
        F.interpolate(x, (side, side), mode="bilinear", antialias=True)[0] for x in (image_13SS, mask_11SS)
    )
    seen_3ss = picture_3HW[:, top : top + side, left : left + side]
    seen_3ss[:] = image_3ss * alpha_1ss + seen_3ss * (1 - alpha_1ss)
    return picture_3HW


def half(right: bool) -> Tensor:
    """[SIDE, 2 * SIDE]: 1 in one half of a picture of two."""
    mask_HW = torch.zeros(SIDE, 2 * SIDE)
    mask_HW[:, SIDE * right : SIDE * (1 + right)] = 1
    return mask_HW


def test_the_reference_s_own_subject_comes_first(found: list[list[Likeness]]) -> None:
    assert [best_first([one.cosine for one in each]) for each in found] == [[0, 1], [1, 0]]
    assert all(-1 <= one.cosine < 1.00001 and not one.note for each in found for one in each)


def test_a_picture_counts_by_itself(
    measure: Measure, samples: list[Sample], found: list[list[Likeness]]
) -> None:
    assert measure([samples[1].picture_3HW], samples[0].reference) == found[0][1:]


def test_the_most_similar_view_counts(
    measure: Measure, samples: list[Sample], found: list[list[Likeness]]
) -> None:
    views = SemanticFeatures(*(torch.cat([s.reference[field] for s in samples]) for field in (0, 1)))
    (either,) = measure([samples[1].picture_3HW], views)
    assert either.cosine == pytest.approx(max(found[0][1].cosine, found[1][1].cosine), abs=1e-6)


def test_only_the_region_is_looked_at(measure: Measure, samples: list[Sample]) -> None:
    both_3HW = torch.cat([sample.picture_3HW for sample in samples], dim=2)
    left, right = measure([both_3HW] * 2, samples[0].reference, [half(right=False), half(right=True)])
    assert left.cosine > right.cosine and not left.note and not right.note
    grey = measure([both_3HW], samples[0].reference, [0.3 * half(right=False)])
    assert grey == [left], "where to look, not how much of it"


def test_where_nothing_stands_out_all_is_compared(measure: Measure, samples: list[Sample]) -> None:
    reference, plain_3HW = samples[0].reference, torch.full((3, 40, 64), 0.5)
    (whole,) = measure([plain_3HW], reference)
    assert whole.note == WHOLE_COMPARED
    square_1CSS = torch.ones(1, 3, 64, 64)
    square_1CSS[:, :, 12:52] = 0.5
    as_reference = measure.encoder.encode(square_1CSS)
    assert whole.cosine == pytest.approx(cosine(as_reference, reference), abs=1e-5)


def cosine(one: SemanticFeatures, other: SemanticFeatures) -> float:
    return float(F.cosine_similarity(one.cls_VC, other.cls_VC))


def test_features_that_do_not_fit(measure: Measure, samples: list[Sample]) -> None:
    reference, picture = samples[0].reference, [samples[0].picture_3HW]
    narrow = reference._replace(cls_VC=reference.cls_VC[:, :100])
    with pytest.raises(ValueError, match=r"have 100 channels; this encoder's have 192\. Connect"):
        measure(picture, narrow)
    broken = reference._replace(cls_VC=reference.cls_VC.log())
    with pytest.raises(ValueError, match=r"Picture 1 can't be compared: .* NaN or infinity"):
        measure(picture, broken)


def test_equal_ones_keep_their_order() -> None:
    assert best_first([0.5, 0.9, 0.5, 0.9, -1.0, 0.95]) == [5, 1, 3, 0, 2, 4]
    assert best_first([0.1]) == [0]
