"""Ready for torch.compile: a scale is one graph, broken by no Python number and no read from the device."""

from __future__ import annotations

from dataclasses import replace

import torch
from random_models import SMALL, random_conditions, random_transformer

from echogen_core.sampling import PrefillCache, SamplingSettings, sample
from echogen_core.sampling.memory import Run
from echogen_core.scales import find_schedule


def test_a_scale_is_one_graph() -> None:
    config = replace(SMALL, depth=2, width=64, heads=2, content_length=16, semantic_length=17, text_width=128)
    run = Run(find_schedule("nano"), branches=3)
    model, conditions = random_transformer(config), random_conditions(config, run)
    assert conditions.guidance is not None
    settings = SamplingSettings(conditions.guidance)
    branches = PrefillCache(model).branches(*conditions)

    def first_scale() -> torch.Tensor:
        return next(sample(model, branches, run.schedule, [3], settings)).branch_logits_NLd2

    expected = first_scale()
    model.compile(backend="eager", fullgraph=True)
    assert torch.equal(first_scale(), expected)
