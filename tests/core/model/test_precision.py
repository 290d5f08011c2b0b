"""Types to compute and to store in: how far each lies from float32, and which weights each phase uses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from naive_run import naive_sample
from random_models import SMALL, random_conditions, random_transformer
from torch import nn

from echogen_core.checkpoints.quantised import match_scales
from echogen_core.config import PRESETS
from echogen_core.dtypes import FP8
from echogen_core.model import EchoGenTransformer, rope, split_phases
from echogen_core.model.attention import KeyValue, attend
from echogen_core.model.rope import apply_rope, sequence_rope
from echogen_core.sampling import Bits, PrefillCache, SamplingSettings, sample
from echogen_core.sampling.memory import Run
from echogen_core.scales import find_schedule

from .. import golden
from ..sampling.test_sampling_golden import Case


def official_in(dtype: torch.dtype) -> EchoGenTransformer:
    """The golden model with its matrices in another type."""
    full = golden.model()
    model = EchoGenTransformer(full.config, dtype=dtype, device="meta")
    wanted = model.state_dict()
    state = match_scales(full.state_dict(), wanted)
    model.load_state_dict({name: state[name].to(t.dtype) for name, t in wanted.items()}, assign=True)
    return model.eval().requires_grad_(False)


def branch_logits(model: EchoGenTransformer, kept: torch.dtype | None = None) -> torch.Tensor:
    """Logits of all branches along the official bits: one flipped bit must not change all that follow."""
    case = Case("echogen_tiny_case02_greedy")
    spans, scales = case.schedule.spans, case.schedule.scales
    bits = case.expected["bits"]
    given = tuple(
        bits[:, start:end].unflatten(1, grid) for (start, end), grid in zip(spans, scales, strict=True)
    )
    conditions = (case.texts[0], *case.subjects[0], case.settings.guidance, kept)
    branches = PrefillCache(model).branches(*conditions)
    steps = sample(
        model, branches, case.schedule, [0], case.settings, Bits(case.schedule, given), len(scales)
    )
    return torch.cat([step.branch_logits_NLd2 for step in steps], dim=1)


@pytest.mark.parametrize(
    ("dtype", "kept", "bound"),
    [
        # Rounding errors of 2^-9, 2^-12 and 2^-4.6 (half a step, root mean square) of each matrix, key or
        # value, which the four layers' residual sums let through once or twice: seen 0.0073, 0.0008, 0.059.
        (torch.bfloat16, None, 0.015),
        (torch.float16, None, 0.002),
        (FP8, None, 0.12),
        (torch.bfloat16, FP8, 0.06),
        (torch.float32, FP8, 0.06),
    ],
)
def test_logits_stay_near_float32(dtype: torch.dtype, kept: torch.dtype | None, bound: float) -> None:
    full = branch_logits(golden.model())
    near = branch_logits(official_in(dtype), kept)
    share = float((near - full).square().mean().sqrt() / full.std())
    assert 0 < share < bound
    # bits whose two logits lie closer together than the error may flip: about error / std of them
    flipped = (near.argmax(-1) != full.argmax(-1)).float().mean()
    assert float(flipped) < bound


def test_attention_by_matrices_is_attention() -> None:
    """Of bfloat16 on a CPU; 3000 keys make two slices of the queries."""
    q, k, v = (torch.randn(2, 2, n, 8, generator=torch.Generator().manual_seed(n)) for n in (100, 3000, 3001))
    kv = KeyValue(k, v[:, :, 1:])
    halves = [each.bfloat16() for each in (q, *kv[:2])]
    with torch.no_grad():
        ours = attend(halves[0], KeyValue(halves[1], halves[2]), 0.5)
        golden.assert_close(ours, attend(q, kv, 0.5), 0.02)


def test_norms_adaln_head_and_rotation_stay_float32() -> None:
    for dtype in (torch.bfloat16, FP8):
        model = EchoGenTransformer(SMALL, dtype=dtype, device="meta")
        types = {name: p.dtype for name, p in model.named_parameters()}
        assert {t for name, t in types.items() if not name.startswith("blocks.")} == {torch.float32}
        assert types["blocks.0.adaln"] == types["blocks.0.cross_norm.weight"] == torch.float32
        assert types["blocks.0.ffn.up.weight"] == dtype and model.dtype == torch.bfloat16
    halves = torch.rand(1, 3, 1, 8, dtype=torch.bfloat16)
    assert apply_rope(halves, torch.rand(2, 3, 4)).dtype == torch.float32


@pytest.mark.parametrize("preset", PRESETS)
def test_a_rotation_by_complex_numbers_gives_the_same_bits(
    preset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule, width = find_schedule(PRESETS[preset].budget), PRESETS[preset].transformer.head_width
    turns = sequence_rope(schedule, width, prefix=1)[:, :300]
    x_BLHD = torch.randn(2, turns.shape[1], 3, width, generator=torch.Generator().manual_seed(1))
    fast = apply_rope(x_BLHD, turns)
    monkeypatch.setattr(rope, "_as_complex", lambda pairs: False)
    assert torch.equal(fast, apply_rope(x_BLHD, turns))


def test_a_run_that_overflows_says_so() -> None:
    config, run = replace(SMALL, depth=1, content_length=64), Run(find_schedule("nano"))
    model = random_transformer(config, torch.float16)
    model.blocks[0].ffn.up.weight.fill_(6e4)
    conditions = random_conditions(config, run)
    assert conditions.guidance is not None
    branches = PrefillCache(model).branches(*conditions)
    with pytest.raises(ValueError, match=r"NaN or infinity at scale 1, in torch\.float16"):
        list(sample(model, branches, run.schedule, [0], SamplingSettings(conditions.guidance)))


def test_each_phase_uses_its_own_half_of_the_weights_and_no_other() -> None:
    config, run = replace(SMALL, depth=2, content_length=64), Run(find_schedule("nano"), branches=3)
    model = random_transformer(config)
    conditions = random_conditions(config, run)
    assert conditions.guidance is not None
    settings = SamplingSettings(conditions.guidance)

    def drawn(spoilt: nn.Module | None) -> torch.Tensor:
        """The summed codes, with a phase's weights gone once their work is done."""
        branches = PrefillCache(model).branches(*conditions)
        for parameter in spoilt.parameters() if spoilt is not None else ():
            parameter.fill_(torch.nan)
        return list(sample(model, branches, run.schedule, [1], settings))[-1].codes_BdHW

    phases = split_phases(model)
    halves = [dict(phase.named_parameters()) for phase in phases]
    assert not halves[0].keys() & halves[1].keys()
    names = {name: p for name, p in model.named_parameters()}
    assert all(names[name] is p for half in halves for name, p in half.items())
    unused = names.keys() - halves[0].keys() - halves[1].keys()
    assert unused and all(name.startswith("blocks.1.") and "content_" in name for name in unused)
    for name in unused:
        names[name].fill_(torch.nan)
    expected = drawn(None)
    assert torch.equal(drawn(phases.prefill), expected)

    model = random_transformer(config)
    for parameter in split_phases(model).sampling.parameters():
        parameter.fill_(torch.nan)
    branches = PrefillCache(model).branches(*conditions)
    for branch in (branches.full, branches.text, branches.null):
        kvs = [kv for layer in branch.layers for kv in layer if kv is not None]
        assert all(bool(torch.isfinite(t).all()) for kv in kvs for t in kv[:2])
        assert bool(torch.isfinite(branch.signals_B6C).all())


def test_a_run_equals_the_same_run_without_its_savings() -> None:
    config, run = replace(SMALL, depth=2, content_length=64), Run(find_schedule("nano"), branches=3)
    model = random_transformer(config)
    conditions = random_conditions(config, run)
    guidance = conditions.guidance
    assert guidance is not None
    branches = PrefillCache(model).branches(*conditions)
    steps = sample(model, branches, run.schedule, [3, 4], SamplingSettings(guidance))
    plain = naive_sample(model, conditions, run, [3, 4], torch.device("cpu"), guidance)
    golden.assert_close(list(steps)[-1].codes_BdHW, plain)


def test_branches_of_other_guidance_are_refused() -> None:
    config, run = replace(SMALL, depth=1, content_length=64), Run(find_schedule("nano"), branches=2)
    model = random_transformer(config)
    two = random_conditions(config, run)
    three = random_conditions(config, replace(run, branches=3))
    assert three.guidance is not None
    branches = PrefillCache(model).branches(*two)
    with pytest.raises(ValueError, match="compute the branches with the same guidance"):
        list(sample(model, branches, run.schedule, [0], SamplingSettings(three.guidance)))
