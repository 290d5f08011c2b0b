"""Presets and their sizes, as the stages check them."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
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
from echogen_core.model.branch import Conditions
from echogen_core.scales import BUDGETS, find_schedule
from echogen_core.tokenizer import BitTokenizer
from echogen_core.training.initialise import initialise
from miniature.training.options import check_picture_size


def build(name: str) -> tuple[EchoGenTransformer, BitTokenizer, TextEncoder, SemanticEncoder, ContentEncoder]:
    """A preset's modules, without values."""
    preset, encoders = find_preset(name), find_encoders(name)
    with torch.device("meta"):
        tokens = wrap_tokenizer(build_tokenizer(["it"], 300))
        return (
            EchoGenTransformer(preset.transformer),
            BitTokenizer(preset.tokenizer),
            TextEncoder(encoders.text, tokens),
            SemanticEncoder(encoders.semantic),
            ContentEncoder(encoders.content),
        )


@pytest.mark.parametrize(("name", "pixels", "megabytes"), [("nano-fine", 128, 60), ("nano-256", 256, 150)])
def test_a_candidate_fits_together(name: str, pixels: int, megabytes: float) -> None:
    preset, encoders, schedule = (
        find_preset(name),
        find_encoders(name),
        find_schedule(find_preset(name).budget),
    )
    modules = build(name)
    assert sum(2 * p.numel() for module in modules for p in module.parameters()) < megabytes * 1e6, "in fp16"
    assert encoders.semantic.grid**2 + 1 == preset.transformer.semantic_length
    assert encoders.content.grid**2 == preset.transformer.content_length
    assert encoders.content.grid * 16 == schedule.scales[-1][0] * 14, "a cell per token, in the fixed layout"
    assert schedule.pixels_hw == (pixels, pixels)
    assert preset.reference_size == encoders.content.reference_size == encoders.semantic.reference_size
    assert preset.transformer.levels == len(schedule.scales)
    assert preset.name not in (*PRESETS, *ENCODERS, *BUDGETS), "no weights yet: nobody is offered it"


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_candidate_has_the_weights_of_nano_by_name(name: str) -> None:
    names = [
        {re.sub(r"blocks\.\d+", "blocks", key) for key in build(each)[0].state_dict()}
        for each in ("nano", name)
    ]
    assert names[0] == names[1]


@pytest.mark.parametrize("name", CANDIDATES)
@torch.no_grad()
def test_a_candidate_draws(name: str) -> None:
    """Its sequence lengths and pictures, in narrow modules."""
    preset, encoders = find_preset(name), find_encoders(name)
    schedule, size, bits = find_schedule(preset.budget), preset.reference_size, preset.transformer.bits
    transformer = EchoGenTransformer(replace(preset.transformer, depth=1, width=64, heads=2))
    initialise(transformer, torch.Generator().manual_seed(0))
    seen = SemanticEncoder(replace(encoders.semantic, depth=1))(torch.rand(1, 3, size, size))
    content_BSF = ContentEncoder(replace(encoders.content, base_channels=8))(torch.rand(1, 3, size, size))
    given = Conditions(
        torch.randn(1, 4, preset.transformer.text_width),
        seen.cls_BC,
        seen.patches_BPC,
        content_BSF.flatten(2).mT,
        torch.ones(1, 4, dtype=torch.bool),
    )
    logits = transformer.teacher_forced(given, torch.randn(1, schedule.tokens - 1, bits), schedule)
    assert logits.shape == (1, schedule.tokens, bits, 2) and torch.isfinite(logits).all()
    tokenizer = BitTokenizer(replace(preset.tokenizer, base_channels=8, norm_groups=4)).eval()
    pictures_B3HW = torch.rand(1, 3, *schedule.pixels_hw)
    latent_BDHW = tokenizer.latent(pictures_B3HW)
    assert latent_BDHW.shape[1:] == (bits, *schedule.scales[-1])
    assert tokenizer.decode(latent_BDHW).shape == pictures_B3HW.shape


def test_candidates_are_trained_by_the_same_commands(data: Path) -> None:
    check_picture_size(data, find_preset("nano-fine"))
    with pytest.raises(
        ValueError, match=r"Expected pictures of 256 px for nano-256, got 128 px.*--picture 256"
    ):
        check_picture_size(data, find_preset("nano-256"))
    with pytest.raises(ValueError, match="Expected a model out of nano, echogen"):
        find_preset("nano-9")


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
