"""Conversion: what comes out loads to the same numbers, in little memory, whole or not at all."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_parts import PROMPTS, golden_file, tiny_part, write_vocabulary
from torch import Tensor

from echogen_core.__main__ import main
from echogen_core.checkpoints import identify, load, load_part, load_transformer, save_part
from echogen_core.checkpoints.conversion import Conversion, convert, file_digest
from echogen_core.checkpoints.format import KINDS
from echogen_core.checkpoints.formats.safetensors_writer import stream_safetensors
from echogen_core.checkpoints.keymap_transformer import published_name
from echogen_core.checkpoints.quantised import SCALE, Scaled, dequantise, quantise
from echogen_core.config import TransformerConfig
from echogen_core.model import EchoGenTransformer

TRANSFORMER, TOKENIZER = golden_file("transformer"), golden_file("tokenizer")
FP8 = torch.float8_e4m3fn


def converted(path: Path, out: Path, **options: Any) -> Path:
    return convert(path, out, Conversion(**options), lambda done, total: None)


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())


def assert_same(first: Any, second: Any) -> None:
    one, other = first.state_dict(), second.state_dict()
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert tensor.dtype == other[name].dtype and torch.equal(tensor.float(), other[name].float()), name


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file of each kind; the encoders' are ours, in float32."""
    torch.manual_seed(5)
    folder = tmp_path_factory.mktemp("parts")
    write_vocabulary(folder)
    modules = {kind: tiny_part(kind) for kind in ("text", "semantic", "content")}
    files = {
        kind: save_part(folder / f"{kind}.safetensors", kind, module, module.config, None)
        for kind, module in modules.items()
    }
    torch.save({"vae": load_file(TOKENIZER)}, folder / "tokenizer.pth")
    torch.save({"trainer": {"gpt_fsdp": load_file(TRANSFORMER)}, "epoch": 1}, folder / "transformer.pth")
    return files | {"tokenizer": folder / "tokenizer.pth", "transformer": folder / "transformer.pth"}


# --- types


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, None])
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_converted_part_loads_to_the_same_numbers(
    kind: str, dtype: torch.dtype | None, parts: dict[str, Path], tmp_path: Path
) -> None:
    out = converted(parts[kind], tmp_path / "out.safetensors", dtype=dtype)
    assert identify(out).kind == kind and identify(out).ours
    assert [file.name for file in tmp_path.iterdir()] == ["out.safetensors"]
    loaded, wanted = load(out, kind, dtype=dtype), load(parts[kind], kind, dtype=dtype)
    assert loaded.info.config == wanted.info.config
    if kind == "text" and dtype == torch.float16:  # held in float32, but stored in half precision
        loaded.module.half(), wanted.module.half()
    assert_same(loaded.module, wanted.module)
    facts = metadata(out)
    assert json.loads(facts["source_sha256"]) == {parts[kind].name: file_digest(parts[kind])}
    assert json.loads(facts["config"]) and facts["kind"] == kind


@pytest.mark.parametrize("kind", ["transformer", "text", "semantic"])
def test_fp8_matrices_carry_a_scale(kind: str, parts: dict[str, Path], tmp_path: Path) -> None:
    out = converted(parts[kind], tmp_path / "fp8.safetensors", dtype=FP8)
    stored = load_file(out)
    matrices = [name for name, tensor in stored.items() if tensor.dtype == FP8]
    assert matrices and metadata(out)["weights"] == "fp8" and identify(out).dtype == FP8
    for name in matrices:
        scale = stored[name + SCALE]
        assert name.endswith(".weight") and scale.shape == () and scale.dtype == torch.float32
        assert not any(word in name for word in ("norm", "embed", "shared", "adaln", "head", "relative"))
    assert all(t.dtype in (FP8, torch.float32) for t in stored.values())
    plain, full = load_part(out, kind), load_part(parts[kind], kind)
    coarse = plain.state_dict()
    for name, tensor in full.state_dict().items():
        assert (coarse[name] - tensor).abs().max() <= 0.0625 * tensor.abs().max(), name
    again = converted(out, tmp_path / "wide.safetensors", dtype=torch.float32)
    assert_same(load_part(again, kind), plain)
    if kind == "transformer":
        assert_same(load_part(out, kind, dtype=FP8), load_part(parts[kind], kind, dtype=FP8))
        assert load_part(out, kind, dtype=None).blocks[0].ffn.up.weight.dtype == FP8
    else:
        kept = load_part(out, kind, dtype=None)
        assert {p.dtype for p in kept.parameters()} == {torch.bfloat16}


def test_quantised_matrices_are_near() -> None:
    weight = torch.randn(64, 48, generator=torch.Generator().manual_seed(1)) * 0.02
    scaled = quantise(weight)
    assert scaled.weight.float().abs().max() == torch.finfo(FP8).max
    error = (dequantise(scaled, torch.float32) - weight).abs()
    # three bits behind the point: a sixteenth of a number, or half of the smallest step
    assert (error <= weight.abs() / 16 + scaled.scale * 2**-10).all()
    zeros = quantise(torch.zeros(3, 3))
    assert zeros.scale == 1 and torch.equal(
        dequantise(Scaled(*zeros), torch.bfloat16), torch.zeros(3, 3).bfloat16()
    )


def test_parts_without_matrices_are_not_quantised(parts: dict[str, Path], tmp_path: Path) -> None:
    for kind in ("tokenizer", "content"):
        with pytest.raises(ValueError, match="can't be stored in fp8"):
            converted(parts[kind], tmp_path / "out.safetensors", dtype=FP8)
    assert not list(tmp_path.iterdir())


def test_bfloat16_keeps_what_the_model_holds_in_float32(parts: dict[str, Path], tmp_path: Path) -> None:
    stored = load_file(converted(parts["transformer"], tmp_path / "a.safetensors", dtype=torch.bfloat16))
    assert stored["blocks.0.ffn.up.weight"].dtype == torch.bfloat16
    assert stored["head.linear.weight"].dtype == stored["text_adaln.1.weight"].dtype == torch.float32
    half = {name: t.bfloat16() for name, t in load_file(TRANSFORMER).items()}
    save_file(half, tmp_path / "published.safetensors")
    again = load_file(
        converted(tmp_path / "published.safetensors", tmp_path / "b.safetensors", dtype=torch.bfloat16)
    )
    assert {tensor.dtype for tensor in again.values()} == {torch.bfloat16}, "nothing is widened"


def test_text_encoder_travels_with_its_tokenizer(parts: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    out = converted(parts["text"], tmp_path / "alone/t5.safetensors")
    ours, theirs = load_part(out, "text"), load_part(parts["text"], "text")
    assert torch.equal(ours.encode(PROMPTS[0]).tokens_LC, theirs.encode(PROMPTS[0]).tokens_LC)
    again = converted(out, tmp_path / "alone/again.safetensors", dtype=torch.bfloat16)
    assert metadata(again)["tokenizer"] == metadata(out)["tokenizer"]
    bare = shutil.copy(parts["text"], tmp_path / "alone/bare.safetensors")
    with pytest.raises(FileNotFoundError, match="--tokenizer"):
        converted(Path(bare), tmp_path / "x.safetensors")
    words = parts["text"].with_name("tokenizer.json")
    assert "tokenizer" in metadata(converted(Path(bare), tmp_path / "x.safetensors", vocabulary=words))


# --- subject parameters alone


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """The frozen base as its own file, in the form of the published one."""
    path = tmp_path / "infinity.pth"
    torch.save({k: t for k, t in load_file(TRANSFORMER).items() if "control" not in k}, path)
    return path


def altered(base: Path, path: Path) -> Path:
    """A base of the same sizes with one number changed."""
    state = torch.load(base, weights_only=True)
    state["block_chunks.0.module.0.ffn.fc1.weight"][3, 5] += 0.5
    path.parent.mkdir(exist_ok=True)
    torch.save(state, path)
    return path


def test_adapter_finds_its_base_by_content(base: Path, parts: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    out = converted(
        parts["transformer"],
        folder / "subject.safetensors",
        adapter_only=True,
        base=base,
        dtype=torch.bfloat16,
    )
    assert identify(out).adapter and "subject parameters alone" in identify(out).title
    names = set(load_file(out))
    assert names == set(load_part(TRANSFORMER, "transformer").state_dict()) - set(
        load_transformer(base).module.state_dict()
    )
    with pytest.raises(FileNotFoundError, match=r"needs its base model: put infinity\.pth"):
        load_transformer(out)
    with pytest.raises(FileNotFoundError, match="of its size, but with other numbers"):
        load_transformer(out, base=[altered(base, tmp_path / "elsewhere" / "infinity.pth").parent])
    assert load_transformer(out, base=[folder, tmp_path]).info.config.subject, "found in another folder"
    (folder / "notes.bin").write_bytes(b"no weights")
    shutil.copy(TOKENIZER, folder / "another.safetensors")
    converted(base, folder / "renamed.safetensors", dtype=torch.bfloat16)
    expected = load_part(TRANSFORMER, "transformer", dtype=torch.bfloat16).state_dict()
    loaded = load_transformer(out, dtype=torch.bfloat16)
    assert loaded.info.config.subject
    for name, tensor in loaded.module.state_dict().items():
        assert torch.equal(tensor.bfloat16(), expected[name].bfloat16()), name
    whole = converted(out, tmp_path / "whole.safetensors", base=base)
    assert not identify(whole).adapter
    assert set(load_file(whole)) == set(expected)


def test_another_base_is_refused(base: Path, parts: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "subject.safetensors"
    other = altered(base, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"not the base .* 1 of \d+ tensors .*blocks\.0\.ffn\.up\.weight"):
        converted(parts["transformer"], out, adapter_only=True, base=other)
    with pytest.raises(ValueError, match=r"expected the base model of an EchoGen .* got a BSQ tokenizer"):
        converted(parts["transformer"], out, adapter_only=True, base=TOKENIZER)
    with pytest.raises(ValueError, match="got an EchoGen transformer"):
        converted(parts["transformer"], out, adapter_only=True, base=TRANSFORMER)
    assert not out.exists()
    converted(parts["transformer"], out, adapter_only=True, base=base)
    with pytest.raises(ValueError, match="is one with other numbers"):
        load_transformer(out, base=other)
    assert load_transformer(out, base=base).info.config.subject


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (
            "tokenizer",
            {"adapter_only": True, "base": TRANSFORMER},
            "--adapter-only expects an EchoGen transformer",
        ),
        ("transformer", {"adapter_only": True}, "--adapter-only needs --base"),
        *((kind, {"base": TRANSFORMER}, "--base has no effect on an? ") for kind in KINDS),
        *(
            (kind, {"vocabulary": TRANSFORMER}, "--tokenizer has no effect")
            for kind in KINDS
            if kind != "text"
        ),
    ],
)
def test_requests_that_make_no_sense(
    kind: str, options: dict[str, Any], message: str, parts: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        converted(parts[kind], tmp_path / "out.safetensors", **options)
    assert not list(tmp_path.iterdir())


# --- memory

MEASURED = """
import sys
from pathlib import Path
from echogen_core.checkpoints import adapter
from echogen_core.checkpoints.conversion import Conversion, convert
from tests.peak_memory import peak_bytes
import torch
adapter.CHUNK_BYTES = 8 << 20
path, out, small = map(Path, sys.argv[1:4])
convert(small, out, Conversion(torch.bfloat16), lambda done, total: None)
before = peak_bytes()
convert(path, out, Conversion(torch.bfloat16), lambda done, total: None)
print(peak_bytes() - before)
"""


def test_peak_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    config = TransformerConfig(
        depth=3, width=512, heads=8, bits=32, text_width=512, text_length=16, semantic_width=64,
        semantic_length=17, content_length=16,
    )  # fmt: skip
    state = EchoGenTransformer(config).state_dict()
    path = tmp_path / "model.pth"
    torch.save({"trainer": {"gpt_fsdp": {published_name(name): t for name, t in state.items()}}}, path)
    assert path.stat().st_size > 100e6
    ran = subprocess.run(
        [sys.executable, "-c", MEASURED, str(path), str(tmp_path / "out.safetensors"), str(TRANSFORMER)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert int(ran.stdout.split()[-1]) < 50e6


# --- failures leave nothing behind


def test_no_room_is_known_before_anything_is_written(
    parts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(
        OSError, match=r"No room for .*out\.safetensors: it takes 4\.7 MB, and 1\.0 kB are free"
    ):
        converted(parts["tokenizer"], tmp_path / "out.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_on_the_way(tmp_path: Path) -> None:
    layout = {"a": torch.empty(4, device="meta"), "b": torch.empty(4, device="meta")}

    def tensors() -> Iterator[tuple[str, Tensor]]:
        yield "a", torch.ones(4)
        assert len(list(tmp_path.iterdir())) == 2, "the earlier file and the partial one"
        raise OSError(errno.ENOSPC, "No space left on device")

    out = tmp_path / "out.safetensors"
    out.write_bytes(b"the earlier file")
    with pytest.raises(OSError, match="Make room, or choose another folder"):
        stream_safetensors(out, layout, tensors(), {})
    assert [file.name for file in tmp_path.iterdir()] == [out.name]
    assert out.read_bytes() == b"the earlier file"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (torch.full((3,), float("nan")), "has NaN or infinite values in bfloat16"),
        (torch.zeros(3, dtype=torch.int8), r"Expected floating-point weights, got .* as int8"),
    ],
)
def test_damaged_numbers_are_not_converted(fault: Tensor, message: str, tmp_path: Path) -> None:
    state = load_file(TOKENIZER)
    name = "decoder.conv_out.conv.bias"
    assert state[name].shape == fault.shape
    save_file(state | {name: fault}, tmp_path / "in.safetensors")
    with pytest.raises(ValueError, match=message):
        converted(tmp_path / "in.safetensors", tmp_path / "out.safetensors", dtype=torch.bfloat16)
    assert [file.name for file in tmp_path.iterdir()] == ["in.safetensors"]


def test_half_precision_that_is_too_small(tmp_path: Path) -> None:
    state = load_file(TOKENIZER)
    save_file(state | {"decoder.conv_out.conv.bias": torch.full((3,), 1e6)}, tmp_path / "in.safetensors")
    with pytest.raises(ValueError, match=r"infinite values in float16\. Choose bf16"):
        converted(tmp_path / "in.safetensors", tmp_path / "out.safetensors", dtype=torch.float16)
    assert converted(
        tmp_path / "in.safetensors", tmp_path / "out.safetensors", dtype=torch.bfloat16
    ).is_file()


def test_the_input_is_never_overwritten(tmp_path: Path) -> None:
    path = Path(shutil.copy(TOKENIZER, tmp_path / "in.safetensors"))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="is one of the inputs"):
        converted(path, path, dtype=torch.bfloat16)
    for out in (tmp_path, tmp_path / "out.pth"):
        with pytest.raises(ValueError, match=r"ending in \.safetensors"):
            converted(path, out)
    assert path.read_bytes() == before


# --- the format


def test_written_files_are_ordinary_safetensors(tmp_path: Path) -> None:
    tensors = {
        "half": torch.arange(5).half(),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "fp8": torch.ones(3).to(FP8),
        "flag": torch.tensor([True, False]),
        "transposed": torch.arange(6.0).reshape(2, 3).T,
        "wide": torch.arange(3, dtype=torch.float64),
    }
    path = stream_safetensors(tmp_path / "a/b.safetensors", tensors, tensors.items(), {"note": "ä"})
    read = load_file(path)
    assert read.keys() == tensors.keys() and metadata(path) == {"note": "ä"}
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype and torch.equal(read[name].float(), tensor.float())


# --- the command line


def test_command_line(
    base: Path, parts: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new/subject.safetensors"
    arguments = ["convert", str(parts["transformer"]), "--out", str(out), "--dtype", "fp8"]
    assert main([*arguments, "--adapter-only", "--base", str(base)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert load_transformer(out, base=base, dtype=FP8).info.config.subject
    assert main([*arguments, "--adapter-only"]) == 2
    assert "--base" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "none.pth"), "--out", str(out)]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_two_configurations_of_one_encoder_file(parts: dict[str, Path], tmp_path: Path) -> None:
    """The picture size is the user's: one converted DINOv2 serves both presets."""
    out = converted(parts["semantic"], tmp_path / "dino.safetensors")
    stored = identify(out).config
    larger = load_part(out, "semantic", config=replace(stored, image_size=56))
    assert larger.dino.embeddings.position_embeddings.shape[1] == 17
    assert load_part(out, "semantic").dino.embeddings.position_embeddings.shape[1] == 5
