"""Files that lie are refused in words, each kind, before anything is built from them; odd ones are not."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from echogen_core.checkpoints import identify, load_part, load_tokenizer, read_weights, save_part
from echogen_core.checkpoints.format import KINDS, write_metadata
from echogen_core.checkpoints.segmentation_models import load_segmenter
from echogen_core.checkpoints.subject_file import load_subject
from echogen_core.config import TokenizerConfig
from echogen_core.encoders import (
    ContentEncoder,
    ContentEncoderConfig,
    SemanticEncoderConfig,
    build_tokenizer,
    read_tokenizer,
    resample_position_embedding,
)

from .refusals import refused

GOLDEN = Path(__file__).parents[2] / "golden"
TOKENIZER = GOLDEN / "vae_tiny_d16_weights.safetensors"
TRANSFORMER = GOLDEN / "echogen_tiny_weights.safetensors"


# --- safetensors


def write_header(path: Path, header: Any, body: bytes) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return path


def entry(begin: int, end: int, shape: list[Any] | None = None, dtype: Any = "F32") -> dict[str, Any]:
    return {
        "dtype": dtype,
        "shape": [(end - begin) // 4] if shape is None else shape,
        "data_offsets": [begin, end],
    }


HEADERS: dict[str, Any] = {
    "overlapping": {"a": entry(0, 16), "b": entry(8, 32)},
    "the same place": {"a": entry(0, 32), "b": entry(0, 32)},
    "a gap": {"a": entry(0, 8), "b": entry(16, 32)},
    "uncovered at the end": {"a": entry(0, 16)},
    "past the end": {"a": entry(0, 64)},
    "not from the start": {"a": entry(8, 32)},
    "backwards": {"a": {"dtype": "F32", "shape": [2], "data_offsets": [32, 0]}},
    "other bytes than the shape": {"a": entry(0, 32, [7])},
    "a shape without end": {"a": entry(0, 32), "b": entry(32, 32, [2**40, 2**40])},
    "a zero beside too much": {"a": entry(0, 32), "b": entry(32, 32, [0, 2**63])},
    "axes without end": {"a": entry(0, 32), "b": entry(32, 32, [0] * 1000)},
    "truth as a size": {"a": entry(0, 32), "b": entry(32, 36, [True])},
    "a fraction as a size": {"a": entry(0, 32, [8.0])},
    "a negative size": {"a": entry(0, 32, [-8])},
    "an unknown type": {"a": entry(0, 32, [8], "F33")},
    "a type that is a list": {"a": entry(0, 32, [8], ["F32"])},
    "no type": {"a": {"shape": [8], "data_offsets": [0, 32]}},
    "more than asked, without end": b'{"a":{"x":[' + b'{"a":1},' * 2_000_000 + b"{}]}}",
    "a zero beside what no memory holds": {"a": entry(0, 32), "b": entry(32, 32, [0, 2**47, 2**47])},
    "null": {"a": None},
    "metadata that are numbers": {"__metadata__": {"format": 1}, "a": entry(0, 32)},
    "metadata that are a list": {"__metadata__": ["pt"], "a": entry(0, 32)},
    "one name twice": b'{"a":{"dtype":"F32","shape":[8],"data_offsets":[0,32]},'
    b'"a":{"dtype":"F32","shape":[8],"data_offsets":[0,32]}}',
    "a setting twice": b'{"a":{"dtype":"F32","shape":[8],"shape":[8],"data_offsets":[0,32]}}',
    "no number": b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,32]}}',
    "digits without end": b'{"a":{"dtype":"F32","shape":[' + b"9" * 9999 + b'],"data_offsets":[0,32]}}',
    "depth": b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
    "no JSON": b'{"a":',
    "not UTF-8": b'{"\xff\xfe":1}',
}


@pytest.mark.parametrize("name", list(HEADERS))
def test_headers_that_lie(name: str, tmp_path: Path) -> None:
    path = write_header(tmp_path / "x.safetensors", HEADERS[name], bytes(32))
    for call in (identify, read_weights):
        refused(call, path, "damaged or truncated safetensors file")


@pytest.mark.parametrize("size", [0, 2, 33, 10**9, 2**63, 2**64 - 1])
def test_a_header_of_a_length_that_is_not_there(size: int, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(size.to_bytes(8, "little") + b'{"a": {}, "b": {}}')
    refused(identify, path, "damaged or truncated")


def test_types_without_arithmetic_are_named_and_read_as_bytes(tmp_path: Path) -> None:
    header = {"double_blocks.0.x": entry(0, 16, [4]), "f": entry(16, 32, [16], "F8_E8M0")}
    path = write_header(tmp_path / "x.safetensors", header, bytes(range(32)))
    assert identify(path).title == "a FLUX diffusion model"
    assert read_weights(path).tensors["f"].tolist() == [*range(16, 32)]
    write_header(path, {**header, "f": entry(16, 28, [16], "F6_E2M3")}, bytes(28))
    refused(read_weights, path, "numbers of type F6_E2M3")


def test_tensors_without_numbers_are_read(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(0, 3), "b": torch.ones(2), "c": torch.zeros(())}, tmp_path / "x.safetensors")
    assert [list(t.shape) for t in read_weights(tmp_path / "x.safetensors").tensors.values()] == [
        [0, 3],
        [2],
        [],
    ]


# --- our own configurations


def own_file(path: Path, kind: str, config: Any, state: dict[str, Tensor] | None = None) -> Path:
    metadata = write_metadata(kind, TokenizerConfig(bits=8)) | {"kind": kind}
    metadata["config"] = config if isinstance(config, str) else json.dumps(config)
    save_file(state or {"a": torch.zeros(2)}, path, metadata)
    return path


WHOLE: dict[str, dict[str, Any]] = {
    "transformer": {"depth": 1, "width": 64, "heads": 4, "bits": 8, "text_width": 128, "text_length": 4},
    "tokenizer": {"bits": 8, "base_channels": 32, "channel_multipliers": [1, 1], "res_blocks": 1},
    "text": {"vocabulary": 300, "width": 32, "depth": 1, "heads": 2, "head_width": 16, "hidden": 48},
    "semantic": {"image_size": 28, "width": 64, "depth": 1, "heads": 1},
    "content": {"base_channels": 32, "res_blocks": 1},
}
VALUES = (
    10**9, 10**30, 2**31, 2**63, 0, -1, True, None, "8", [], [8], {}, 1.5, 1e308, "\ud800", [10**9],
    [1] * 10**5,
)  # fmt: skip


@pytest.mark.parametrize("kind", list(KINDS))
def test_no_setting_builds_what_the_file_has_no_tensors_for(kind: str, tmp_path: Path) -> None:
    """Every setting with every strange value: refused at once, by name or by what is missing."""
    path = tmp_path / "x.safetensors"
    build_tokenizer(["a cat"], vocabulary=300).save(str(tmp_path / "tokenizer.json"))
    start = time.perf_counter()
    for name in WHOLE[kind]:
        for value in VALUES:
            own_file(path, kind, {**WHOLE[kind], name: value})
            refused(lambda path: load_part(path, kind), path)
    assert time.perf_counter() - start < 60


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
        ("[]", "expected a JSON object"),
        ("null", "expected a JSON object"),
        ("{", "can't read its configuration"),
        ('{"bits": NaN}', "NaN is not a number"),
        ('{"bits": 8, "bits": 9}', "the name 'bits' occurs twice"),
        ('{"bits": ' + "9" * 5000 + "}", "can't read its configuration"),
        ("{}", "missing settings bits"),
        ('{"bits": 8, "\\u001b[31m": 1}', "unknown settings"),
        ('{"bits": 8, "base_channels": 48}', "multiple of norm_groups"),
        ('{"bits": 8, "res_blocks": 3, "channel_multipliers": [1]}', "res_blocks is 3, but the file has"),
    ],
)
def test_a_configuration_that_cannot_be_read(config: str, words: str, tmp_path: Path) -> None:
    path = own_file(tmp_path / "x.safetensors", "tokenizer", config)
    for call in (identify, load_tokenizer):
        refused(call, path, words)


def test_scales_of_another_shape_do_not_spread(tmp_path: Path) -> None:
    state = {"conv_out.weight": torch.zeros(100_000, 1), "conv_out.weight_scale": torch.zeros(1, 100_000)}
    others = {str(number): torch.zeros(1) for number in range(9)}
    path = own_file(tmp_path / "x.safetensors", "content", WHOLE["content"], {**state, **others})
    refused(lambda path: load_part(path, "content"), path, r"conv_out\.weight \[100000, 1\]")


@pytest.mark.parametrize("dtype", [torch.int32, torch.bool, torch.complex64])
def test_weights_that_are_no_floating_point(dtype: torch.dtype, tmp_path: Path) -> None:
    encoder = ContentEncoder(ContentEncoderConfig(8, (1, 2), 1, 4, 4, reference_size=32))
    path = save_part(tmp_path / "x.safetensors", "content", encoder, encoder.config)
    state = load_file(path)
    state["conv_in.bias"] = state["conv_in.bias"].to(dtype)
    save_file(state, path, write_metadata("content", encoder.config))
    refused(lambda path: load_part(path, "content"), path, r"another shape or type: conv_in\.bias")


# --- shapes of published files

SHAPES: tuple[list[int], ...] = ([], [0], [1], [0, 0], [3, 0], [1 << 20, 0], [2, 0, 3, 3], [1] * 6)


@pytest.mark.parametrize("source", [TRANSFORMER, TOKENIZER])
def test_shapes_that_no_model_has(source: Path, tmp_path: Path) -> None:
    state = load_file(source)
    path, kind = tmp_path / "x.pth", identify(source).kind
    assert kind is not None
    needed = [name for name in state if not name.endswith(("zero_k_bias", ".zero"))]
    for index, name in enumerate(needed[::20]):
        strange = {**state, name: torch.zeros(SHAPES[index % len(SHAPES)])}
        torch.save(strange, path)
        refused(lambda path: load_part(path, kind), path)
    names = {f"{name}.9": t for name, t in state.items()}
    for other in (names, {**state, "blocks.99999999999.x": torch.zeros(1)}, {"vae": {"encoder": {}}}):
        torch.save(other, path)
        refused(lambda path: load_part(path, kind), path)


@pytest.mark.parametrize("shape", [[], [5], [1, 5], [1, 1, 8], [0, 5, 8], [1, 6, 8], [2, 5, 8], [1, 5, 8, 1]])
def test_position_tables_of_no_grid(shape: list[int]) -> None:
    with pytest.raises(ValueError, match="square grid of positions"):
        resample_position_embedding(torch.zeros(shape), 4)


def test_position_tables_are_not_made_larger_than_sensible() -> None:
    with pytest.raises(ValueError, match="at most 256 patches"):
        SemanticEncoderConfig(image_size=4096, patch=1)


# --- folders


def text_folder(folder: Path, index: Any) -> Path:
    save_file({"a": torch.zeros(1)}, folder / "model-1.safetensors")
    text = index if isinstance(index, bytes) else json.dumps(index).encode()
    (folder / "model.safetensors.index.json").write_bytes(text)
    return folder


@pytest.mark.parametrize(
    "index",
    [
        {"weight_map": {"a": None}}, {"weight_map": {"a": 1}}, {"weight_map": {"a": ["x"]}},
        {"weight_map": {}}, {"weight_map": []}, {"weight_map": None}, {}, [], None, 3, "x",
        {"weight_map": {"a": "../../../etc/passwd"}}, {"weight_map": {"a": "/etc/passwd"}},
        {"weight_map": {"a": "C:\\x.safetensors"}}, {"weight_map": {"a": ".."}},
        {"weight_map": {"a": "9" * 5000}}, {"weight_map": {"a": ""}},
        {"weight_map": {"a": "model.safetensors.index.json"}}, {"weight_map": {"a": "\ud800"}},
        {"weight_map": {"a": "\x00"}}, {"weight_map": {"a": "sub/model.safetensors"}},
        {"weight_map": {str(number): f"{number}.safetensors" for number in range(5000)}},
        b'{"weight_map":' * 100_000, b"\xff\xfe{}", b"\xef\xbb\xbf{}", b'{"weight_map": {"a": NaN}}', b"",
        b'{"weight_map": {"a": "model-1.safetensors", "a": "x"}}',
        b'{"weight_map": {"a": ' + b"1" * 9999 + b"}}",
    ],
)  # fmt: skip
def test_lists_of_weight_files_that_lie(index: Any, tmp_path: Path) -> None:
    folder = text_folder(tmp_path, index)
    for call in (identify, read_weights):
        refused(call, folder, "Can't read the list of weight files")


def test_one_tensor_in_two_files_is_refused_unless_it_is_the_same(tmp_path: Path) -> None:
    folder = text_folder(tmp_path, {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}})
    for other in (torch.ones(1), torch.zeros(2), torch.zeros(1, dtype=torch.float16)):
        save_file({"a": other, "b": torch.ones(3)}, folder / "model-2.safetensors")
        refused(read_weights, folder, r"several files have the same tensors with different numbers \(a\)")
    save_file({"a": torch.zeros(1), "b": torch.ones(3)}, folder / "model-2.safetensors")
    assert {*read_weights(folder).tensors} == {*read_weights(folder, shapes_only=True).tensors} == {"a", "b"}


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    refused(read_weights, Path(os.devnull))
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "x.pth")
        for call in (read_weights, load_subject, read_tokenizer):
            refused(call, tmp_path / "x.pth")


def test_what_a_hub_folder_leads_to_elsewhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    lies = [
        {"use_timm_backbone": True}, {"backbone_config": {"backbone": "resnet50"}},
        {"auto_map": {"A": "x.Y"}}, {"attn_implementation": "kernels-community/x"},
        {"num_hidden_layers": 10**9}, {"hidden_size": 2**40},
        {"vision_config": {"depths": [1, 10**6]}}, {"image_size": 10**6}, {"num_labels": 10**9},
        {"vision_config": {"layer_norm_eps": 1e308}}, {"mask_decoder_config": {"iou_head_depth": 10**7}},
        {"mask_decoder_config": {"mlp_dim": [[[10**20]]]}}, {"vision_config": {"hidden_size": float("inf")}},
    ]  # fmt: skip
    for lie in lies:
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "sam", **lie}))
        refused(load_segmenter, tmp_path, "Can't read the configuration|the files have|more than|elsewhere")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "sam"}))
    (tmp_path / "adapter_config.json").write_text("{}")
    refused(load_segmenter, tmp_path, "the files have")
    monkeypatch.setattr("echogen_core.checkpoints.hub_folder.hub.is_peft_available", lambda: True)
    refused(load_segmenter, tmp_path, "points to another model")


# --- prompt tokenizers


def tokenizer_json(**changes: Any) -> str:
    content: dict[str, Any] = json.loads(build_tokenizer(["a cat"], vocabulary=300).to_str())
    return json.dumps(content | changes)


@pytest.mark.parametrize(
    "content",
    [
        "", "{}", "[]", "null", '{"a":' * 100_000, tokenizer_json(model={"type": "BPE"}),
        tokenizer_json(normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
        tokenizer_json(normalizer={"type": "Precompiled", "precompiled_charsmap": "/////w=="}),
        tokenizer_json(normalizer={"type": "Replace", "pattern": {"Regex": "("}, "content": ""}),
        tokenizer_json(pre_tokenizer={"type": "Split", "pattern": {"Regex": "[z-a]"}, "behavior": "Isolated",
                                      "invert": False}),
        tokenizer_json(post_processor={"type": "TemplateProcessing", "single": [], "pair": [],
                                       "special_tokens": {}}),
        tokenizer_json(model={"type": "WordLevel", "vocab": {}, "unk_token": "x"}),
        tokenizer_json(model={"type": "WordLevel", "vocab": {"a": 2**31}, "unk_token": "a"}),
        tokenizer_json(added_tokens=[{"id": 2**32 - 1, "content": "x", "special": True}]),
    ],
)  # fmt: skip
def test_tokenizers_that_make_their_library_fail(content: str, tmp_path: Path) -> None:
    """Some of these end in a panic, which is no Exception in Python."""
    path = tmp_path / "tokenizer.json"
    path.write_text(content, encoding="utf-8")
    refused(read_tokenizer, path, "Can't read the tokenizer")
