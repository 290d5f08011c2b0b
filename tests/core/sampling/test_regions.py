"""Parts of a picture with conditions of their own, and a negative prompt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from echogen_core.features import TextFeatures
from echogen_core.sampling import Branches, Guidance, PrefillCache, Region, RunConditions
from echogen_core.sampling.region_guidance import region_shares
from echogen_core.scales import ScaleSchedule

from .. import golden
from .small_runs import SQUARE, WIDE, assert_same, bits, branches, run, settings

pytestmark = pytest.mark.usefixtures("one_thread")
OWN = Guidance.constant(2.0, 4.0, len(SQUARE.scales))


@pytest.fixture(scope="module")
def prefill() -> PrefillCache:
    return PrefillCache(golden.model(), capacity=16)


def left(share: float = 0.5, size: int = 64) -> torch.Tensor:
    area = torch.zeros(size, size)
    area[:, : round(share * size)] = 1
    return area


def region(given_branches: Branches, mask_HW: torch.Tensor, guidance: Guidance = OWN) -> Region:
    return Region(given_branches, guidance, mask_HW)


@pytest.mark.parametrize("schedule", [SQUARE, WIDE], ids=["square", "wide"])
@pytest.mark.parametrize(
    "main",
    [
        {"subject": "a"},
        {"subject": None},
        {"text": None, "subject": None},
        {"text": "text_len12", "subject": "b"},
    ],
    ids=["other subject", "no subject", "nothing", "same"],
)
def test_a_region_over_everything_is_a_plain_run_with_its_conditions(
    schedule: ScaleSchedule, main: dict[str, Any], prefill: PrefillCache
) -> None:
    own = branches(prefill, "text_len12", "b")
    over_all = run(branches(prefill, **main), schedule, seeds=[5, 6], regions=[region(own, torch.ones(3, 7))])
    plain = run(own, schedule, seeds=[5, 6], settings=replace(settings(schedule), guidance=OWN))
    assert_same(bits(over_all), bits(plain))
    for ours, expected in zip(over_all, plain, strict=True):
        assert torch.equal(ours.logits_BLd2, expected.logits_BLd2)
        assert ours.branch_logits_NLd2.shape == expected.branch_logits_NLd2.shape, "nothing else is computed"


def test_a_region_without_area_changes_nothing(prefill: PrefillCache) -> None:
    own = region(branches(prefill, "text_len12", "b"), torch.zeros(9, 9))
    with_it, plain = run(branches(prefill), regions=[own]), run(branches(prefill))
    assert_same(bits(with_it), bits(plain))
    assert with_it[0].branch_logits_NLd2.shape == plain[0].branch_logits_NLd2.shape


def test_each_token_has_the_logits_of_its_region(prefill: PrefillCache) -> None:
    """Until the first token is drawn all conditions see the same: compared at the scale after one kept."""
    main, own = branches(prefill), branches(prefill, "text_len12", "b")
    kept = run(main)[-1].bits
    options: dict[str, Any] = {"keep": kept, "first_scale": 3}
    mixed = run(main, regions=[region(own, left())], **options)
    inside = run(own, settings=replace(settings(SQUARE), guidance=OWN), **options)
    outside = run(main, **options)
    for ours, its, others in zip(mixed[:4], inside, outside, strict=False):
        height, width = SQUARE.scales[ours.index]
        share = region_shares([region(own, left()).mask_HW], (height, width))[1]
        share = share.unflatten(0, (height, width)) if isinstance(share, torch.Tensor) else share
        grids = [x.logits_BLd2.unflatten(1, (height, width)) for x in (ours, its, others)]
        weight = torch.as_tensor(share)[..., None, None]
        expected = weight * grids[1] + (1 - weight) * grids[2]
        assert torch.allclose(grids[0], expected, atol=2e-4), ours.index


def test_branches_are_shared_and_dropped_as_soon_as_they_weigh_nothing(prefill: PrefillCache) -> None:
    """Two regions with the main prompt add a branch each; γ_I of 0 from some scale on drops theirs there."""
    scales = len(SQUARE.scales)
    early = Guidance((3.0,) * scales, (2.0,) * 2 + (0.0,) * (scales - 2))
    same_prompt = [
        region(branches(prefill, subject=subject), area, early)
        for subject, area in (("b", left(0.4)), (None, left(0.4).flip(1)))
    ]
    main, before = branches(prefill), prefill.computed
    steps = run(main, regions=same_prompt)
    assert prefill.computed == before
    assert [step.branch_logits_NLd2.shape[0] for step in steps] == [4] * 2 + [3] * (scales - 2)
    own_prompt = region(branches(prefill, "text_len12", "b"), left(), early)
    steps = run(main, regions=[own_prompt])
    # full, text, null of the main prompt; the null text has the prompt's length
    assert [step.branch_logits_NLd2.shape[0] for step in steps] == [6] * 2 + [5] * (scales - 2)


def test_a_picture_of_a_batch_equals_its_single_run(prefill: PrefillCache) -> None:
    regions = [region(branches(prefill, subject="b"), left(0.6)), region(branches(prefill), left().flip(1))]
    mains = [branches(prefill), branches(prefill, subject="b"), branches(prefill, "text_len12", None)]
    batch = run(mains, seeds=[3, 4, 5], regions=regions)  # type: ignore[arg-type]
    for i, main in enumerate(mains):
        assert_same(
            [each[i : i + 1] for each in bits(batch)], bits(run(main, seeds=[3 + i], regions=regions))
        )


@examples(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30), st.integers(0, 5)), max_size=4),
    st.sampled_from(SQUARE.scales),
)
def test_shares_sum_to_one_at_every_token(sizes: list[tuple[int, int, int]], grid: tuple[int, int]) -> None:
    nothing = object.__new__(Branches)
    regions = [
        region(nothing, torch.rand(h, w, generator=torch.Generator().manual_seed(seed)))
        for h, w, seed in sizes
    ]
    masks = [each.mask_HW for each in regions]
    shares = [torch.as_tensor(share).expand(grid[0] * grid[1]) for share in region_shares(masks, grid)]
    assert len(shares) == len(regions) + 1
    total = torch.stack(shares).sum(0)
    assert torch.allclose(total, torch.ones_like(total), atol=1e-5)
    assert all(bool(((share >= 0) & (share <= 1 + 1e-6)).all()) for share in shares)


def test_what_does_not_fit_is_said(prefill: PrefillCache) -> None:
    own = branches(prefill)
    for mask_HW, words in (
        (torch.ones(1, 4, 4), "2 dimensions"),
        (torch.ones(0, 4), "at least one pixel"),
        (torch.full((2, 2), -0.1), "values from 0 to 1"),
    ):
        with pytest.raises(ValueError, match=words):
            region(own, mask_HW)
    with pytest.raises(ValueError, match="guidance is for 2 scales"):
        run(own, regions=[region(own, left(), Guidance.constant(2, 2, 2))])
    skipped = branches(prefill, guidance=Guidance.constant(1.0, 1.0, len(SQUARE.scales)))
    with pytest.raises(ValueError, match="wasn't computed"):
        run(own, regions=[region(skipped, left())])


# --- the negative prompt


def test_a_negative_prompt_takes_the_null_texts_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the learned null text were its rows, and the null prompt of its length; nothing else changes."""
    negative = TextFeatures(torch.randn(4, golden.model().config.text_width))
    cache = PrefillCache(golden.model())
    plain, given_ = branches(cache), branches(cache, negative=negative)
    assert given_.full is plain.full and given_.text is plain.text and given_.null is not plain.null
    ours = run(given_)
    monkeypatch.setattr(type(golden.model()), "null_text_features", lambda model, length: negative.tokens_LC)
    expected = run(branches(PrefillCache(golden.model())))
    assert_same(bits(ours), bits(expected))
    for own, other in zip(ours, expected, strict=True):
        assert torch.equal(own.branch_logits_NLd2, other.branch_logits_NLd2)


def test_the_prompt_as_its_own_negative_leaves_the_text_without_effect() -> None:
    """γ_t multiplies a difference that is 0."""
    cache, text = PrefillCache(golden.model()), golden.text("text_len7")
    given_ = branches(cache, negative=text)
    assert given_.null is given_.text
    some, more = (run(given_, settings=settings(SQUARE, gamma_t=gamma_t)) for gamma_t in (1.5, 6.0))
    assert torch.allclose(some[0].logits_BLd2, more[0].logits_BLd2, atol=1e-4)


# --- prefilled together


def test_what_runs_share_is_computed_once_and_all_of_it_stays() -> None:
    """Three subjects with one prompt: a branch each and two for all, though the cache is for three."""
    cache = PrefillCache(golden.model(), capacity=3)
    text = golden.text("text_len7")
    runs = [RunConditions(text, *golden.subject(subject)) for subject in ("a", "b")] + [
        RunConditions(text, None, None),
        RunConditions(golden.text("text_len12"), *golden.subject("a")),
    ]
    assert cache.branches_needed(*runs) == cache.branches_to_compute(*runs) == 7
    first, second, plain, other = cache.prefill(runs)
    assert cache.computed == 7 and cache.branches_to_compute(*runs) == 0
    assert first.text is second.text is plain.text is plain.full and first.null is second.null is plain.null
    assert len({id(each) for each in (first.full, second.full, other.full, other.text, other.null)}) == 5
    again = cache.prefill(runs)
    assert cache.computed == 7 and again[1].full is second.full
    cache.prefill(runs[:1])  # within its capacity: nothing is dropped until there is something new
    assert cache.computed == 7
