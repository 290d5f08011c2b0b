"""The whole way on the built-in nano, as a pipeline."""

from __future__ import annotations

import pytest
import torch

from echogen_core.pipeline import EchoGenPipeline, Settings
from echogen_core.sampling import ScaleStep

PROMPT = "a teddy bear in a forest"


@pytest.fixture(scope="module")
def pipeline() -> EchoGenPipeline:
    return EchoGenPipeline.from_bundle("nano")


def _subject_picture() -> torch.Tensor:
    picture = torch.ones(1, 3, 80, 80)
    picture[:, 0, 20:60, 20:60] = 0.1
    return picture


def test_same_seed_same_picture_and_batch_equals_single(pipeline: EchoGenPipeline) -> None:
    branches = pipeline.branches(PROMPT, pipeline.subject(_subject_picture()))
    batch = pipeline.generate(branches, [5, 6])
    again = pipeline.generate(branches, [5, 6])
    alone = pipeline.generate(branches, [6])
    assert torch.equal(batch.images_B3HW, again.images_B3HW)
    for together, single in zip(batch.bits.scales, alone.bits.scales, strict=True):
        assert torch.equal(together[1], single[0])
    assert torch.equal(batch.images_B3HW[1:], alone.images_B3HW), "to the last bit of a pixel"
    assert not torch.equal(batch.images_B3HW[0], batch.images_B3HW[1])
    assert batch.images_B3HW.shape == (2, 3, 128, 128)
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
