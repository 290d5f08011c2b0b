"""A miniature's weights at other sizes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from echogen_core.checkpoints import ASSETS, load_bundle, save_bundle
from echogen_core.checkpoints.bundle import Bundle
from echogen_core.config import PRESETS
from echogen_core.encoders import ENCODERS, ContentEncoder, SemanticEncoder
from echogen_core.model import EchoGenTransformer
from echogen_core.training.initialise import initialise
from miniature.training.enlarge import main, resize_patch_embedding


def test_larger_patches_read_what_the_smaller_ones_read() -> None:
    kernel = torch.randn(5, 3, 8, 8)
    picture = torch.rand(1, 3, 4, 4).repeat_interleave(7, 2).repeat_interleave(7, 3)  # the same at both sizes
    small = F.interpolate(picture, scale_factor=4 / 7, mode="nearest")
    assert small.shape[-1] == 16
    large = F.conv2d(picture, resize_patch_embedding(kernel, 14), stride=14)
    plain = F.conv2d(torch.full_like(picture, 0.3), resize_patch_embedding(kernel, 14), stride=14)
    assert torch.allclose(plain, F.conv2d(torch.full_like(small, 0.3), kernel, stride=8), atol=1e-4)
    assert (large - F.conv2d(small, kernel, stride=8)).abs().mean() < 0.3 * large.std()


def test_an_older_miniature_becomes_a_beginning(tmp_path: Path) -> None:
    now = load_bundle("nano")
    config = replace(PRESETS["nano"].transformer, content_width=16, content_length=64)
    transformer = EchoGenTransformer(config)
    initialise(transformer, torch.Generator().manual_seed(1))
    older = Bundle(
        now.preset,
        transformer,
        now.tokenizer,
        now.text,
        SemanticEncoder(replace(ENCODERS["nano"].semantic, image_size=64, patch=8)),
        ContentEncoder(replace(ENCODERS["nano"].content, latent_channels=16)),
    )
    save_bundle(older, tmp_path / "old", torch.float32)
    given = ["--start", str(tmp_path / "old"), "--tokenizer", str(ASSETS / "nano" / "tokenizer.safetensors")]
    assert main([*given, "--out", str(tmp_path / "new")]) == 0
    begun = load_bundle("nano", tmp_path / "new")
    assert begun.transformer.config == PRESETS["nano"].transformer
    kept = begun.transformer.blocks[2].ffn.up.weight
    assert torch.allclose(kept, transformer.blocks[2].ffn.up.weight, atol=1e-3)  # stored in fp16
    changed = begun.transformer.blocks[2].attn.content_to_kv.weight
    assert not torch.allclose(changed, transformer.blocks[2].attn.content_to_kv.weight, atol=1e-3)
    assert begun.semantic.config.patch == 14
    assert torch.allclose(begun.content.conv_in.weight, older.content.conv_in.weight, atol=1e-3)
    with pytest.raises(FileNotFoundError):
        main(["--start", str(tmp_path / "none"), *given[2:], "--out", str(tmp_path / "new")])
