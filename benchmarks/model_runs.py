"""Runs of a model with random weights, beside naive ones: what they take doesn't depend on the pictures.

Naive is the same model without this project's savings: see tests/naive_run.py.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import torch
from devices import Processor
from naive_run import naive_sample
from random_models import GUIDANCE, random_conditions, random_transformer
from torch import Tensor

from echogen_core.config import Preset
from echogen_core.dtypes import DTYPES, FP8
from echogen_core.editing import area_mask
from echogen_core.model import EchoGenTransformer
from echogen_core.model.rope import sequence_rope
from echogen_core.sampling import (
    Branches,
    Guidance,
    PrefillCache,
    Region,
    RunConditions,
    SamplingSettings,
    sample,
)
from echogen_core.sampling.memory import GIGABYTE, Run, estimate_memory
from echogen_core.tokenizer import BitTokenizer

ONE, EQUAL, APART = 1, 2, 3
"""Branches that γ_t = γ_I = 1, another γ_t = γ_I, and two different γ need."""
AREAS = ("left half", "right half")


class Figure(NamedTuple):
    """One number of the tables.

    against: what it is compared with, and what that is, in the same unit. target: at most; for the published
    size on a card of the H100's class.
    """

    part: str
    case: str
    measure: str
    value: float
    unit: str
    against: tuple[str, float] | None = None
    target: float | None = None


@dataclass(frozen=True)
class Case:
    """A model, and the run that it draws."""

    preset: Preset
    run: Run
    regions: int = 0

    @property
    def title(self) -> str:
        """In the tables."""
        names = {dtype: name for name, dtype in DTYPES.items()}
        side, _ = self.preset.tokenizer.drawn_hw(self.run.schedule.scales[-1])
        cache = ", KV cache fp8" if self.run.cache_dtype == FP8 else ""
        return f"{self.preset.name}, {side} px, {names[self.run.dtype]}{cache}"

    def conditions(self) -> list[RunConditions]:
        """Random ones, of the whole picture, then of the regions: the same prompt with another subject."""
        config = self.preset.transformer
        main, *others = (random_conditions(config, self.run, seed) for seed in range(1 + self.regions))
        return [main, *(other._replace(text=main.text) for other in others)]


class Drawing:
    """A model, and what it draws of a case's pictures: with its prefill cache, and naively."""

    def __init__(self, model: EchoGenTransformer, case: Case, conditions: Sequence[RunConditions]) -> None:
        """conditions: of the whole picture, then of the regions."""
        self._model, self._run, self._conditions = model, case.run, conditions
        self._prefill = PrefillCache(model)
        self._seeds = range(case.run.pictures)

    def prefill(self, branches: int) -> list[Branches]:
        """From nothing, for guidance that needs so many branches."""
        self._prefill.clear()
        return self._prefilled(branches)

    def cold(self, branches: int) -> Tensor:
        """Summed codes, prefill included."""
        self._prefill.clear()
        return self.warm(branches)

    def warm(self, branches: int) -> Tensor:
        """Summed codes; prefills are reused, as when only γ, tau or the seed have changed."""
        guidance = self._guidance(branches)
        main, *others = self._prefilled(branches)
        regions = [Region(own, guidance, area_mask(area)) for own, area in zip(others, AREAS, strict=False)]
        settings = SamplingSettings(guidance)
        for step in sample(self._model, main, self._run.schedule, self._seeds, settings, regions=regions):
            codes_BdHW = step.codes_BdHW
        return codes_BdHW

    def naive(self, branches: int) -> Tensor:
        """Summed codes; three branches whatever the guidance, prefilled for every picture."""
        model, guidance = self._model, self._guidance(branches)
        device = model.null_text.device
        return naive_sample(model, self._conditions[0], self._run, self._seeds, device, guidance)

    def _prefilled(self, branches: int) -> list[Branches]:
        guidance = self._guidance(branches)
        return self._prefill.prefill([each._replace(guidance=guidance) for each in self._conditions])

    def _guidance(self, branches: int) -> Guidance:
        return Guidance.constant(*GUIDANCE[branches], len(self._run.schedule.scales))


def stages(case: Case, device: Processor, runs: int, targets: Mapping[str, float]) -> Iterator[Figure]:
    """Prefill, sampling and decoding apart; how often the device is waited for."""
    model = random_transformer(case.preset.transformer, case.run.dtype, device=device.device)
    drawing, decode = Drawing(model, case, case.conditions()), decoding(case, model, device)
    ways: dict[str, Callable[[], object]] = {
        "naive sampling": partial(drawing.naive, APART),
        "prefill, γ_t = γ_I": partial(drawing.prefill, EQUAL),
        "prefill, γ_t ≠ γ_I": partial(drawing.prefill, APART),
        "sampling with prefill, γ_t = γ_I": partial(drawing.cold, EQUAL),
        "sampling with prefill, γ_t ≠ γ_I": partial(drawing.cold, APART),
        "sampling, only γ changed, γ_t = γ_I": partial(drawing.warm, EQUAL),
        "sampling, only γ changed, γ_t ≠ γ_I": partial(drawing.warm, APART),
        "sampling, only γ changed, γ_t = γ_I = 1": partial(drawing.warm, ONE),
        "decoding": decode,
    }
    seconds = by_turns(device, ways, runs)
    naive = seconds.pop("naive sampling")
    yield Figure("stages", case.title, "naive sampling", naive, "s")
    for measure, value in seconds.items():
        against = ("naive", naive) if measure.startswith("sampling") else None
        yield Figure("stages", case.title, measure, value, "s", against, targets.get(measure))
    for measure, way in (("with prefill", drawing.cold), ("only γ changed", drawing.warm)):
        waits = device.waits(partial(way, EQUAL))
        yield Figure("stages", case.title, f"waits for the device, {measure}", waits, "")


def growth(cases: Mapping[str, list[Case]], device: Processor, runs: int) -> Iterator[Figure]:
    """Warm sampling and decoding of ever more, against the first of each list; all share its model."""
    first = next(iter(cases.values()))[0]
    model = random_transformer(first.preset.transformer, first.run.dtype, device=device.device)
    measured: dict[Case, dict[str, float]] = {}
    for grows, listed in cases.items():
        for case in listed:
            if case not in measured:
                drawing = Drawing(model, case, case.conditions())
                drawing.prefill(EQUAL)
                ways = {"sampling": partial(drawing.warm, EQUAL), "decoding": decoding(case, model, device)}
                measured[case] = by_turns(device, ways, runs)
            for measure, seconds in measured[case].items():
                against = None if case == listed[0] else ("the first", measured[listed[0]][measure])
                title = f"{case.title}, pictures: {case.run.pictures}, regions: {case.regions}"
                yield Figure(f"growth with {grows}", title, measure, seconds, "s", against)


def memory(case: Case, device: Processor, target: float | None) -> Iterator[Figure]:
    """The most that prefill and sampling take, weights included, with γ_t = γ_I."""
    config, run = case.preset.transformer, replace(case.run, branches=EQUAL)
    sequence_rope(run.schedule, config.head_width, int(config.subject))  # kept for all runs
    conditions = case.conditions()

    def peak(way: Callable[[Drawing, int], object]) -> float:
        def work(model: EchoGenTransformer) -> None:
            way(Drawing(model, case, conditions), EQUAL)

        return device.peak_bytes(config, run.dtype, work) / GIGABYTE

    ours = peak(Drawing.cold)
    said = estimate_memory(config, run).resident / GIGABYTE
    yield Figure("memory", case.title, "peak", ours, "GB", ("naive", peak(Drawing.naive)), target)
    yield Figure("memory", case.title, "estimate", said, "GB", ("peak", ours))


def decoding(case: Case, model: EchoGenTransformer, device: Processor) -> Callable[[], object]:
    """Decodes random codes of the case's pictures, picture by picture."""
    tokenizer = BitTokenizer(case.preset.tokenizer, dtype=model.dtype, device=device.device)
    tokenizer.eval().requires_grad_(False)
    codes_BdHW = torch.randn(case.run.pictures, case.preset.tokenizer.bits, *case.run.schedule.scales[-1])
    codes_BdHW = codes_BdHW.to(device.device)
    return lambda: [*tokenizer.decode_each(codes_BdHW)]


def by_turns(device: Processor, ways: Mapping[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """Median seconds of each way, by turns: what else the machine does lengthens all of them.

    Several runs begin with a round that isn't counted.
    """
    warm_up = runs > 1
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs + warm_up):
        for name, way in ways.items():
            began = device.now()
            way()
            seconds[name].append(device.now() - began)
    return {name: statistics.median(times[warm_up:]) for name, times in seconds.items()}
