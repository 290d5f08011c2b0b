"""The forms in which one encoder is published give the same features."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from echogen_core.checkpoints import identify, load_part
from echogen_core.checkpoints.conversion import Conversion, convert
from echogen_core.checkpoints.keymap_semantic import to_hub_names
from echogen_core.encoders import (
    ContentEncoder,
    ContentEncoderConfig,
    SemanticEncoder,
    SemanticEncoderConfig,
    TextEncoder,
    TextEncoderConfig,
    build_tokenizer,
    wrap_tokenizer,
)

PROMPTS = ["a cat in a city street", "a toy car in the forest"]
NEAR = {"atol": 1e-5, "rtol": 1e-5}


def randomise(module: torch.nn.Module) -> None:
    """Weights large enough, norms and scales uneven enough, that a mixed-up tensor shows."""
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)


def shard(state: dict[str, Tensor], folder: Path, ending: str) -> Path:
    """A folder from the hub with two files and their index."""
    folder.mkdir()
    stem = {"safetensors": "model", "bin": "pytorch_model"}[ending]
    names, weight_map = sorted(state), {}
    for number, members in enumerate((names[::2], names[1::2]), start=1):
        file = f"{stem}-{number:05d}-of-00002.{ending}"
        part = {name: state[name].clone() for name in members}
        save_file(part, folder / file) if ending == "safetensors" else torch.save(part, folder / file)
        weight_map |= dict.fromkeys(members, file)
    (folder / f"{stem}.{ending}.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def single(path: Path, tmp_path: Path) -> Path:
    """The file that `convert` makes of it, alone in a folder."""
    return convert(path, tmp_path / "single/part.safetensors", Conversion(), lambda done, total: None)


# --- text


@pytest.mark.parametrize("form", ["safetensors", "bin", "single"])
def test_text(form: str, tmp_path: Path) -> None:
    words = build_tokenizer(PROMPTS, vocabulary=300)
    config = TextEncoderConfig(words.get_vocab_size(), 32, 2, 2, 16, 48, max_tokens=20)
    encoder = TextEncoder(config, wrap_tokenizer(words))
    randomise(encoder)
    state = {name.removeprefix("t5."): tensor for name, tensor in encoder.state_dict().items()}
    # A whole T5: the table by one name, and a decoder that is not needed.
    del state["encoder.embed_tokens.weight"]
    state |= {
        "lm_head.weight": torch.zeros(4, 4),
        "decoder.block.0.layer.0.SelfAttention.q.weight": torch.zeros(4, 4),
    }
    path = shard(state, tmp_path / "t5", "bin" if form == "bin" else "safetensors")
    words.save(str(path / "tokenizer.json"))
    if form == "single":
        path = single(path, tmp_path)
        shutil.rmtree(tmp_path / "t5")
    assert identify(path).kind == "text"
    loaded = load_part(path, "text", config=config)
    for prompt in PROMPTS:
        torch.testing.assert_close(loaded.encode(prompt).tokens_LC, encoder.encode(prompt).tokens_LC, **NEAR)


# --- semantic


def original_names(hub: dict[str, Tensor], depth: int) -> dict[str, Tensor]:
    """DINOv2 as its authors published it: fused attention weights, other names."""
    original = {
        "cls_token": hub["embeddings.cls_token"],
        "mask_token": hub["embeddings.mask_token"],
        "pos_embed": hub["embeddings.position_embeddings"],
    }
    for leaf in ("weight", "bias"):
        original[f"patch_embed.proj.{leaf}"] = hub[f"embeddings.patch_embeddings.projection.{leaf}"]
        original[f"norm.{leaf}"] = hub[f"layernorm.{leaf}"]
        for n in range(depth):
            old, new = f"encoder.layer.{n}", f"blocks.{n}"
            qkv = [hub[f"{old}.attention.attention.{name}.{leaf}"] for name in ("query", "key", "value")]
            original[f"{new}.attn.qkv.{leaf}"] = torch.cat(qkv)
            original[f"{new}.attn.proj.{leaf}"] = hub[f"{old}.attention.output.dense.{leaf}"]
            for name in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
                original[f"{new}.{name}.{leaf}"] = hub[f"{old}.{name}.{leaf}"]
    for n in range(depth):
        for scale in (1, 2):
            original[f"blocks.{n}.ls{scale}.gamma"] = hub[f"encoder.layer.{n}.layer_scale{scale}.lambda1"]
    return original


@pytest.mark.parametrize("form", ["folder", "original", "single"])
@pytest.mark.parametrize("grid", [3, 2])
def test_semantic(form: str, grid: int, tmp_path: Path) -> None:
    """The file's position table is of another grid than the encoder's, as with the published one."""
    published = SemanticEncoder(SemanticEncoderConfig(14 * 4, 14, 64, 2, 1, reference_size=64))
    randomise(published)
    hub = to_hub_names({name.removeprefix("dino."): t for name, t in published.state_dict().items()})
    config = SemanticEncoderConfig(14 * grid, 14, 64, 2, 1, reference_size=64)
    folder = tmp_path / "dinov2-base"
    folder.mkdir()
    save_file(hub, folder / "model.safetensors")
    reference = load_part(folder, "semantic", config=config)
    path = folder
    if form == "original":
        path = tmp_path / "dinov2_vitb14_pretrain.pth"
        torch.save(original_names(hub, depth=2), path)
    elif form == "single":
        path = single(folder, tmp_path)
    assert identify(path).kind == "semantic"
    images_B3HW = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    features, expected = (
        encoder.encode(images_B3HW) for encoder in (load_part(path, "semantic", config=config), reference)
    )
    torch.testing.assert_close(features.cls_VC, expected.cls_VC, **NEAR)
    torch.testing.assert_close(features.patches_VPC, expected.patches_VPC, **NEAR)
    # The same weights at the file's own grid are the encoder that was saved.
    whole = load_part(path, "semantic", config=published.config).encode(images_B3HW)
    torch.testing.assert_close(whole.patches_VPC, published.encode(images_B3HW).patches_VPC, **NEAR)


# --- content

LDM = (
    ("levels.", "down."), (".blocks.", ".block."), ("shortcut", "nin_shortcut"), ("middle.0", "mid.block_1"),
    ("middle.1.out", "mid.attn_1.proj_out"), ("middle.1", "mid.attn_1"), ("middle.2", "mid.block_2"),
)  # fmt: skip
DIFFUSERS = (
    ("levels.", "down_blocks."), (".blocks.", ".resnets."), ("downsample", "downsamplers.0"),
    ("shortcut", "conv_shortcut"), ("norm_out", "conv_norm_out"), ("middle.0", "mid_block.resnets.0"),
    ("middle.1.norm", "mid_block.attentions.0.group_norm"), ("middle.2", "mid_block.resnets.1"),
    ("middle.1.out", "mid_block.attentions.0.to_out.0"), ("middle.1.", "mid_block.attentions.0.to_"),
)  # fmt: skip


def renamed(state: dict[str, Tensor], pairs: tuple[tuple[str, str], ...]) -> dict[str, Tensor]:
    names = {}
    for name, tensor in state.items():
        for ours, theirs in pairs:
            name = name.replace(ours, theirs)
        names[f"encoder.{name}"] = tensor
    return names | {"decoder.conv_in.weight": torch.zeros(4, 4, 3, 3)}


@pytest.mark.parametrize("form", ["ldm", "diffusers", "single"])
def test_content(form: str, tmp_path: Path) -> None:
    config = ContentEncoderConfig(32, (1, 2, 2, 2), 1, 16, reference_size=32)
    encoder = ContentEncoder(config)
    randomise(encoder)
    state = dict(encoder.state_dict())
    if form == "diffusers":
        flat = {
            name: t[..., 0, 0] if name.startswith("middle.1.") and t.ndim == 4 else t
            for name, t in state.items()
        }
        path = tmp_path / "vae"
        path.mkdir()
        save_file(renamed(flat, DIFFUSERS), path / "diffusion_pytorch_model.safetensors")
    else:
        path = tmp_path / "ae.safetensors"
        save_file(renamed(state, LDM), path)
        path = single(path, tmp_path) if form == "single" else path
    assert identify(path).kind == "content"
    loaded = load_part(path, "content", config=config)
    images_B3HW = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(
        loaded.encode(images_B3HW).latents_VCHW, encoder.encode(images_B3HW).latents_VCHW, **NEAR
    )
