"""ComfyUI's queue never dies of what lies in its folders, nor of what is written into a prompt.

It asks for schemas and fingerprints in the thread that runs prompts, outside any `try`: what they raise ends
that thread, and every later prompt waits for ever.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import graphs
import hostile_tree
import pytest

import comfy_pack

GOLDEN = comfy_pack.ROOT / "tests" / "golden"
NODE_IDS = sorted(comfy_pack.node_classes())
KINDS = (
    "diffusion_models", "vae", "text_encoders", "clip_vision", "echogen", "LLM", "prompt_generator",
    "grounding-dino", "sams",
)  # fmt: skip
GOOD = "UPPER.SAFETENSORS"
VALUES: list[Any] = [
    None, "", "\ud800", "\0", "a\0b.pth", "..", "../..", "../../etc/passwd", "/etc/passwd", "C:\\x.pth",
    "CON", "x" * 100_000, "a/" * 50_000, "a\nb\x1b[31m.pth", "dict_in_itself.pth", "deep_config.safetensors",
    "pipe.safetensors", "zeros.pth", "nowhere.pth", "itself.safetensors", "null_weight_map", "pipes",
    "bytes\udcff.safetensors", "pipe.safetensors [output]", "EchoGen/pipe.safetensors [output]", "x [temp]",
    "[output]", "[input]", "nano (built in)", "auto", "none", 0, -1, 1.5, float("nan"), 10**400, True,
    [], [1], {}, {"a": []}, [["1", 0]],
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def tree(tmp_path_factory: pytest.TempPathFactory, pack: dict[str, Any]) -> Iterator[Path]:
    """Every folder that the pack lists, full of what it cannot use, and one tokenizer that it can."""
    import folder_paths

    base = tmp_path_factory.mktemp("hostile")
    known, models = dict(folder_paths.folder_names_and_paths), folder_paths.models_dir
    before = (folder_paths.get_input_directory(), folder_paths.get_output_directory())
    folder_paths.models_dir = str(base / "models")
    for kind in KINDS:
        hostile_tree.plant(base / "models" / kind)
        folder_paths.folder_names_and_paths[kind] = ([str(base / "models" / kind)], set())
    shutil.copyfile(GOLDEN / "vae_tiny_d16_weights.safetensors", base / "models" / "vae" / GOOD)
    hostile_tree.plant(base / "input")
    hostile_tree.plant(base / "output" / "EchoGen")
    folder_paths.set_input_directory(str(base / "input"))
    folder_paths.set_output_directory(str(base / "output"))
    yield base
    folder_paths.set_input_directory(before[0])
    folder_paths.set_output_directory(before[1])
    folder_paths.models_dir = models
    folder_paths.folder_names_and_paths.clear()
    folder_paths.folder_names_and_paths.update(known)


@pytest.fixture(scope="module", autouse=True)
def other_nodes(pack: dict[str, Any]) -> None:
    graphs.register()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("node_id", NODE_IDS)
def test_every_schema_can_be_asked_for_and_sent(pack: dict[str, Any], node_id: str) -> None:
    node = pack[node_id]
    for _ in range(2):
        node.GET_SCHEMA()
        node.INPUT_TYPES()
        json.dumps(node.GET_NODE_INFO_V1(), ensure_ascii=False).encode()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("node_id", NODE_IDS)
def test_fingerprints_and_validations_of_any_value_are_answers(
    pack: dict[str, Any], node_id: str, tree: Path
) -> None:
    node = pack[node_id]
    for name in ("validate_inputs", "fingerprint_inputs"):
        if not any(
            name in vars(parent) for parent in node.__mro__ if parent.__module__.startswith(comfy_pack.PACK)
        ):
            continue
        ask = getattr(node, name)
        named = [name for name, p in inspect.signature(ask).parameters.items() if p.kind is not p.VAR_KEYWORD]
        named = named or [field.id for field in node.GET_SCHEMA().inputs]
        for value in VALUES:
            answer = ask(**dict.fromkeys(named, value))
            text = json.dumps(answer, ensure_ascii=False)
            text.encode()
            assert name != "validate_inputs" or answer is True or (isinstance(answer, str) and answer)
            assert name == "validate_inputs" or str(tree) not in text, "it is written into pictures"


def test_what_cannot_be_read_is_named_when_it_is_chosen(pack: dict[str, Any]) -> None:
    for name in ("dict_in_itself.pth", "deep_config.safetensors", "null_weight_map", "junk.pth"):
        said = pack["EchoGenLoadTokenizer"].validate_inputs(file=name)
        where, _, why = said.partition("\n")
        assert f"Found no BSQ tokenizer named '{name}'" in where and f"Installed: {GOOD}." in where
        assert name in why and len(why) > len(name) + 20
    options = pack["EchoGenLoadTokenizer"].GET_SCHEMA().inputs[0].options
    assert options == [GOOD], "and it is not offered"


def load(**inputs: Any) -> dict[str, Any]:
    return {
        "1": graphs.node("EchoGenLoadTokenizer", **inputs),
        "end": graphs.node("Keep", value=["1", 0]),
    }


@pytest.mark.timeout(300)
def test_the_next_prompt_runs_whatever_came_before(
    tree: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", True)
    comfy = graphs.Comfy()
    for value in VALUES:
        prompts = {
            "typed": load(file=value),
            "subject": {
                "1": graphs.node("EchoGenLoadSubject", file=value),
                "end": graphs.node("Keep", value=["1", 0]),
            },
            "linked": load(file=["give", 0]) | {"give": graphs.node("Give", name="file")},
            "bundle": {
                "1": graphs.node("EchoGenLoadBundle", preset=value, dtype=value),
                "end": graphs.node("Keep", value=["1", 0]),
            },
        }
        graphs.Give.values["file"] = value
        for name, prompt in prompts.items():
            if name == "bundle" and value == "nano (built in)":
                continue  # which is a value for one
            outcome = comfy.run(prompt)
            assert outcome.refused or outcome.error, f"{name}: {value!r:.80}"
            "".join([outcome.error, *outcome.refused.values()]).encode()
    caplog.text.encode()
    assert comfy.run(load(file=GOOD)).kept["end"], "the next prompt runs"


def test_a_file_that_goes_bad_between_two_prompts(tree: Path) -> None:
    comfy, file = graphs.Comfy(), tree / "models" / "vae" / "other.safetensors"
    shutil.copyfile(GOLDEN / "vae_tiny_d16_weights.safetensors", file)
    assert comfy.run(load(file=file.name)).kept["end"]
    file.write_bytes(b"<!doctype html>")
    assert "a web page" in json.dumps(comfy.run(load(file=file.name)).refused)
    file.unlink()
    assert "named 'other.safetensors'" in json.dumps(comfy.run(load(file=file.name)).refused)
    assert comfy.run(load(file=GOOD)).kept["end"]


def test_a_prompt_that_leaves_an_input_out_is_told_which(pack: dict[str, Any]) -> None:
    for kind, node in pack.items():
        wanted = [field.id for field in node.GET_SCHEMA().inputs if not field.optional]
        prompt = {"1": graphs.node(kind), "end": graphs.node("Keep", value=["1", 0])}
        refused = graphs.Comfy().run(prompt).refused
        assert all(f"Required input is missing: {name}" in refused["1"] for name in wanted), kind


def test_a_librarys_panic_ends_its_run_alone(pack: dict[str, Any]) -> None:
    """A panic of Rust code is no Exception, and ComfyUI's worker catches nothing else."""
    from comfy_api.latest import io
    from tokenizers import Tokenizer

    class Panics(io.ComfyNode):
        @classmethod
        def define_schema(cls) -> io.Schema:
            return io.Schema("EchoGenPanics", inputs=[], outputs=[io.Int.Output()])

        @classmethod
        def execute(cls) -> io.NodeOutput:
            normalizer = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
            model = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}
            content = {"version": "1.0", "normalizer": normalizer, "model": model}
            return io.NodeOutput(Tokenizer.from_str(json.dumps(content)))

    import nodes as comfy_nodes

    with pytest.raises(BaseException) as raw:
        Panics.execute()
    assert not isinstance(raw.value, Exception), "else this shows nothing"
    comfy_nodes.NODE_CLASS_MAPPINGS["EchoGenPanics"] = comfy_pack.pack_module(
        "nodes.input_checks"
    ).with_input_checks(Panics)
    comfy = graphs.Comfy()
    prompt = {"1": graphs.node("EchoGenPanics"), "end": graphs.node("Keep", value=["1", 0])}
    assert "A library crashed" in comfy.run(prompt).error
    assert comfy.run(load(file=GOOD)).kept["end"]
    del comfy_nodes.NODE_CLASS_MAPPINGS["EchoGenPanics"]


def test_nodes_are_there_whatever_the_folders_are(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import folder_paths

    (tree / "a_file").write_bytes(b"x")
    for place in (tree / "nowhere", tree / "a_file", Path("/dev/null"), Path("a\0b"), tree / ("x" * 300)):
        with monkeypatch.context() as patch:
            patch.setattr(folder_paths, "models_dir", os.fspath(place))
            patch.setattr(
                folder_paths, "folder_names_and_paths", {kind: ([os.fspath(place)], set()) for kind in KINDS}
            )
            patch.setattr(folder_paths, "get_input_directory", lambda place=place: os.fspath(place))
            patch.setattr(folder_paths, "get_output_directory", lambda place=place: os.fspath(place))
            extension = asyncio.run(comfy_pack.load_pack().comfy_entrypoint())
            found = {node.GET_SCHEMA().node_id for node in asyncio.run(extension.get_node_list())}
        assert found == set(NODE_IDS), place
