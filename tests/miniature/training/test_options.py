"""Presets and their sizes, as the stages check them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from echogen_core.config import CANDIDATES, PRESETS, find_preset
from echogen_core.encoders import (
    ENCODERS,
    ContentEncoder,
    SemanticEncoder,
    TextEncoder,
    build_tokenizer,
    wrap_tokenizer,
)
from echogen_core.encoders.sizes import find_encoders
from echogen_core.model import EchoGenTransformer
from echogen_core.scales import BUDGETS, find_schedule
from echogen_core.tokenizer import BitTokenizer
from miniature.training.options import check_picture_size


def test_the_candidate_is_trained_by_the_same_commands(data: Path, tmp_path: Path) -> None:
    check_picture_size(data, find_preset("nano-fine"))
    with pytest.raises(ValueError, match="Expected a model out of nano, echogen"):
        find_preset("nano-256")
    with torch.device("meta"):
        preset, encoders = find_preset("nano-fine"), find_encoders("nano-fine")
        tokens = wrap_tokenizer(build_tokenizer(["it"], 300))
        modules = (
            EchoGenTransformer(preset.transformer),
            BitTokenizer(preset.tokenizer),
            TextEncoder(encoders.text, tokens),
            SemanticEncoder(encoders.semantic),
            ContentEncoder(encoders.content),
        )
    assert sum(2 * p.numel() for module in modules for p in module.parameters()) < 60e6, "bytes in fp16"
    assert encoders.semantic.grid**2 + 1 == preset.transformer.semantic_length
    assert encoders.content.grid**2 == preset.transformer.content_length
    assert find_schedule(preset.budget).pixels_hw == (128, 128)
    assert preset.reference_size == encoders.content.reference_size == encoders.semantic.reference_size
    assert preset.transformer.levels == len(find_schedule(preset.budget).scales)
    assert preset.name not in (*PRESETS, *ENCODERS, *BUDGETS), "no weights yet: nobody is offered it"


def test_pictures_of_another_size_are_named(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "scenes", tmp_path / "scenes")
    for path in (tmp_path / "scenes").glob("*.npy"):
        np.save(path, np.load(path)[:, ::2, ::2])
    with pytest.raises(ValueError, match=r"Expected pictures of 128 px.*got 64 px.*--picture 128"):
        check_picture_size(tmp_path, PRESETS["nano"])


@pytest.mark.parametrize("name", [*PRESETS, *CANDIDATES])
def test_tokens_are_as_large_as_the_schedule_says(name: str) -> None:
    preset = find_preset(name)
    assert preset.tokenizer.patch == find_schedule(preset.budget).patch
