"""The memory model against counted tensors; what a run leaves behind; what helps when it cannot fit."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from live_bytes import NOWHERE, LiveBytes
from random_models import (
    SMALL,
    measured_peaks,
    random_conditions,
    random_transformer,
    without_subject,
)
from torch import nn

from echogen_core.config import PRESETS, TransformerConfig
from echogen_core.dtypes import FP8
from echogen_core.layers import CastLinear
from echogen_core.model import EchoGenTransformer
from echogen_core.sampling import PrefillCache, SamplingSettings, sample
from echogen_core.sampling.memory import (
    GIGABYTE,
    MemoryEstimate,
    Run,
    decoding_bytes,
    estimate_memory,
    smallest_change,
)
from echogen_core.scales import find_schedule
from echogen_core.tokenizer import BitTokenizer

SIXTEENTH, QUARTER = find_schedule("0.06M"), find_schedule("0.25M")
LARGE = PRESETS["echogen-2b"].transformer
FLAT = replace(SMALL, depth=2)
LARGE_RUN = Run(find_schedule("1M"), prompt_tokens=24)


def counted(config: TransformerConfig, run: Run) -> tuple[int, int]:
    """Peaks at full size without computing anything."""
    model = EchoGenTransformer(config, dtype=run.dtype, device=NOWHERE).eval().requires_grad_(False)
    return measured_peaks(model, random_conditions(config, run), run)


def check(estimate: MemoryEstimate, peaks: tuple[int, int]) -> None:
    expected = (estimate.weights.all + estimate.prefill, estimate.weights.all + estimate.sampling)
    for said, measured in zip(expected, peaks, strict=True):
        assert said == pytest.approx(measured, rel=0.1)


@pytest.mark.parametrize(
    ("config", "run"),
    [
        (SMALL, Run(QUARTER)),
        (FLAT, Run(SIXTEENTH, branches=3, pictures=3, dtype=torch.float32)),
        (FLAT, Run(SIXTEENTH, cache_dtype=FP8)),
        (FLAT, Run(QUARTER, dtype=FP8, views=2)),
        (without_subject(FLAT), Run(SIXTEENTH, pictures=2)),
        # the widths, tokens and grids of EchoGen-2B; its blocks are alike but the last, where content ends
        (replace(LARGE, depth=2), LARGE_RUN),
    ],
)
def test_estimate_is_within_a_tenth_of_the_count(config: TransformerConfig, run: Run) -> None:
    check(estimate_memory(config, run), counted(config, run))


def test_counting_without_computing_is_counting_a_real_run() -> None:
    config, run = FLAT, Run(SIXTEENTH, dtype=torch.float32)
    model = random_transformer(config)
    real = measured_peaks(model, random_conditions(config, run), run)
    # a real run sees its own inputs as well, about a fiftieth
    assert real == pytest.approx(counted(config, run), rel=0.02)


@pytest.mark.parametrize(("preset", "side", "times"), [("echogen-2b", 64, 1), ("nano", 8, 1), ("nano", 8, 2)])
def test_decoding_takes_what_is_said(preset: str, side: int, times: int) -> None:
    config = replace(PRESETS[preset].tokenizer, super_resolution=times)
    tokenizer = BitTokenizer(config, dtype=torch.bfloat16, device=NOWHERE).eval().requires_grad_(False)
    with LiveBytes(tokenizer) as counted_bytes:
        weights = counted_bytes.live
        tokenizer.decode(torch.empty(1, config.bits, side, side, device=NOWHERE))
    said = decoding_bytes(config, (side * config.patch) ** 2, torch.bfloat16)
    assert said == pytest.approx(counted_bytes.peak - weights, rel=0.1)


def test_the_2b_model_fits_the_cards_that_people_have() -> None:
    packed = estimate_memory(LARGE, replace(LARGE_RUN, cache_dtype=FP8))
    assert packed.resident <= 14 * GIGABYTE and packed.two_phase <= 8 * GIGABYTE
    small = estimate_memory(LARGE, replace(LARGE_RUN, dtype=FP8, cache_dtype=FP8))
    assert small.resident <= 9 * GIGABYTE and small.two_phase <= 6 * GIGABYTE
    # keys and values as computed: a 16 GB card by phases, an 8 GB card with most weights streamed
    full = estimate_memory(LARGE, LARGE_RUN)
    assert full.two_phase <= 11 * GIGABYTE and full.streamed <= 7.2 * GIGABYTE


@pytest.mark.parametrize(
    ("available", "pictures", "says"),
    [
        (5, 1, "set KV cache to fp8"),
        (12, 4, "set KV cache to fp8"),
        (9, 4, "set batch size to 1"),
        (5, 4, "set batch size to 1 and KV cache to fp8"),
        (3, 4, "set size to 0.60M, batch size to 1 and KV cache to fp8"),
        (2, 1, "set size to 0.06M, batch size to 1 and KV cache to fp8"),
        (0, 1, "close other programs that use this memory, or load a smaller model"),
    ],
)
def test_the_smallest_change_that_fits(available: int, pictures: int, says: str) -> None:
    run = replace(LARGE_RUN, pictures=pictures)
    assert smallest_change(LARGE, run, available * GIGABYTE) == says


@pytest.mark.parametrize(
    ("available", "says"),
    [(16, "set batch size to 3"), (8, "set batch size to 1"), (6, "set size to 0.60M and batch size to 1")],
)
def test_no_fp8_is_proposed_where_there_is_none(available: int, says: str) -> None:
    run = replace(LARGE_RUN, pictures=4)
    assert smallest_change(LARGE, run, available * GIGABYTE, fp8=False) == says


def test_a_type_to_compute_in_of_its_own_takes_its_own_room() -> None:
    run = Run(SIXTEENTH, dtype=torch.bfloat16, compute_dtype=torch.float32)
    casting = SimpleNamespace(Linear=CastLinear, LayerNorm=nn.LayerNorm, Embedding=nn.Embedding)
    model = EchoGenTransformer(FLAT, casting, run.dtype, NOWHERE, run.compute_dtype)
    peaks = measured_peaks(model.eval().requires_grad_(False), random_conditions(FLAT, run), run)
    check(estimate_memory(FLAT, run), peaks)


def test_twenty_runs_and_cancelled_ones_leave_nothing() -> None:
    config, run = replace(FLAT, content_length=64), Run(find_schedule("nano"), pictures=2)
    model = random_transformer(config, torch.bfloat16)
    first = random_conditions(config, run)
    assert first.guidance is not None
    settings = SamplingSettings(first.guidance)
    with LiveBytes(model) as counted_bytes:
        prefill = PrefillCache(model, capacity=3)

        def one(seed: int, scales: int) -> None:
            branches = prefill.branches(*random_conditions(config, run, seed))
            steps = sample(model, branches, run.schedule, [seed, seed + 1], settings)
            for _ in range(scales):
                next(steps)

        one(0, 5)
        one(1, 5)
        one(2, 5)
        settled = counted_bytes.live
        for seed in range(3, 23):
            one(seed, 1 + seed % 5)
        assert counted_bytes.live == settled
        prefill.clear()
        assert counted_bytes.live < settled


def test_prefill_forgets_what_a_run_does_not_need() -> None:
    config, run = replace(SMALL, depth=1, content_length=64), Run(find_schedule("nano"))
    prefill = PrefillCache(random_transformer(config))
    one, other = (random_conditions(config, replace(run, branches=n), seed) for seed, n in ((0, 3), (1, 2)))
    prefill.branches(*one)
    held = prefill.nbytes
    prefill.branches(*other)
    assert prefill.computed == 4, "the null prompt of the same length is known"
    prefill.keep_only(one)
    assert (
        prefill.nbytes == held
        and prefill.branches_to_compute(one) == 0
        and prefill.branches_to_compute(other) == 1
    )
    assert prefill.branches_to_compute(one._replace(cache_dtype=FP8)) == 3, "keys in another type are others"
