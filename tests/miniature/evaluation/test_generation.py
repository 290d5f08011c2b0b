"""The miniature's pictures for a task."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
import torch

from echogen_core.config import find_preset
from echogen_core.tokenizer import BitTokenizer
from miniature.evaluation import (
    protocol,
)
from miniature.evaluation.generation import Miniature, through_tokenizer

from .random_nano import random_bundle


def test_without_weight_the_reference_does_not_matter(data: Path) -> None:
    task = protocol.build_task(data, 2, 1, seed=0)
    miniature = Miniature(random_bundle())
    unseen = replace(task, references_S3HW=task.references_S3HW.flip(0))
    silent, heard = replace(miniature.preset, gamma_i=0.0), miniature.preset
    assert torch.equal(miniature.generate(task, silent), miniature.generate(unseen, silent))
    both = miniature.generate(task, heard)
    assert not torch.equal(both, miniature.generate(unseen, heard))
    semantic, content = (
        miniature.generate(task, replace(heard, **{left_out: False})) for left_out in ("content", "semantic")
    )
    assert not any(torch.equal(*pair) for pair in combinations((both, semantic, content), 2))


@pytest.mark.parametrize("name", ["nano", "nano-fine"])
def test_a_tokenizer_is_measured_at_its_own_size(name: str) -> None:
    preset = find_preset(name)
    config = replace(preset.tokenizer, base_channels=8, norm_groups=4)
    tokenizer = BitTokenizer(config).eval()
    assert through_tokenizer(tokenizer, torch.rand(1, 3, 128, 128), preset).shape == (1, 3, 128, 128)
    with pytest.raises(ValueError, match="16"):
        through_tokenizer(tokenizer, torch.rand(1, 3, 64, 64), preset)
