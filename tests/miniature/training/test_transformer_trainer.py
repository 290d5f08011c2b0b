"""The transformer's training loop at a tiny size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from echogen_core.config import PRESETS, TokenizerConfig
from echogen_core.encoders import (
    ENCODERS,
    ContentEncoder,
    SemanticEncoder,
    TextEncoder,
    build_tokenizer,
    wrap_tokenizer,
)
from echogen_core.model import EchoGenTransformer
from echogen_core.scales import find_schedule
from echogen_core.tokenizer import BitTokenizer
from echogen_core.training.initialise import initialise
from miniature.data.dataset import Compositor, Mix
from miniature.training import transformer_trainer
from miniature.training.transformer_recipe import TransformerRecipe
from miniature.training.transformer_trainer import Modules, Trainer, split_pairs

from ..prepared import SIZE


@pytest.fixture(autouse=True)
def few_heldout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs that a run is measured with."""
    monkeypatch.setattr(transformer_trainer, "HELDOUT", 4)


def _parts() -> Modules:
    torch.manual_seed(0)
    config = replace(
        PRESETS["nano"].transformer, depth=1, width=64, heads=2, bits=8, semantic_width=32, semantic_length=65
    )
    transformer = EchoGenTransformer(config)
    initialise(transformer, torch.Generator().manual_seed(0))
    tokens = wrap_tokenizer(build_tokenizer(["the subject in a wood", "it in a town"], 300))
    text = replace(ENCODERS["nano"].text, depth=1)
    return Modules(
        transformer,
        TextEncoder(text, tokens),
        ContentEncoder(replace(ENCODERS["nano"].content, base_channels=8)),
        SemanticEncoder(replace(ENCODERS["nano"].semantic, width=32, depth=1, heads=2)),
        BitTokenizer(TokenizerConfig(8, 8, (1, 1), 1, unshuffle=4, norm_groups=8))
        .eval()
        .requires_grad_(False),
        find_schedule("nano"),
    )


def test_a_run_learns_stops_and_goes_on(data: Path, tmp_path: Path) -> None:
    recipe = TransformerRecipe(minutes=60, batch=4, targets=2, workers=2, warmup=1, drop=0.2)
    trainer = Trainer(_parts(), data, tmp_path, recipe)
    losses = [trainer._train_step()["loss"] for _ in range(12)]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    trainer.save()
    record = trainer._validate()
    assert set(record) == {"heldout_loss", "heldout_bits"}
    again = Trainer(_parts(), data, tmp_path, recipe)
    assert again.step == 12
    held = dict(again.trained.named_parameters())
    for name, parameter in trainer.trained.named_parameters():
        assert torch.equal(parameter, held[name]), name
    with again.averaged():
        assert torch.equal(again.modules.transformer.start, again.average["transformer.start"])
    assert torch.equal(again.modules.transformer.start, trainer.modules.transformer.start)


def test_shares_keep_references_with_their_targets(data: Path) -> None:
    pairs = Compositor(data, "train", seed=1).batch(4, Mix(), targets=3)
    shares = split_pairs(pairs, 2)
    assert [share.prompts for share in shares] == [pairs.prompts[::2], pairs.prompts[1::2]]
    assert torch.equal(shares[1].targets_B3HW[3:6], pairs.targets_B3HW[9:12])


def test_references_come_as_large_as_the_encoders_want_them(data: Path, tmp_path: Path) -> None:
    trainer = Trainer(_parts(), data, tmp_path, TransformerRecipe(batch=2, workers=1))
    assert trainer.data.size == SIZE
    pairs = trainer._next_pairs()
    assert pairs.references_B3HW.shape == (2, 3, 112, 112) and pairs.targets_B3HW.shape[-1] == SIZE


def test_compiled_blocks_and_padded_prompts_change_nothing(data: Path, tmp_path: Path) -> None:
    recipe = TransformerRecipe(minutes=60, batch=2, targets=2, workers=1, warmup=1)
    records = []
    for backend in ("", "aot_eager"):
        trainer = Trainer(_parts(), data, tmp_path / f"run{backend}", replace(recipe, compiler=backend))
        records.append(trainer._train_step() | trainer._train_step())
        assert trainer._validate()["heldout_loss"] > 0
    assert records[0]["loss"] == pytest.approx(records[1]["loss"], rel=1e-3)
