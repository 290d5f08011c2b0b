"""Weight files: round trips, and every way in which a file can be unusable."""

from __future__ import annotations

import copy
import itertools
import json
import os
import pickle
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from random_models import random_bundle
from safetensors.torch import load_file, save_file
from tiny_parts import GOLDEN, PROMPTS, TINY_FILES, golden_file, tiny_part, write_vocabulary
from torch import Tensor

from echogen_core.checkpoints import (
    Bundle,
    identify,
    load,
    load_bundle,
    load_part,
    load_tokenizer,
    load_transformer,
    save_bundle,
    save_part,
)
from echogen_core.checkpoints.format import KINDS, TITLES, write_metadata
from echogen_core.checkpoints.formats.zip_records import read_records
from echogen_core.config import PRESETS
from echogen_core.tokenizer import BitTokenizer


def tiny(kind: str) -> dict[str, Tensor]:
    return load_file(golden_file(kind))


@cache
def tiny_module(kind: str) -> Any:
    """The same small module each time, which nothing may change."""
    torch.manual_seed(7)
    return tiny_part(kind)


def assert_same(ours: Any, other: Any, dtype: torch.dtype = torch.float32) -> None:
    first, second = ours.state_dict(), other.state_dict()
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor.to(dtype).float(), second[name].float()), name


# --- round trips


@pytest.mark.parametrize("kind", list(KINDS))
def test_our_files_come_back(kind: str, tmp_path: Path) -> None:
    module = tiny_module(kind)
    write_vocabulary(tmp_path)
    exact = load(save_part(tmp_path / "exact.safetensors", kind, module, module.config, None), kind)
    assert exact.info.ours and exact.info.kind == kind and exact.info.stored_dtype == torch.float32
    assert exact.module.config == module.config
    assert not exact.module.training and not any(p.requires_grad for p in exact.module.parameters())
    assert_same(module, exact.module)
    half = save_part(tmp_path / "half.safetensors", kind, module, module.config)
    assert half.stat().st_size < 0.6 * (tmp_path / "exact.safetensors").stat().st_size
    assert_same(module, load_part(half, kind), torch.float16)
    assert load(half, kind, dtype=None).info.stored_dtype == torch.float16


def test_text_encoder_keeps_one_token_table(tmp_path: Path) -> None:
    module = tiny_module("text")
    write_vocabulary(tmp_path)
    path = save_part(tmp_path / "text.safetensors", "text", module, module.config)
    assert "encoder.embed_tokens.weight" not in load_file(path)
    loaded = load_part(path, "text")
    assert loaded.t5.encoder.embed_tokens.weight is loaded.t5.shared.weight
    half = load_part(path, "text", dtype=torch.float16)
    wo = half.t5.encoder.block[0].layer[1].DenseReluDense.wo.weight
    assert wo.dtype == torch.float32, "T5's feed-forward output overflows in half precision"


@pytest.mark.parametrize("form", ["zip", "legacy", "nested", "chunked", "safetensors"])
def test_published_transformer_in_every_wrapping(form: str, tmp_path: Path) -> None:
    state = tiny("transformer")
    expected = tiny_module("transformer")
    path = tmp_path / "model.pth"
    if form == "safetensors":
        path = tmp_path / "model.safetensors"
        save_file(state, path)
    elif form == "nested":
        torch.save({"trainer": {"gpt_fsdp": state, "optimizer": {"lr": 1e-4}}, "epoch": 3, "name": "x"}, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form != "legacy")
    loaded = load_transformer(path)
    assert loaded.info.config.subject and not loaded.info.ours
    assert_same(expected, loaded.module)


def test_torch_files_are_mapped(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(tiny("transformer"), path)
    begins = {tensor.data_ptr() for tensor in load_transformer(path, dtype=None).module.state_dict().values()}
    places = {record.start for name, record in read_records(path).items() if name.startswith("data/")}
    first = min(begins) - min(places)
    assert {begin - first for begin in begins} <= places, "the weights lie in memory as they do in the file"


def test_null_features_of_another_length_are_kept(tmp_path: Path) -> None:
    state = tiny("transformer")
    shorter = state | {"cfg_uncond": state["cfg_uncond"][:9].clone()}
    torch.save(shorter, tmp_path / "short.pth")
    loaded = load_transformer(tmp_path / "short.pth")
    assert loaded.info.config.text_length == 9
    assert torch.equal(loaded.module.null_text, shorter["cfg_uncond"])
    cut = load_transformer(GOLDEN / "echogen_tiny_weights.safetensors", config=loaded.info.config)
    assert torch.equal(cut.module.null_text, shorter["cfg_uncond"])


def test_published_text_folder_in_shards(tmp_path: Path) -> None:
    module = tiny_module("text")
    write_vocabulary(tmp_path)
    state = {name.removeprefix("t5."): t for name, t in module.state_dict().items()}
    state.pop("encoder.embed_tokens.weight")
    names = sorted(state)
    shards = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for shard, members in shards.items():
        save_file({name: state[name].clone() for name in members}, tmp_path / shard)
    weight_map = {name: shard for shard, members in shards.items() for name in members}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    loaded = load_part(tmp_path, "text", config=module.config)
    assert_same(module, loaded)
    assert torch.equal(loaded.encode(PROMPTS[0]).tokens_LC, module.encode(PROMPTS[0]).tokens_LC)
    (tmp_path / "model-2.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks model-2\.safetensors"):
        load_part(tmp_path, "text")
    index.write_text("[]")
    with pytest.raises(ValueError, match="Can't read the list"):
        load_part(tmp_path, "text")


@pytest.fixture(scope="module")
def nano() -> Bundle:
    """The miniature with random weights."""
    return random_bundle(PRESETS["nano"], PROMPTS, spread=0.02)


def test_bundle_comes_back_and_is_small(nano: Bundle, tmp_path: Path) -> None:
    files = save_bundle(nano, tmp_path)
    assert sorted(path.name for path in files) == sorted(
        [*(f"{kind}.safetensors" for kind in KINDS), "tokenizer.json"]
    )
    assert sum(path.stat().st_size for path in files) <= 40e6
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in files)
    assert len({path.stat().st_mode for path in files}) == 1 or os.name == "nt"
    again = load_bundle("nano", tmp_path)
    for kind, module in nano.parts().items():
        assert_same(module, again.parts()[kind], torch.float16)
    assert again.text.tokenizer(PROMPTS[0])["input_ids"] == nano.text.tokenizer(PROMPTS[0])["input_ids"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "content.safetensors").rename(elsewhere / "content.safetensors")
    assert load_bundle("nano", [elsewhere, tmp_path]).preset is PRESETS["nano"]


def test_bundle_of_parts_that_do_not_fit(nano: Bundle, tmp_path: Path) -> None:
    save_bundle(nano, tmp_path)
    wanted = nano.tokenizer.config
    other = BitTokenizer(replace(wanted, bits=wanted.bits // 2))
    save_part(tmp_path / "tokenizer.safetensors", "tokenizer", other, other.config)
    with pytest.raises(ValueError, match=r"the tokenizer part has \d+ bits per token"):
        load_bundle("nano", tmp_path)


def test_missing_bundle_files_are_named_with_size_and_source(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        load_bundle("echogen-2b", tmp_path)
    message = str(caught.value)
    for word in (
        "echogen_2b.pth", "19.4 GB", "UmiSonoda16/EchoGen",
        "infinity_vae_d32reg.pth", "FoundationVision/Infinity",
        "google/flan-t5-xl", "facebook/dinov2-base", "black-forest-labs/FLUX.1-dev", str(tmp_path),
        "5 files",
    ):  # fmt: skip
        assert word in message
    (tmp_path / "ae.safetensors").write_bytes(b"x")
    with pytest.raises(FileNotFoundError, match=r"wrong file: .*ae\.safetensors"):
        load_bundle("echogen-2b", tmp_path)
    with pytest.raises(FileNotFoundError, match="install the pack again: it comes with them"):
        load_bundle("nano", tmp_path)
    with pytest.raises(ValueError, match=r"out of nano, echogen-0\.1b, echogen-2b"):
        load_bundle("echogen-7b", tmp_path)


# --- unusable files


def test_missing_file_and_wrong_kind_of_path(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_tokenizer(tmp_path / "none.pth")
    with pytest.raises(FileNotFoundError, match="has no weights"):
        load_tokenizer(tmp_path)
    with pytest.raises(ValueError, match="Expected a kind out of"):
        load(GOLDEN / "echogen_tiny_weights.safetensors", "decoder")


@pytest.mark.parametrize("share", [0.0, 0.0005, 0.01, 0.5, 0.999])
@pytest.mark.parametrize("form", ["safetensors", "zip", "legacy"])
def test_truncated_files(form: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / "model"
    if form == "safetensors":
        save_file(tiny("tokenizer"), path)
    else:
        torch.save({"vae": tiny("tokenizer")}, path, _use_new_zipfile_serialization=form == "zip")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=r"(empty|truncated|Can't read|unknown format).*Download it again"):
        load_tokenizer(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x00" * 4096, "unknown format"),
        (os.urandom(64).replace(b"\x80", b"\x81").replace(b"{", b"[").replace(b"P", b"Q"), "unknown format"),
        (b"<!DOCTYPE html><html>log in</html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "Git LFS pointer"),
        (b"\x80\x02garbage", "PyTorch file"),
        (b"PK\x03\x04 not really a zip", "truncated"),
        (b"\xff" * 8 + b'{"a"', "damaged or truncated"),
        (pickle.dumps([1, 2, 3]), "PyTorch file"),
    ],
)  # fmt: skip
def test_files_that_are_no_weights(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    for kind in KINDS:
        with pytest.raises(ValueError, match=message) as caught:
            load_part(path, kind)
        assert str(path) in str(caught.value)


class Attack:
    """What a hostile pickle would do."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_refused_and_not_run(zipped: bool, tmp_path: Path) -> None:
    path, target = tmp_path / "evil.pth", tmp_path / "ran"
    torch.save({"vae": {"x": Attack(target)}}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match="wants to run code"):
        load_tokenizer(path)
    assert not target.exists()


def test_checkpoint_that_is_no_state_dict(tmp_path: Path) -> None:
    torch.save(torch.zeros(3), tmp_path / "tensor.pth")
    with pytest.raises(ValueError, match="holds a Tensor"):
        load_transformer(tmp_path / "tensor.pth")
    torch.save({"epoch": 3, "note": "nothing else"}, tmp_path / "dict.pth")
    for kind in KINDS:
        with pytest.raises(ValueError, match="got a file of an unknown kind"):
            load_part(tmp_path / "dict.pth", kind)


@pytest.mark.parametrize("given", list(KINDS))
def test_part_of_another_kind(given: str, tmp_path: Path) -> None:
    module = tiny_module(given)
    paths = [save_part(tmp_path / "part.safetensors", given, module, module.config)]
    if given in TINY_FILES:
        paths.append(GOLDEN / f"{TINY_FILES[given]}.safetensors")
    for path, wanted in itertools.product(paths, KINDS.keys() - {given}):
        with pytest.raises(ValueError) as caught:
            load_part(path, wanted)
        said = str(caught.value)
        assert TITLES[wanted] in said and identify(path).title in said, wanted


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("fault", ["missing", "unknown", "shape"])
def test_incomplete_files_of_ours(kind: str, fault: str, tmp_path: Path) -> None:
    module = tiny_module(kind)
    write_vocabulary(tmp_path)
    path = save_part(tmp_path / "part.safetensors", kind, module, module.config)
    state = load_file(path)
    name = next(n for n in reversed(state) if state[n].ndim > 1 and "position" not in n and "shared" not in n)
    if fault == "missing":
        del state[name]
    elif fault == "unknown":
        state["surplus.weight"] = torch.zeros(2)
    else:
        state[name] = state[name][1:].clone()
    save_file(state, path, metadata=write_metadata(kind, module.config))
    with pytest.raises(ValueError, match={"shape": "of another shape"}.get(fault, fault)):
        load_part(path, kind)


@pytest.mark.parametrize("kind", list(TINY_FILES))
@pytest.mark.parametrize("fault", ["missing", "unknown"])
def test_incomplete_published_files(kind: str, fault: str, tmp_path: Path) -> None:
    state = tiny(kind)
    if fault == "missing":
        del state[next(n for n in reversed(state) if n.endswith("proj.weight") or "norm2" in n)]
    else:
        state["surplus.weight"] = torch.zeros(2)
    save_file(state, tmp_path / "part.safetensors")
    with pytest.raises(ValueError, match=fault):
        load_part(tmp_path / "part.safetensors", kind)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": "2"}, "expected file version 1, got 2"),
        ({"kind": "poem"}, "got this pack's file of a poem"),
        ({"config": "{"}, "can't read its configuration"),
        ({"config": '{"bits": 16, "colour": 3}'}, "unknown settings colour"),
        ({"config": "[]"}, "can't read its configuration"),
    ],
)
def test_unreadable_metadata(change: dict[str, str], message: str, tmp_path: Path) -> None:
    module = tiny_module("tokenizer")
    metadata = write_metadata("tokenizer", module.config) | change
    save_file({"x": torch.zeros(1)}, tmp_path / "part.safetensors", metadata=metadata)
    with pytest.raises(ValueError, match=message):
        load_tokenizer(tmp_path / "part.safetensors")


def test_text_weights_without_a_tokenizer(tmp_path: Path) -> None:
    module = tiny_module("text")
    path = save_part(tmp_path / "text.safetensors", "text", module, module.config)
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json"):
        load_part(path, "text")
    write_vocabulary(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    moved = path.rename(tmp_path / "elsewhere/text.safetensors")
    assert_same(module, load_part(moved, "text", vocabulary=tmp_path / "tokenizer.json"), torch.float16)


def test_a_failed_save_leaves_the_earlier_file(tmp_path: Path) -> None:
    module = copy.deepcopy(tiny_module("content"))
    path = save_part(tmp_path / "content.safetensors", "content", module, module.config)
    before = path.read_bytes()
    with torch.no_grad():
        module.conv_out.bias[0] = 1e6  # beyond half precision
    with pytest.raises(ValueError, match=r"conv_out\.bias"):
        save_part(path, "content", module, module.config)
    with pytest.raises(ValueError, match="Expected a TokenizerConfig"):
        save_part(path, "tokenizer", module, module.config)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
