"""Published names: every key of every official file finds its place, with nothing left over."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from echogen_core.checkpoints.keymap_content import infer_content, translate_content
from echogen_core.checkpoints.keymap_semantic import infer_semantic, translate_semantic
from echogen_core.checkpoints.keymap_text import infer_text, stored_text, translate_text
from echogen_core.checkpoints.keymap_tokenizer import infer_tokenizer, translate_tokenizer
from echogen_core.checkpoints.keymap_transformer import infer_config, translate_transformer
from echogen_core.checkpoints.kinds import recognise
from echogen_core.checkpoints.load import fill
from echogen_core.config import PRESETS
from echogen_core.encoders import (
    ENCODERS,
    ContentEncoder,
    SemanticEncoder,
    TextEncoder,
    build_tokenizer,
    wrap_tokenizer,
)
from echogen_core.model import EchoGenTransformer
from echogen_core.tokenizer import BitTokenizer

GOLDEN = Path(__file__).parents[2] / "golden"
PROMPTS = ["a cat in a city street", "a toy car in the forest"]


def key_table(name: str) -> dict[str, Tensor]:
    """An official state dict without its numbers."""
    entries = json.loads((GOLDEN / f"keys_{name}.json").read_text())
    return {
        key: torch.empty(shape, dtype=getattr(torch, dtype), device="meta")
        for key, (shape, dtype, _) in entries.items()
    }


@pytest.mark.parametrize(
    ("table", "preset", "subject"),
    [
        ("echogen_2b", "echogen-2b", True),
        ("echogen_layer12", "echogen-0.1b", True),
        ("infinity_2b", "echogen-2b", False),
        ("infinity_layer12", "echogen-0.1b", False),
    ],
)
def test_official_transformers_load_strictly(table: str, preset: str, subject: bool) -> None:
    state = key_table(table)
    assert recognise(state) == "transformer"
    config = infer_config({"trainer": {"gpt_fsdp": state}})
    expected = PRESETS[preset].transformer
    if not subject:  # what the subject path takes is not in the file
        expected = replace(
            expected,
            subject=False,
            semantic_length=config.semantic_length,
            content_length=config.content_length,
        )
    assert config == expected
    module = EchoGenTransformer(config, device="meta")
    fill(module, translate_transformer({"trainer": {"gpt_fsdp": state}}, config), "transformer")


@pytest.mark.parametrize(("table", "preset"), [("vae_d32", "echogen-2b"), ("vae_d16", "echogen-0.1b")])
@pytest.mark.parametrize("plain", [False, True])
def test_official_tokenizers_load_strictly(table: str, preset: str, plain: bool) -> None:
    state = key_table(table)
    if plain:
        state = {
            k.replace(".conv.w", ".w").replace(".conv.b", ".b").replace(".norm.", "."): t
            for k, t in state.items()
        }
    assert recognise({"vae": state}) == "tokenizer"
    config = infer_tokenizer({"vae": state})
    assert config == PRESETS[preset].tokenizer
    fill(BitTokenizer(config, device="meta"), translate_tokenizer({"vae": state}, config), "tokenizer")


def flux_vae_keys() -> dict[str, list[int]]:
    """Names and shapes of `ae.safetensors`, encoder half (LDM's naming), and some of its decoder."""
    shapes: dict[str, list[int]] = {"encoder.conv_in": [128, 3, 3, 3], "encoder.conv_out": [32, 512, 3, 3]}
    norms = {"encoder.norm_out": 512, "encoder.mid.attn_1.norm": 512}
    blocks = [("encoder.mid.block_1", 512, 512), ("encoder.mid.block_2", 512, 512)]
    widths, width = [128, 256, 512, 512], 128
    for level, outputs in enumerate(widths):
        for index in range(2):
            blocks.append((f"encoder.down.{level}.block.{index}", width, outputs))
            width = outputs
        if level < 3:
            shapes[f"encoder.down.{level}.downsample.conv"] = [outputs, outputs, 3, 3]
    for name, inputs, outputs in blocks:
        norms |= {f"{name}.norm1": inputs, f"{name}.norm2": outputs}
        shapes |= {f"{name}.conv1": [outputs, inputs, 3, 3], f"{name}.conv2": [outputs, outputs, 3, 3]}
        if inputs != outputs:
            shapes[f"{name}.nin_shortcut"] = [outputs, inputs, 1, 1]
    for name in ("q", "k", "v", "proj_out"):
        shapes[f"encoder.mid.attn_1.{name}"] = [512, 512, 1, 1]
    shapes |= {"decoder.conv_in": [512, 16, 3, 3], "decoder.conv_out": [3, 128, 3, 3]}
    keys = {f"{name}.weight": shape for name, shape in shapes.items()}
    keys |= {f"{name}.bias": [shape[0]] for name, shape in shapes.items()}
    return keys | {f"{name}.{leaf}": [count] for name, count in norms.items() for leaf in ("weight", "bias")}


def test_flux_vae_loads_strictly() -> None:
    state = {key: torch.empty(shape, device="meta") for key, shape in flux_vae_keys().items()}
    assert recognise(state) == "content"
    config = infer_content(state)
    assert config == ENCODERS["echogen-2b"].content
    fill(ContentEncoder(config, device="meta"), translate_content(state), "FLUX VAE")
    with pytest.raises(ValueError, match="4 channels and factor 8"):
        infer_content(state | {"encoder.conv_out.weight": torch.empty(8, 512, 3, 3, device="meta")})


def dinov2_base_keys(original: bool) -> dict[str, list[int]]:
    """Names and shapes of ViT-B/14: the original .pth, or the hub's folder."""
    top = {"cls_token": [1, 1, 768], "mask_token": [1, 768]}
    if original:
        keys = top | {"pos_embed": [1, 1370, 768], "norm.weight": [768], "norm.bias": [768]}
        keys |= {"patch_embed.proj.weight": [768, 3, 14, 14], "patch_embed.proj.bias": [768]}
    else:
        keys = {f"embeddings.{name}": shape for name, shape in top.items()}
        keys |= {"embeddings.position_embeddings": [1, 1370, 768], "layernorm.weight": [768]}
        keys |= {"layernorm.bias": [768], "embeddings.patch_embeddings.projection.bias": [768]}
        keys |= {"embeddings.patch_embeddings.projection.weight": [768, 3, 14, 14]}
    for layer in range(12):
        block = f"blocks.{layer}" if original else f"encoder.layer.{layer}"
        linears = {f"{block}.mlp.fc1": [3072, 768], f"{block}.mlp.fc2": [768, 3072]}
        if original:
            linears |= {f"{block}.attn.qkv": [2304, 768], f"{block}.attn.proj": [768, 768]}
            keys |= {f"{block}.ls1.gamma": [768], f"{block}.ls2.gamma": [768]}
        else:
            names = ("attention.query", "attention.key", "attention.value", "output.dense")
            linears |= {f"{block}.attention.{name}": [768, 768] for name in names}
            keys |= {f"{block}.layer_scale1.lambda1": [768], f"{block}.layer_scale2.lambda1": [768]}
        keys |= {f"{name}.weight": shape for name, shape in linears.items()}
        keys |= {f"{name}.bias": [shape[0]] for name, shape in linears.items()}
        keys |= {f"{block}.norm{n}.{leaf}": [768] for n in (1, 2) for leaf in ("weight", "bias")}
    return keys


@pytest.mark.parametrize("original", [True, False])
def test_dinov2_base_loads_strictly(original: bool) -> None:
    state = {key: torch.empty(shape, device="meta") for key, shape in dinov2_base_keys(original).items()}
    assert recognise(state) == "semantic"
    config = infer_semantic(state)
    assert config == ENCODERS["echogen-2b"].semantic
    module = SemanticEncoder(config, device="meta")
    fill(module.dino, translate_semantic(state, config, module.dino.state_dict()), "DINOv2")


def test_semantic_names_of_either_transformers_generation() -> None:
    """Files in the hub's names fill a module of transformers 4 (same names) and of 5 (renamed attention)."""
    state = {key: torch.empty(shape, device="meta") for key, shape in dinov2_base_keys(False).items()}
    config = infer_semantic(state)
    assert translate_semantic(state, config, state).keys() == state.keys()
    renamed = {
        key.replace("attention.attention.query", "attention.q_proj")
        .replace("attention.attention.key", "attention.k_proj")
        .replace("attention.attention.value", "attention.v_proj")
        .replace("attention.output.dense", "attention.o_proj")
        for key in state
    }
    assert translate_semantic(state, config, renamed).keys() == renamed


def flan_t5_xl_keys() -> dict[str, list[int]]:
    """Names and shapes of google/flan-t5-xl: the encoder, and some of the decoder."""
    keys = {"shared.weight": [32128, 2048], "encoder.embed_tokens.weight": [32128, 2048]}
    keys |= {"encoder.final_layer_norm.weight": [2048], "lm_head.weight": [32128, 2048]}
    keys["decoder.block.0.layer.0.SelfAttention.q.weight"] = [2048, 2048]
    for block in range(24):
        prefix = f"encoder.block.{block}.layer"
        keys |= {f"{prefix}.0.SelfAttention.{name}.weight": [2048, 2048] for name in "qkvo"}
        keys |= {f"{prefix}.1.DenseReluDense.wi_{n}.weight": [5120, 2048] for n in (0, 1)}
        keys[f"{prefix}.1.DenseReluDense.wo.weight"] = [2048, 5120]
        keys |= {f"{prefix}.{n}.layer_norm.weight": [2048] for n in (0, 1)}
    keys["encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"] = [32, 32]
    return keys


def test_flan_t5_xl_loads_strictly() -> None:
    state = {key: torch.empty(shape, device="meta") for key, shape in flan_t5_xl_keys().items()}
    assert recognise(state) == "text"
    config = infer_text(state)
    assert config == ENCODERS["echogen-2b"].text
    tokenizer = wrap_tokenizer(build_tokenizer(PROMPTS, vocabulary=300))
    fill(TextEncoder(config, tokenizer, device="meta"), translate_text(stored_text(state)), "T5")
    ungated = {key: t for key, t in state.items() if "wi_0" not in key}
    with pytest.raises(ValueError, match="without gated"):
        infer_text(ungated)
