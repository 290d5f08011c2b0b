"""The sampler gives the official code's logits and bits, however the run is organised."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open

from echogen_core.checkpoints.keymap_tokenizer import translate_tokenizer
from echogen_core.config import TokenizerConfig
from echogen_core.sampling import Bits, Branches, Guidance, PrefillCache, SamplingSettings, ScaleStep, sample
from echogen_core.tokenizer import BitTokenizer

from .. import golden

CASES = [
    "echogen_tiny_case01_greedy", "echogen_tiny_case01_sampled",
    "echogen_tiny_case02_greedy", "echogen_tiny_case02_sampled",
    "echogen_tiny_case03_greedy", "echogen_tiny_case03_sampled",
    "echogen_tiny_case04_greedy", "echogen_tiny_case04_sampled",
    "echogen_tiny_case05_greedy", "echogen_tiny_case05_sampled",
    "echogen_tiny_case06_greedy", "echogen_tiny_case09_sampled_nofilter",
]  # fmt: skip
INFINITY_CASES = [
    "infinity_tiny_case01_greedy", "infinity_tiny_case01_sampled",
    "infinity_tiny_case02_greedy", "infinity_tiny_case02_sampled",
]  # fmt: skip


class Case:
    """One golden run: its settings from the file's metadata, and our run of it."""

    def __init__(self, name: str) -> None:
        with safe_open(golden.FOLDER / f"{name}.safetensors", "pt") as file:
            meta = file.metadata()
        self.expected = golden.tensors(name)
        self.subject = name.startswith("echogen")
        self.schedule = golden.schedule(meta["h_div_w"])
        self.texts = [golden.text(key) for key in json.loads(meta["texts"])]
        self.subjects = [golden.subject(key) for key in meta.get("subjects", "")]
        gammas = (meta["cfg_t"], meta["cfg_i"]) if self.subject else (meta["cfg"], 0.0)
        guidance = Guidance.constant(float(gammas[0]), float(gammas[1]), len(self.schedule.scales))
        self.settings = SamplingSettings(
            guidance,
            tau=float(meta["tau"]),
            greedy=meta["mode"] == "greedy",
            top_p=json.loads(meta["top_p"]) or 0.0,
            top_k=json.loads(meta["top_k"]) or 0,
        )
        self.seeds = [json.loads(meta["seed"]) or 0] * len(self.texts)

    def prefill(self) -> PrefillCache:
        return PrefillCache(golden.model(self.subject), capacity=6)

    def branches(self, prefill: PrefillCache) -> list[Branches]:
        if not self.subject:
            return [prefill.branches(text, None, None) for text in self.texts]
        return [
            prefill.branches(text, *features)
            for text, features in zip(self.texts, self.subjects, strict=True)
        ]

    def run(self, prefill: PrefillCache | None = None, **changes: object) -> list[ScaleStep]:
        settings = replace(self.settings, **changes)
        branches = self.branches(prefill or self.prefill())
        return list(sample(golden.model(self.subject), branches, self.schedule, self.seeds, settings))

    def check(self, steps: list[ScaleStep]) -> None:
        """Bits identical and guided logits close at every scale, then the summed codes."""
        for step, (start, end) in zip(steps, self.schedule.spans, strict=True):
            ours = step.logits_BLd2
            golden.assert_close(ours, self.expected["logits_cfg"][:, start:end])
            bits = step.bits.scales[-1].flatten(1, 2)
            assert torch.equal(bits, self.expected["bits"][:, start:end]), (
                f"bits differ at scale {step.index}"
            )
        golden.assert_close(steps[-1].codes_BdHW, self.expected["summed_codes"])


@pytest.mark.parametrize("name", CASES + INFINITY_CASES)
def test_run_equals_official(name: str) -> None:
    case = Case(name)
    case.check(case.run())


@pytest.mark.parametrize("name", [n for n in CASES if n.endswith("greedy")])
def test_every_branch_equals_official(name: str) -> None:
    """Per-branch logits, with weights that force all three branches to be computed."""
    case = Case(name)
    official = case.expected["logits_branch"].unflatten(-1, (-1, 2))
    # kept bits stand for the chosen ones, so that the guidance may differ from the golden run's
    kept = Bits(case.schedule, tuple(
        case.expected["bits"][:, start:end].unflatten(1, grid)
        for (start, end), grid in zip(case.schedule.spans, case.schedule.scales, strict=True)
    ))  # fmt: skip
    all_three = replace(case.settings, guidance=Guidance.constant(0.5, 2.0, len(case.schedule.scales)))
    steps = sample(
        golden.model(), case.branches(case.prefill()), case.schedule, case.seeds, all_three,
        keep=kept, first_scale=len(case.schedule.scales),
    )  # fmt: skip
    for step, (start, end) in zip(steps, case.schedule.spans, strict=True):
        golden.assert_close(step.branch_logits_NLd2, official[:, start:end])


def test_zero_weight_branches_are_left_out() -> None:
    rows = {}
    for name in ("case01", "case02", "case03", "case04"):
        rows[name] = Case(f"echogen_tiny_{name}_greedy").run()[0].branch_logits_NLd2.shape[0]
    # weights (gamma_I, gamma_t - gamma_I, 1 - gamma_t): case01 2.5/0/-1.5, 02 1/2/-2, 03 1/0/0, 04 3/-3/1
    assert rows == {"case01": 2, "case02": 3, "case03": 1, "case04": 3}


@pytest.mark.parametrize("name", ["echogen_tiny_case01_greedy", "echogen_tiny_case05_sampled"])
def test_prefill_is_reused_when_guidance_tau_and_seed_change(name: str) -> None:
    case, prefill = Case(name), Case(name).prefill()
    other = Guidance.constant(4.0, 1.0, len(case.schedule.scales))
    case.run(prefill, guidance=other, tau=0.5)
    assert prefill.computed == 3
    case.check(case.run(prefill))
    assert prefill.computed == 3


def test_prefill_survives_what_a_branch_does_not_depend_on() -> None:
    prefill = PrefillCache(golden.model())
    first = prefill.branches(golden.text("text_len7"), *golden.subject("a"))
    other_subject = prefill.branches(golden.text("text_len7"), *golden.subject("b"))
    assert other_subject.text is first.text and other_subject.null is first.null
    assert prefill.computed == 4


def test_a_branch_stops_when_no_later_scale_needs_it() -> None:
    case = Case("echogen_tiny_case01_greedy")
    gamma_t = (3.0, 3.0, 2.5, 2.5, 1.0, 1.0, 1.0)
    gamma_i = (2.0, 2.0, 2.5, 2.5, 1.0, 1.0, 1.0)
    steps = case.run(guidance=Guidance(gamma_t, gamma_i))
    assert [step.branch_logits_NLd2.shape[0] for step in steps] == [3, 3, 2, 2, 1, 1, 1]


def test_picture_of_a_batch_equals_the_single_run() -> None:
    case = Case("echogen_tiny_case01_sampled")
    branches = case.branches(case.prefill())[0]
    batch = list(sample(golden.model(), branches, case.schedule, [41, 42, 43], case.settings))
    case.check(case.run())
    for step, (start, end) in zip(batch, case.schedule.spans, strict=True):
        picture = step.bits.scales[-1][1].flatten(0, 1)
        assert torch.equal(picture, case.expected["bits"][0, start:end])


def test_batch_of_different_prompts_and_subjects_in_one_run_equals_single_runs() -> None:
    case = Case("echogen_tiny_case06_greedy")
    together = case.run()[-1].bits
    for picture in range(2):
        branches = case.branches(case.prefill())[picture]
        alone = list(sample(golden.model(), branches, case.schedule, [0], case.settings))[-1].bits
        for a, b in zip(alone.scales, together.scales, strict=True):
            assert torch.equal(a[0], b[picture])


def test_kept_scales_stay_and_the_rest_is_the_same_run() -> None:
    case = Case("echogen_tiny_case01_greedy")
    whole = case.run()[-1].bits
    again = list(
        sample(
            golden.model(), case.branches(case.prefill()), case.schedule, case.seeds, case.settings,
            keep=whole, first_scale=3,
        )
    )[-1].bits  # fmt: skip
    assert all(torch.equal(a, b) for a, b in zip(whole.scales, again.scales, strict=True))
    changed = list(
        sample(
            golden.model(), case.branches(case.prefill()), case.schedule, [5],
            replace(case.settings, greedy=False, tau=4.0), keep=whole, first_scale=3,
        )
    )[-1].bits  # fmt: skip
    assert all(torch.equal(a, b) for a, b in zip(whole.scales[:3], changed.scales[:3], strict=True))
    assert not torch.equal(whole.scales[-1], changed.scales[-1])


def test_the_picture_of_a_run_equals_the_official_one() -> None:
    case = Case("echogen_tiny_case05_greedy")
    state = golden.tensors("vae_tiny_d16_weights")
    config = TokenizerConfig(bits=16, base_channels=32, channel_multipliers=(1, 1, 1, 1, 2))
    tokenizer = BitTokenizer(config, device="meta")
    tokenizer.load_state_dict(translate_tokenizer(state, config), strict=True, assign=True)
    image_HW3 = tokenizer.decode(case.run()[-1].codes_BdHW)[0].permute(1, 2, 0)
    official_HW3 = case.expected["image_u8_bgr"][0].flip(-1)
    # the official picture is truncated to bytes: ours lies within the byte it fell into
    above_HW3 = image_HW3 * 255 - official_HW3
    assert float(above_HW3.min()) > -255e-4 and float(above_HW3.max()) < 1 + 255e-4
