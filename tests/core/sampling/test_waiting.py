"""The loop over scales doesn't wait for the device: nothing is read from it or brought to it on the way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from card_tensors import Card, OnCard
from random_models import SMALL, random_conditions, random_transformer
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from echogen_core.sampling import PrefillCache, Region, SamplingSettings, ScaleStep, sample
from echogen_core.sampling.memory import Run
from echogen_core.scales import find_schedule

from .. import golden

RUN = Run(find_schedule("nano"), pictures=2, branches=3)


class Crossings(TorchDispatchMode):
    """Operations that take something from the card or bring something to it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        tensors = [each for each in tree_flatten((args, kwargs, result))[0] if isinstance(each, torch.Tensor)]
        there = [isinstance(each, OnCard) for each in tensors]
        read = not isinstance(result, torch.Tensor | tuple | list)
        if any(there) and (read or not all(there)):
            self.seen.append(str(function))
        return result


def on_card(module: nn.Module) -> nn.Module:
    for each in module.modules():
        for name, parameter in each._parameters.items():
            each._parameters[name] = None if parameter is None else OnCard(parameter.data)  # type: ignore[assignment]
    return module


def steps(card: bool, crossings: Crossings | None = None) -> list[tuple[ScaleStep, list[str]]]:
    """Each step of a run with a region, with what crossed on the way to it."""
    config = replace(SMALL, depth=1, width=64, heads=2, content_length=64)
    model = random_transformer(config)
    conditions = random_conditions(config, RUN)
    other = random_conditions(config, RUN, seed=1)
    assert conditions.guidance is not None
    if card:
        on_card(model)
    main, own = PrefillCache(model, capacity=6).prefill([conditions, other])
    half = torch.zeros(8, 8)
    half[:, :3] = 1
    regions = [Region(own, conditions.guidance, half)]
    settings = SamplingSettings(conditions.guidance)
    taken = []
    for step in sample(model, main, RUN.schedule, [3, 4], settings, regions=regions):
        taken.append((step, [] if crossings is None else list(crossings.seen)))
        if crossings is not None:
            crossings.seen.clear()
    return taken


def test_only_the_last_scale_waits_for_the_device() -> None:
    with torch.inference_mode(), Card(), Crossings() as crossings:
        there = steps(card=True, crossings=crossings)
    crossed = [seen for _, seen in there]
    assert crossed[0], "tables and noise are brought there before the first scale"
    assert crossed[1:-1] == [[]] * (len(crossed) - 2)
    assert len(crossed[-1]) == 1, "whether all were numbers is asked once"
    for (step, _), (expected, _) in zip(there, steps(card=False), strict=True):
        golden.assert_close(step.logits_BLd2.cpu(), expected.logits_BLd2)
        assert torch.equal(step.bits.scales[-1].cpu(), expected.bits.scales[-1])
