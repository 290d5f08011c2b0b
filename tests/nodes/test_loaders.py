"""The loaders of single parts, files found by content, and several models in one graph."""

from __future__ import annotations

import asyncio
import gc
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from test_execution import SAMPLER, run, same_bits

import comfy_pack

NANO = "nano (built in)"
PROMPT = "a toy car on a beach"
GOLDEN = comfy_pack.ROOT / "tests" / "golden"


@pytest.fixture(scope="module")
def whole(pack: dict[str, Any], models: Any) -> tuple[Any, ...]:
    """Load EchoGen's, with all of nano's blocks, by which the files of `parts` are known."""
    return tuple(pack["EchoGenLoadBundle"].execute(NANO).result)


@pytest.fixture
def comfy_models(tmp_path: Path, pack: dict[str, Any]) -> Iterator[Path]:
    """Empty folders of every kind in place of ComfyUI's."""
    import folder_paths

    kinds = ("diffusion_models", "vae", "text_encoders", "clip_vision", "echogen")
    before = {kind: folder_paths.folder_names_and_paths[kind] for kind in kinds}
    for kind in kinds:
        (tmp_path / "models" / kind).mkdir(parents=True)
        folder_paths.folder_names_and_paths[kind] = ([str(tmp_path / "models" / kind)], before[kind][1])
    yield tmp_path / "models"
    folder_paths.folder_names_and_paths.update(before)


@pytest.fixture
def parts(comfy_models: Path, models: Any, models_folder: Path) -> dict[str, str]:
    """A small model's files in ComfyUI's folders, under names that say nothing: kind -> drop-down entry."""
    own = models_folder / "nano"
    places = {
        "transformer": "diffusion_models/a.safetensors",
        "tokenizer": "vae/sub/b.safetensors",
        "text": "text_encoders/c/d.safetensors",
        "semantic": "clip_vision/e.safetensors",
    }
    for kind, place in places.items():
        target = comfy_models / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(own / f"{kind}.safetensors", target)
    shutil.copyfile(own / "tokenizer.json", comfy_models / "text_encoders" / "c" / "tokenizer.json")
    return {kind: place.partition("/")[2] for kind, place in places.items()}


def options(pack: dict[str, Any], node: str) -> list[str]:
    return list(pack[node].GET_SCHEMA().inputs[0].options)


def picture() -> torch.Tensor:
    image_1HW3 = torch.ones(1, 48, 48, 3)
    image_1HW3[:, 10:40, 12:36] = torch.tensor([0.7, 0.2, 0.1])
    return image_1HW3


def separately(pack: dict[str, Any], parts: dict[str, str]) -> tuple[Any, ...]:
    (model,) = run(pack, "EchoGenLoadModel", file=parts["transformer"], dtype="auto")
    (tokenizer,) = run(pack, "EchoGenLoadTokenizer", file=parts["tokenizer"])
    (text,) = run(pack, "EchoGenLoadTextEncoder", file=parts["text"], dtype="auto")
    (semantic,) = run(pack, "EchoGenLoadSemanticEncoder", file=parts["semantic"], model="auto")
    return model, tokenizer, text, semantic


def generate(pack: dict[str, Any], model: Any, tokenizer: Any, text: Any, semantic: Any) -> Any:
    """Bits and picture of one run; content is left open, as no small VAE of ComfyUI's exists."""
    (words,) = run(pack, "EchoGenEncodeText", text_encoder=text, prompt=PROMPT)
    (seen,) = run(pack, "EchoGenEncodeSemantic", semantic_encoder=semantic, image=picture(), strength=1.0)
    bits, _ = run(
        pack, "EchoGenSampler", model=model, tokenizer=tokenizer, text=words, semantic=seen, **SAMPLER
    )
    (image,) = run(pack, "EchoGenDecodeBits", bits=bits, tokenizer=tokenizer)
    return bits, image


def test_separate_loaders_give_the_bundles_picture(
    pack: dict[str, Any], whole: tuple[Any, ...], parts: dict[str, str]
) -> None:
    bits, image = generate(pack, *whole[:4])
    apart_bits, apart_image = generate(pack, *separately(pack, parts))
    assert same_bits(bits, apart_bits) and torch.equal(image, apart_image)


def test_drop_downs_list_what_the_files_are_not_what_they_are_called(
    pack: dict[str, Any], parts: dict[str, str], comfy_models: Path
) -> None:
    shutil.copyfile(comfy_models / "vae/sub/b.safetensors", comfy_models / "diffusion_models" / "model.pth")
    (comfy_models / "diffusion_models" / "broken.safetensors").write_bytes(b"nothing")
    shutil.copyfile(comfy_models / "clip_vision/e.safetensors", comfy_models / "echogen" / "eyes.safetensors")
    assert options(pack, "EchoGenLoadModel") == ["a.safetensors"]
    assert options(pack, "EchoGenLoadTokenizer") == ["sub/b.safetensors"]
    assert options(pack, "EchoGenLoadTextEncoder") == ["c/d.safetensors"]
    assert options(pack, "EchoGenLoadSemanticEncoder") == ["e.safetensors", "eyes.safetensors"]


def test_folders_of_the_hub_are_listed(
    pack: dict[str, Any], comfy_models: Path, parts: dict[str, str]
) -> None:
    folder = comfy_models / "clip_vision" / "dinov2-base"
    folder.mkdir()
    (comfy_models / "clip_vision" / "e.safetensors").rename(folder / "model.safetensors")
    assert options(pack, "EchoGenLoadSemanticEncoder") == ["dinov2-base"]
    (encoder,) = run(pack, "EchoGenLoadSemanticEncoder", file="dinov2-base", model="auto")
    assert encoder.module.config.width == 192


def test_a_missing_file_is_told_before_the_run_with_size_source_and_folder(
    pack: dict[str, Any], comfy_models: Path
) -> None:
    import execution

    assert options(pack, "EchoGenLoadModel") == ["echogen_2b.pth", "infinity_2b_reg.pth"], (
        "what could be there"
    )
    graph = {
        "1": {"class_type": "EchoGenLoadModel", "inputs": {"file": "infinity_2b_reg.pth", "dtype": "auto"}},
        "2": {"class_type": "EchoGenLoadTokenizer", "inputs": {"file": "infinity_vae_d32reg.pth"}},
        "3": {
            "class_type": "EchoGenSampler",
            "inputs": {**SAMPLER, "model": ["1", 0], "tokenizer": ["2", 0]},
        },
        "4": {"class_type": "EchoGenDecodeBits", "inputs": {"bits": ["3", 0], "tokenizer": ["2", 0]}},
        "5": {"class_type": "PreviewImage", "inputs": {"images": ["4", 0]}},
    }
    valid, _, _, errors = asyncio.run(execution.validate_prompt("test", graph, None))
    assert not valid
    said = json.dumps(errors["1"]["errors"], ensure_ascii=False)
    for word in (
        "infinity_2b_reg.pth is not installed: about 4.4 to 8.8 GB.",
        "FoundationVision/Infinity",
        str(comfy_models / "diffusion_models"),
        "models download infinity-2b transformer",
    ):
        assert word in said, f"{word} not in {said}"
    assert "infinity_vae_d32reg.pth" in json.dumps(errors["2"]["errors"])


def test_an_unknown_name_lists_what_there_is(
    pack: dict[str, Any], parts: dict[str, str], comfy_models: Path
) -> None:
    said = pack["EchoGenLoadModel"].validate_inputs(file="mine.pth")
    assert "mine.pth" in said and "Installed: a.safetensors" in said
    assert "transformer" in said
    assert pack["EchoGenLoadModel"].validate_inputs(file="a.safetensors") is True


def test_a_changed_file_is_loaded_again_and_no_path_is_told(
    pack: dict[str, Any], parts: dict[str, str], comfy_models: Path
) -> None:
    loader = pack["EchoGenLoadModel"]
    before = loader.fingerprint_inputs(file="a.safetensors", dtype="auto")
    (comfy_models / "diffusion_models" / "a.safetensors").touch()
    assert loader.fingerprint_inputs(file="a.safetensors", dtype="auto") != before
    assert str(comfy_models) not in str(before)


def test_a_chosen_file_is_looked_into_alone_and_lists_look_into_each_file_once(
    pack: dict[str, Any], comfy_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Path] = []
    module = sys.modules["echogen_core.checkpoints.identify"]
    read = module.read_weights

    def noting(path: Path, *args: Any, **options: Any) -> Any:
        looked.append(Path(path))
        return read(path, *args, **options)

    monkeypatch.setattr(module, "read_weights", noting)
    for kind in ("vae", "echogen", "diffusion_models"):
        for index in range(5):
            (comfy_models / kind / f"{index}.pth").write_bytes(b"<html>")
            write_header_only(comfy_models / kind / f"{index}.sft", GOLDEN / "keys_vae_d32.json")
    mine = comfy_models / "vae" / "mine.safetensors"
    shutil.copyfile(GOLDEN / "vae_tiny_d16_weights.safetensors", mine)

    loader = pack["EchoGenLoadTokenizer"]
    loader.GET_SCHEMA()  # as at the start, before the files below came
    looked.clear()
    new = comfy_models / "vae" / "new.safetensors"
    shutil.copyfile(mine, new)
    (comfy_models / "vae" / "other.safetensors").write_bytes(b"<html>")
    assert loader.validate_inputs(file="new.safetensors") is True
    loader.fingerprint_inputs(file="new.safetensors")
    run(pack, "EchoGenLoadTokenizer", file="new.safetensors")
    assert set(looked) == {new} and len(looked) == 1
    for node in pack.values():
        node.GET_SCHEMA()
    assert len(looked) == len(set(looked)), "those that cannot be read as well"
    looked.clear()
    for node in pack.values():
        node.GET_SCHEMA()
    assert not looked


def write_header_only(path: Path, keys: Path) -> None:
    """A safetensors file of full size and the published names, without its bytes on the disk (sparse)."""
    table = {name: shape for name, (shape, _, kind) in json.loads(keys.read_text()).items()}
    header, offset = {}, 0
    for name, shape in table.items():
        end = offset + 2 * torch.Size(shape).numel()
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + offset)


def test_the_preset_finds_the_published_files_by_content(pack: dict[str, Any], comfy_models: Path) -> None:
    write_header_only(comfy_models / "echogen" / "my copy.safetensors", GOLDEN / "keys_echogen_2b.json")
    write_header_only(
        comfy_models / "diffusion_models" / "base.safetensors", GOLDEN / "keys_infinity_2b.json"
    )
    write_header_only(comfy_models / "vae" / "bits.safetensors", GOLDEN / "keys_vae_d32.json")
    # The right name on the wrong file does not count, and is pointed out.
    write_header_only(comfy_models / "vae" / "infinity_vae_d32reg.pth", GOLDEN / "keys_vae_d16.json")
    model_files = comfy_pack.pack_module("nodes.model_files")
    with pytest.raises(FileNotFoundError) as caught:
        run(pack, "EchoGenLoadBundle", preset="EchoGen-2B")
    said = str(caught.value)
    headline, command, alternative, wrong, *links = said.split("\n\n")
    assert headline == "EchoGen-2B is not complete: 3 of its 5 files are missing, about 12 GB."
    assert command.endswith("\npython -m echogen_core models download echogen-2b")
    assert NANO in alternative and links[0].startswith("flan-t5-xl (") and len(links) == 3
    assert wrong.startswith("Right name, wrong file: ")
    assert "echogen_2b.pth" not in said and "flan-t5-xl" in said and "0.34 GB" in said and "licence" in said

    (comfy_models / "vae" / "bits.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"infinity_vae_d32reg\.pth is a BSQ tokenizer of 16 bits"):
        model_files.bundle_parts("echogen-2b")
    assert options(pack, "EchoGenLoadModel") == ["base.safetensors", "my copy.safetensors"]


def test_parts_of_different_models_are_refused_where_they_meet(
    pack: dict[str, Any], models: Any, comfy_models: Path
) -> None:
    shutil.copyfile(GOLDEN / "vae_tiny_d16_weights.safetensors", comfy_models / "vae" / "d16.safetensors")
    (tokenizer,) = run(pack, "EchoGenLoadTokenizer", file="d16.safetensors")
    with pytest.raises(ValueError, match=r"The tokenizer has 16 bits.*the model 32 bits.*d32"):
        run(pack, "EchoGenSampler", model=models.model, tokenizer=tokenizer, **SAMPLER)
    bits, _ = run(pack, "EchoGenSampler", model=models.model, **SAMPLER)
    for node in ("EchoGenDecodeBits", "EchoGenDecodeScales"):
        with pytest.raises(ValueError, match=r"The tokenizer has 16 bits.*bits 32 bits"):
            run(pack, node, bits=bits, tokenizer=tokenizer)


def test_a_base_model_makes_pictures_of_text_alone(
    pack: dict[str, Any], models: Any, comfy_models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from dataclasses import replace

    from echogen_core.checkpoints import save_part
    from echogen_core.config import PRESETS
    from echogen_core.model import EchoGenTransformer

    config = replace(PRESETS["nano"].transformer, subject=False)
    torch.manual_seed(0)
    save_part(
        comfy_models / "diffusion_models" / "base.safetensors",
        "transformer",
        EchoGenTransformer(config),
        config,
    )
    (model,) = run(pack, "EchoGenLoadModel", file="base.safetensors", dtype="auto")
    assert "base Infinity model" in caplog.text
    assert model.preset.tau == 0.5, "Infinity's own defaults"
    (text,) = run(pack, "EchoGenEncodeText", text_encoder=models.text_encoder, prompt=PROMPT)
    bits, _ = run(pack, "EchoGenSampler", model=model, text=text, tokenizer=models.tokenizer, **SAMPLER)
    assert bits.complete and bits.settings["tau"] == 0.5
    (seen,) = run(
        pack,
        "EchoGenEncodeSemantic",
        semantic_encoder=models.semantic_encoder,
        image=picture(),
        strength=1.0,
    )
    with pytest.raises(ValueError, match="without a subject path"):
        run(pack, "EchoGenSampler", model=model, text=text, semantic=seen, **SAMPLER)


# --- several models


def held_bytes() -> int:
    """Bytes of all tensors that anybody holds."""
    gc.collect()
    storages = {
        thing.untyped_storage().data_ptr(): thing.untyped_storage().nbytes()
        for thing in gc.get_objects()
        if issubclass(type(thing), torch.Tensor) and not thing.is_meta
    }
    return sum(storages.values())


def test_two_models_in_one_graph_do_not_disturb_each_other(
    pack: dict[str, Any], models: Any, parts: dict[str, str], comfy_models: Path, tmp_path: Path
) -> None:
    other = comfy_pack.write_random_bundle(tmp_path / "other", seed=1)
    shutil.copyfile(
        other / "transformer.safetensors", comfy_models / "diffusion_models" / "second.safetensors"
    )
    (second,) = run(pack, "EchoGenLoadModel", file="second.safetensors", dtype="auto")
    rest = (models.tokenizer, models.text_encoder, models.semantic_encoder)
    first_bits, _ = generate(pack, models.model, *rest)
    second_bits, _ = generate(pack, second, *rest)
    assert not same_bits(first_bits, second_bits)
    for _ in range(2):
        assert same_bits(generate(pack, models.model, *rest)[0], first_bits)
        assert same_bits(generate(pack, second, *rest)[0], second_bits)


def test_memory_returns_when_models_are_swapped(
    pack: dict[str, Any], models: Any, parts: dict[str, str]
) -> None:
    import comfy.model_management as mm

    rest = (models.tokenizer, models.text_encoder, models.semantic_encoder)

    def swap() -> None:
        (model,) = run(pack, "EchoGenLoadModel", file=parts["transformer"], dtype="auto")
        generate(pack, model, *rest)

    def settled() -> int:
        gc.collect()
        mm.cleanup_models_gc()
        mm.cleanup_models()
        return held_bytes()

    swap()
    before = settled()
    for _ in range(3):
        swap()
    assert settled() <= before * 1.01


@pytest.mark.parametrize("phase", ["text", "semantic", "prefill", "sampling", "decoding"])
def test_a_run_cancelled_in_any_phase_leaves_memory_and_models_as_they_were(
    pack: dict[str, Any], models: Any, phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import comfy.model_management as mm

    everything = (models.model, models.tokenizer, models.text_encoder, models.semantic_encoder)
    expected, _ = generate(pack, *everything)
    module = {
        "text": models.text_encoder.module.t5.encoder.final_layer_norm,
        "semantic": models.semantic_encoder.module.dino.layernorm,
        "prefill": models.model.module.text_mlp,
        "sampling": models.model.module.head,
        "decoding": models.tokenizer.module.decoder,
    }[phase]
    models.model.prefill_cache.clear()
    before = held_bytes()

    def interrupt(*_: Any) -> None:
        raise mm.InterruptProcessingException

    hook = module.register_forward_pre_hook(interrupt)
    try:
        with pytest.raises(mm.InterruptProcessingException):
            generate(pack, *everything)
    finally:
        hook.remove()
    models.model.prefill_cache.clear()
    assert held_bytes() <= before * 1.01
    assert same_bits(generate(pack, *everything)[0], expected)
