"""Files told apart by what is in them, without reading their numbers, and mixed-up ones named."""

from __future__ import annotations

import gc
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from echogen_core.checkpoints import identify, load, load_part, load_tokenizer, load_transformer, save_part
from echogen_core.checkpoints.format import KINDS, TITLES, write_metadata
from echogen_core.config import PRESETS
from echogen_core.encoders import ENCODERS, ContentEncoder, ContentEncoderConfig

GOLDEN = Path(__file__).parents[2] / "golden"
TRANSFORMER = GOLDEN / "echogen_tiny_weights.safetensors"
TOKENIZER = GOLDEN / "vae_tiny_d16_weights.safetensors"
META = {"dtype": torch.bfloat16, "device": "meta"}


def hollow(path: Path, tensors: dict[str, Tensor]) -> Path:
    """A safetensors file of these shapes and types without numbers: the header, and a hole behind it."""
    names = {torch.float32: "F32", torch.bfloat16: "BF16"}
    entries, end = {}, 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.nbytes
        entries[name] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    header = json.dumps(entries).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    os.truncate(path, 8 + len(header) + end)
    return path


def key_table(name: str) -> dict[str, Tensor]:
    entries = json.loads((GOLDEN / f"keys_{name}.json").read_text())
    return {
        key: torch.empty(shape, dtype=torch.bfloat16, device="meta") for key, (shape, _, _) in entries.items()
    }


@pytest.mark.parametrize(
    ("table", "kind", "title"),
    [
        ("echogen_layer12", "transformer", "an EchoGen transformer (depth 12, width 768, 16 bits)"),
        ("infinity_layer12", "transformer", "an Infinity base transformer (depth 12, width 768, 16 bits)"),
        ("vae_d16", "tokenizer", "a BSQ tokenizer of 16 bits (d16)"),
        ("vae_d32", "tokenizer", "a BSQ tokenizer of 32 bits (d32)"),
    ],
)
def test_published_sizes_are_read_from_the_header(table: str, kind: str, title: str, tmp_path: Path) -> None:
    identity = identify(hollow(tmp_path / "x.safetensors", key_table(table)))
    assert (identity.kind, identity.title, identity.dtype) == (kind, title, torch.bfloat16)
    assert not identity.ours and not identity.adapter
    if kind == "transformer":
        wanted = PRESETS["echogen-0.1b"].transformer
        assert identity.config.subject == ("echogen" in table)
        assert (identity.config.depth, identity.config.width) == (wanted.depth, wanted.width)
    else:
        assert identity.config == PRESETS["echogen-0.1b" if "16" in table else "echogen-2b"].tokenizer


def test_every_wrapping_of_one_file_is_the_same_model(tmp_path: Path) -> None:
    state = load_file(TRANSFORMER)
    expected = identify(TRANSFORMER)
    for name, content in {"plain": state, "nested": {"trainer": {"gpt_fsdp": state}, "epoch": 2}}.items():
        for zipped in (True, False):
            path = tmp_path / f"{name}{zipped}.pth"
            torch.save(content, path, _use_new_zipfile_serialization=zipped)
            assert identify(path) == expected


def test_identity_follows_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(TOKENIZER.read_bytes())
    assert identify(path).kind == "tokenizer"
    path.write_bytes(TRANSFORMER.read_bytes())
    assert identify(path).kind == "transformer"
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="is empty"):
        identify(path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="does not exist"):
        identify(path)


FOREIGN: list[tuple[dict[str, list[int]], str]] = [
    ({"model.diffusion_model.input_blocks.0.0.weight": [8]}, "a Stable Diffusion checkpoint"),
    ({"double_blocks.0.img_attn.qkv.weight": [8]}, "a FLUX diffusion model"),
    ({"lora_unet_down_blocks_0.lora_up.weight": [8]}, "a LoRA"),
    ({"transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight": [8]}, "a LoRA"),
    ({"vision_model.embeddings.class_embedding": [8]}, "a CLIP vision encoder"),
    ({"text_model.encoder.layers.0.mlp.fc1.weight": [8]}, "a CLIP text encoder"),
    ({"controlnet_cond_embedding.conv_in.weight": [8]}, "a ControlNet"),
    ({"a.weight": [8], "a.bias": [8]}, "a file of an unknown kind (its first tensors: a.bias, a.weight)"),
    ({"cls_token": [1, 1, 64], "register_tokens": [1, 4, 64], "patch_embed.proj.weight": [64, 3, 14, 14],
      "pos_embed": [1, 17, 64], "blocks.0.norm1.weight": [64]}, "a DINOv2 with registers"),
    ({"cls_token": [1, 1, 64], "patch_embed.proj.weight": [64, 3, 16, 16], "pos_embed": [1, 17, 64],
      "blocks.0.norm1.weight": [64]}, "a vision transformer of width 64 and patch 16"),
    ({"shared.weight": [8, 64], "encoder.final_layer_norm.weight": [64],
      "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight": [32, 2]},
     "a T5 of the first version"),
    ({"cfg_uncond": [4, 64], "word_embed.weight": [64, 8]}, "a damaged or partial EchoGen or Infinity"),
]  # fmt: skip


def sdxl_vae(channels: int) -> dict[str, Tensor]:
    """The names that matter of a VAE in the Stable Diffusion family, with its latent channels."""
    shapes = {
        "encoder.conv_in.weight": [32, 3, 3, 3],
        "encoder.conv_out.weight": [2 * channels, 64, 3, 3],
        "encoder.mid.attn_1.q.weight": [64, 64, 1, 1],
        "decoder.conv_out.weight": [3, 32, 3, 3],
    }
    shapes |= {f"encoder.down.{level}.block.0.conv1.weight": [64, 32, 3, 3] for level in range(4)}
    return {name: torch.zeros(shape) for name, shape in shapes.items()}


@pytest.mark.parametrize(("shapes", "title"), FOREIGN)
def test_other_models_are_named_in_every_slot(
    shapes: dict[str, list[int]], title: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.safetensors"
    save_file({name: torch.zeros(shape) for name, shape in shapes.items()}, path)
    identity = identify(path)
    assert identity.kind is None and title in identity.title and identity.config is None
    for kind in KINDS:
        with pytest.raises(ValueError) as caught:
            load_part(path, kind)
        assert f"expected {TITLES[kind]}" in str(caught.value) and identity.title in str(caught.value)


def test_a_stable_diffusion_vae_is_none_of_ours(tmp_path: Path) -> None:
    save_file(sdxl_vae(4), tmp_path / "sdxl_vae.safetensors")
    for kind in ("content", "tokenizer"):
        with pytest.raises(
            ValueError, match=r"got a VAE of 4 channels and factor 8 \(Stable Diffusion's or SDXL"
        ):
            load_part(tmp_path / "sdxl_vae.safetensors", kind)


def test_parts_of_another_size_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        load_part(TOKENIZER, "tokenizer", config=PRESETS["echogen-2b"].tokenizer)
    message = str(caught.value)
    for words in (
        "expected a BSQ tokenizer of 32 bits",
        "got a BSQ tokenizer of 16 bits",
        "infinity_vae_d32reg.pth",
    ):
        assert words in message
    xxl = {
        "shared.weight": [32128, 4096],
        "encoder.final_layer_norm.weight": [4096],
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight": [32, 64],
        "encoder.block.0.layer.0.SelfAttention.q.weight": [4096, 4096],
        "encoder.block.23.layer.1.DenseReluDense.wi_0.weight": [10240, 4096],
        "encoder.block.0.layer.1.DenseReluDense.wi_0.weight": [10240, 4096],
    }
    path = hollow(tmp_path / "t5xxl.safetensors", {k: torch.empty(s, **META) for k, s in xxl.items()})
    assert identify(path).title == "a T5 XXL text encoder (4096 channels)"
    with pytest.raises(ValueError, match=r"expected a T5 XL text encoder .* width 4096 instead of 2048"):
        load_part(path, "text", config=ENCODERS["echogen-2b"].text)


def test_base_model_loads_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    base = {key: tensor for key, tensor in load_file(TRANSFORMER).items() if "control" not in key}
    torch.save(base, tmp_path / "infinity.pth")
    assert not load_transformer(tmp_path / "infinity.pth").info.config.subject
    assert "knows no subject" in caplog.text
    caplog.clear()
    load_transformer(TRANSFORMER)
    assert not caplog.text


# --- damaged numbers


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_numbers_that_are_none(number: float, dtype: torch.dtype, tmp_path: Path) -> None:
    state = {name: tensor.to(dtype) for name, tensor in load_file(TOKENIZER).items()}
    state["decoder.conv_out.conv.weight"][0, 0, 0, 0] = number
    save_file(state, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=r"1 tensors hold NaN or infinity \(decoder\.conv_out\.weight\)"):
        load_tokenizer(tmp_path / "x.safetensors")


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int64, torch.bool])
def test_weights_of_another_type(dtype: torch.dtype, tmp_path: Path) -> None:
    state = load_file(TOKENIZER)
    state["decoder.conv_out.conv.weight"] = state["decoder.conv_out.conv.weight"].to(dtype)
    torch.save({"vae": state}, tmp_path / "x.pth")
    message = (
        rf"another shape or type: decoder\.conv_out\.weight \[.*\] {str(dtype)[6:]} instead of \[.*\] float32"
    )
    with pytest.raises(ValueError, match=message):
        load_tokenizer(tmp_path / "x.pth")


def living_bytes() -> int:
    gc.collect()
    storages = {
        item.untyped_storage().data_ptr(): item.untyped_storage().nbytes()
        for item in gc.get_objects()
        if issubclass(type(item), Tensor) and not item.is_meta
    }
    return sum(storages.values())


@pytest.mark.parametrize("fault", ["nan", "type", "missing", "cut", "kind"])
def test_a_failed_load_gives_the_memory_back(fault: str, tmp_path: Path) -> None:
    module = ContentEncoder(ContentEncoderConfig(base_channels=32))
    path = save_part(tmp_path / "vae.safetensors", "content", module, module.config, None)
    size = path.stat().st_size
    state = load_file(path)
    if fault == "nan":
        state["conv_out.bias"] = torch.full_like(state["conv_out.bias"], float("nan"))
    elif fault == "type":
        state["conv_out.bias"] = state["conv_out.bias"].long()
    elif fault == "missing":
        del state["conv_out.bias"]
    broken = tmp_path / "broken.safetensors"
    save_file(state, broken, metadata=write_metadata("content", module.config))
    if fault == "cut":
        os.truncate(broken, size // 2)
    del module, state
    before = living_bytes()
    for _ in range(3):
        refused(broken, "semantic" if fault == "kind" else "content")
    assert living_bytes() - before < size // 10
    broken.unlink()  # nothing holds it open


def refused(path: Path, kind: str) -> None:
    try:
        load(path, kind)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        raise AssertionError("a broken file was loaded")


def test_refused_pickle_says_how_to_convert_it(tmp_path: Path) -> None:
    class Sneaky:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"x": Sneaky()}, tmp_path / "evil.pth")
    with pytest.raises(ValueError) as caught:
        identify(tmp_path / "evil.pth")
    assert "wants to run code" in str(caught.value) and "torch.save(" in str(caught.value)
    assert not (tmp_path / "ran").exists()
