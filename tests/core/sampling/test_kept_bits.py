"""A picture stays where a mask does not say that it may change."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from echogen_core.sampling import PrefillCache, Target
from echogen_core.sampling.kept_bits import THRESHOLD
from echogen_core.scales import ScaleSchedule
from echogen_core.tokenizer.bsq import quantize_multiscale, shrink, sum_codes

from .. import golden
from .small_runs import SQUARE, WIDE, assert_same, bits, branches, run, settings

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def prefill() -> PrefillCache:
    return PrefillCache(golden.model(), capacity=8)


def latent(schedule: ScaleSchedule, seed: int = 0, pictures: int = 1) -> torch.Tensor:
    noise = torch.Generator().manual_seed(seed)
    return torch.randn(pictures, golden.model().config.bits, *schedule.scales[-1], generator=noise)


def mask(value: float, height: int = 3, width: int = 5) -> torch.Tensor:
    return torch.full((1, height, width), value)


@pytest.mark.parametrize("schedule", [SQUARE, WIDE], ids=["square", "wide"])
@pytest.mark.parametrize(
    ("free", "kept"), [(0.0, 0), (0.2, 0), (1.0, len(SQUARE.scales))], ids=["no mask", "faint", "all scales"]
)
def test_where_nothing_may_change_it_is_the_picture_through_the_tokenizer(
    schedule: ScaleSchedule, free: float, kept: int, prefill: PrefillCache
) -> None:
    target = Target(latent(schedule), mask(free), keep_scales=kept)
    drawn = bits(run(branches(prefill), schedule, target=target))
    assert_same(drawn, quantize_multiscale(target.latent_BDHW, schedule.scales).bits)


@pytest.mark.parametrize("schedule", [SQUARE, WIDE], ids=["square", "wide"])
def test_where_all_may_change_it_is_a_plain_run(schedule: ScaleSchedule, prefill: PrefillCache) -> None:
    edited = run(branches(prefill), schedule, target=Target(latent(schedule), mask(1.0)))
    plain = run(branches(prefill), schedule)
    assert_same(bits(edited), bits(plain))
    assert all(torch.equal(a.logits_BLd2, b.logits_BLd2) for a, b in zip(edited, plain, strict=True))


masks = st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["pixel", "half", "soft", "noise"]))


def painted(height: int, width: int, kind: str) -> torch.Tensor:
    if kind == "pixel":
        area = torch.zeros(height, width)
        area[height // 2, width // 3] = 1
        return area[None]
    if kind == "half":
        return torch.cat([torch.zeros(height, width), torch.ones(height, width)], 1)[None]
    if kind == "soft":
        return torch.linspace(0, 1, width).expand(1, height, width)
    return torch.rand(1, height, width, generator=torch.Generator().manual_seed(height * 41 + width))


@examples(max_examples=12, deadline=None)
@given(shape=masks, kept=st.integers(0, 4), threshold=st.sampled_from([0.0, THRESHOLD, 0.5]))
def test_every_token_is_drawn_or_the_pictures_own(
    prefill: PrefillCache, shape: tuple[int, int, str], kept: int, threshold: float
) -> None:
    """Drawn: the likelier bits, as the run is greedy. The picture's own: signs of what is still missing."""
    area = painted(*shape)
    target = Target(latent(SQUARE), area, kept, threshold)
    steps = run(branches(prefill), settings=settings(SQUARE, greedy=True), target=target)
    for step, grid in zip(steps, SQUARE.scales, strict=True):
        least = threshold if step.index else max(threshold, 0.5)  # of the one token of all
        free = shrink(area[:, None], grid)[0, 0] > least
        free &= step.index >= kept
        taken = step.bits.scales[-1][0]
        likelier = step.logits_BLd2[0].argmax(-1).unflatten(0, grid)
        assert torch.equal(taken[free], likelier[free].to(torch.uint8))
        before = step.bits.scales[:-1]
        so_far = sum_codes(before, SQUARE.scales) if before else torch.zeros_like(target.latent_BDHW)
        missing = shrink(target.latent_BDHW - so_far, grid)[0].movedim(0, -1)
        clear = missing.abs() > 1e-4  # nearer to 0 the order of the sums decides
        assert torch.equal((taken > 0)[clear & ~free[..., None]], (missing > 0)[clear & ~free[..., None]])


def test_a_picture_of_a_batch_equals_its_single_run(prefill: PrefillCache) -> None:
    latents = torch.cat([latent(SQUARE, seed) for seed in range(3)])
    areas = torch.cat([painted(20, 20, "soft"), mask(1.0, 20, 20), painted(20, 20, "noise")])
    seeds = [7, 8, 9]
    batch = run(branches(prefill), seeds=seeds, target=Target(latents, areas, keep_scales=2))
    for i, seed in enumerate(seeds):
        alone = Target(latents[i : i + 1], areas[i : i + 1], keep_scales=2)
        single = bits(run(branches(prefill), seeds=[seed], target=alone))
        assert_same([each[i : i + 1] for each in bits(batch)], single)
    shared = run(branches(prefill), seeds=[7, 7], target=Target(latents[:1], areas[:1]))
    assert all(torch.equal(each[0], each[1]) for each in bits(shared))


def test_finer_scales_mend_what_a_coarse_token_changed_outside(prefill: PrefillCache) -> None:
    """Half of the picture may change: the other half comes out as near to it as the tokenizer gets."""
    area = painted(16, 8, "half")
    target = Target(latent(SQUARE) / 4, area)
    stays = (torch.nn.functional.interpolate(area[None], SQUARE.scales[-1]) == 0)[0, 0]
    steps = run(branches(prefill), target=target)
    alone = quantize_multiscale(target.latent_BDHW, SQUARE.scales).codes_BDHW
    drawn = [torch.rand(each.shape).round().to(torch.uint8) for each in bits(steps)]
    error, own, other = (
        float((codes - target.latent_BDHW)[0][:, stays].square().mean())
        for codes in (steps[-1].codes_BdHW, alone, sum_codes(drawn, SQUARE.scales))
    )
    assert error < 1.5 * own < other


def test_what_does_not_fit_is_said(prefill: PrefillCache) -> None:
    good = latent(SQUARE)
    for bad, words in (
        (lambda: Target(good, torch.rand(4, 4)), "3 dimensions"),
        (lambda: Target(good, torch.zeros(1, 0, 4)), "at least one pixel"),
        (lambda: Target(good, mask(1.5)), "values from 0 to 1"),
        (lambda: Target(good, mask(float("nan"))), "values from 0 to 1"),
        (lambda: Target(good, mask(1.0), threshold=1.0), "threshold must be"),
        (lambda: Target(good, mask(1.0), keep_scales=-1), "keep_scales must be"),
        (lambda: run(branches(prefill), target=Target(latent(WIDE), mask(1.0))), "this size and aspect"),
        (lambda: run(branches(prefill), target=Target(good.expand(2, -1, -1, -1), mask(1.0))), "2 latents"),
        (
            lambda: run(branches(prefill), seeds=[1, 2], target=Target(good, mask(1.0).expand(3, -1, -1))),
            "3 masks, the run draws 2 pictures",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            bad()
