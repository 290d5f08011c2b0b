"""The whole way as a pipeline: on the built-in nano, and on its first blocks where runs are compared."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from short_nano import short_bundle

from echogen_core.editing import Edit, Way, area_mask
from echogen_core.pipeline import EchoGenPipeline, Settings
from echogen_core.sampling import ScaleStep

pytestmark = pytest.mark.usefixtures("one_thread", "kept_looks")
PROMPT = "a teddy bear in a forest"


@pytest.fixture(scope="module")
def pipeline() -> EchoGenPipeline:
    return EchoGenPipeline(short_bundle())


def _subject_picture() -> torch.Tensor:
    picture = torch.ones(1, 3, 80, 80)
    picture[:, 0, 20:60, 20:60] = 0.1
    return picture


def test_same_seed_same_picture_and_batch_equals_single() -> None:
    pipeline = EchoGenPipeline.from_bundle("nano")
    branches = pipeline.branches(PROMPT, pipeline.subject(_subject_picture()))
    batch = pipeline.generate(branches, [5, 6])
    again = pipeline.generate(branches, [5, 6])
    alone = pipeline.generate(branches, [6])
    assert torch.equal(batch.images_B3HW, again.images_B3HW)
    for together, single in zip(batch.bits.scales, alone.bits.scales, strict=True):
        assert torch.equal(together[1], single[0])
    assert torch.equal(batch.images_B3HW[1:], alone.images_B3HW), "to the last bit of a pixel"
    assert not torch.equal(batch.images_B3HW[0], batch.images_B3HW[1])
    assert batch.images_B3HW.shape == (2, 3, 256, 256)
    assert 0 <= float(batch.images_B3HW.min()) < float(batch.images_B3HW.max()) <= 1


def test_tuning_gamma_costs_no_prefill(pipeline: EchoGenPipeline) -> None:
    subject = pipeline.subject(_subject_picture())
    pictures = []
    pipeline.branches(PROMPT, subject)
    before = pipeline.prefill.computed
    for gamma_i in (0.0, 3.0):
        settings = Settings(gamma_i=gamma_i)
        pictures.append(pipeline.generate(pipeline.branches(PROMPT, subject), [1], settings).images_B3HW)
    assert pipeline.prefill.computed == before
    assert not torch.equal(*pictures)


def test_equal_gammas_compute_two_branches_of_three(pipeline: EchoGenPipeline) -> None:
    settings = Settings(gamma_t=2.0, gamma_i=2.0)
    before = pipeline.prefill.computed
    some = pipeline.branches("a car on a road at night", pipeline.subject(_subject_picture()), settings)
    assert pipeline.prefill.computed == before + 2
    whole = pipeline.branches("a car on a road at night", pipeline.subject(_subject_picture()))
    pictures = [pipeline.generate(branches, [3], settings).images_B3HW for branches in (some, whole)]
    assert torch.equal(*pictures)


def test_every_scale_is_reported(pipeline: EchoGenPipeline) -> None:
    steps: list[ScaleStep] = []
    pipeline.generate(pipeline.branches(PROMPT), [0], on_scale=steps.append)
    assert [step.index for step in steps] == list(range(5))
    assert steps[-1].last and steps[-1].bits.complete and not steps[0].bits.complete


# --- edits, regions, a negative prompt


def _photo(height: int = 90, width: int = 140) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1)) * 0.3 + 0.3


def _mask(height: int = 90, width: int = 140) -> torch.Tensor:
    mask = torch.zeros(1, height, width)
    mask[:, 20:80, 30:100] = 1
    return mask


@pytest.mark.parametrize("way", list(Way))
def test_an_edit_is_pasted_back_and_a_picture_of_a_batch_equals_its_single_run(
    way: Way, pipeline: EchoGenPipeline
) -> None:
    branches = pipeline.branches(PROMPT, pipeline.subject(_subject_picture()))
    edit = Edit.of(pipeline.preset, _photo(), _mask(), way=way, feather=0)
    batch, alone = pipeline.generate(branches, [5, 6], edit=edit), pipeline.generate(branches, [6], edit=edit)
    assert batch.canvas is not None and alone.canvas is not None
    assert torch.equal(batch.images_B3HW[1:], alone.images_B3HW)
    pasted = edit.pasted_back(batch.canvas, batch.images_B3HW)
    assert pasted.shape == (2, 3, 90, 140)
    assert torch.equal(pasted[1:], edit.pasted_back(alone.canvas, alone.images_B3HW))
    changed = (pasted != _photo()).any(1)
    assert bool(changed.any()) and not bool((changed & (_mask() == 0)).any())


def test_an_edit_that_does_not_fit_the_run_is_said(pipeline: EchoGenPipeline) -> None:
    branches, region = pipeline.branches(PROMPT), pipeline.region(area_mask("left half"), "a chair")
    two = Edit.of(pipeline.preset, _photo().expand(2, -1, -1, -1), _mask())
    with pytest.raises(ValueError, match="holds 2 pictures, the run draws 3 pictures:"):
        pipeline.generate(branches, [1, 2, 3], edit=two)
    with pytest.raises(ValueError, match="Place puts one subject"):
        pipeline.generate(
            branches, [1], regions=[region], edit=replace(two, way=Way.PLACE, pictures_B3HW=_photo())
        )


def test_regions_lie_on_the_picture_that_is_edited(pipeline: EchoGenPipeline) -> None:
    """A region over what the canvas shows, and no more, is all of the canvas."""
    main, other = pipeline.branches("in a forest"), "a chair on a beach"
    edit = Edit.of(pipeline.preset, _photo(), torch.ones(1, 90, 140))  # the middle, 90×90
    middle = torch.zeros(90, 140)
    middle[:, 25:115] = 1
    inside = pipeline.generate(main, [3], edit=edit, regions=[pipeline.region(middle, other)])
    plain = pipeline.generate(pipeline.branches(other), [3], edit=edit)
    beside = pipeline.generate(main, [3], edit=edit, regions=[pipeline.region(1 - middle, other)])
    assert torch.equal(inside.images_B3HW, plain.images_B3HW)
    assert torch.equal(beside.images_B3HW, pipeline.generate(main, [3], edit=edit).images_B3HW)


def test_a_negative_prompt_is_one_of_the_run_and_its_regions(pipeline: EchoGenPipeline) -> None:
    whole = torch.ones(4, 4)
    away = [
        pipeline.generate(pipeline.branches(PROMPT, negative=text), [2]).images_B3HW
        for text in (None, "night")
    ]
    assert not torch.equal(*away)
    region = pipeline.region(whole, PROMPT, negative="night")
    assert torch.equal(pipeline.generate(pipeline.branches(None), [2], regions=[region]).images_B3HW, away[1])
