"""Drop-downs behind other nodes, on a real server: checked as if chosen, loaded once until a file changes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import comfy_server
from comfy_server import Graph, Recorder, Run
from runner.server import Server

ASSETS = comfy_server.ROOT / "echogen_core" / "assets" / "nano"
NANO = "nano (built in)"


def behind_a_wire(kind: str, field: str, value: str, **inputs: str) -> Graph:
    """A loader whose drop-down is given by a node before it, and a node that takes what it loads."""
    return {
        "choice": {"class_type": "TestPassOn", "inputs": {"text": value}},
        "loader": {"class_type": kind, "inputs": {**inputs, field: ["choice", 0]}},
        "end": {"class_type": "PreviewAny", "inputs": {"source": ["loader", 0]}},
    }


def sound(run: Run) -> Run:
    assert run.error is None, run.error
    return run


@pytest.fixture
def model_file(comfy: Server) -> Path:
    """nano's transformer as a file of its own in ComfyUI's folder."""
    folder = comfy.log.parent / "models" / "diffusion_models"
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(ASSETS / "transformer.safetensors", folder / "wired.safetensors"))


@pytest.fixture
def subject_file(comfy: Server, recorder: Recorder, graph: Graph) -> Path:
    """A saved subject."""
    encoder = comfy_server.node_of(graph, "EchoGenEncodeSemantic")
    saved = {key: graph[key] for key in comfy_server.needed_by(graph, encoder)}
    prefix = {"filename_prefix": "EchoGen/wired", "semantic": [encoder, 0]}
    saved["save"] = {"class_type": "EchoGenSaveSubject", "inputs": prefix}
    sound(recorder.run(saved))
    return max((comfy.log.parent / "output" / "EchoGen").glob("wired*.safetensors"))


def is_loaded_once_and_anew_when_changed(recorder: Recorder, graph: Graph, file: Path | None) -> None:
    assert "loader" in sound(recorder.run(graph)).executed
    again = sound(recorder.run(graph))
    assert again.executed == [] and set(graph) <= set(again.cached)
    if file is not None:
        os.utime(file, ns=(1_700_000_000 * 10**9, 1_700_000_000 * 10**9))
        assert "loader" in sound(recorder.run(graph)).executed


def test_a_linked_preset(recorder: Recorder) -> None:
    choices = (("preset", "model", NANO, {"dtype": "fp32"}), ("dtype", "dtype", "fp32", {"preset": NANO}))
    for field, label, value, rest in choices:
        graph = behind_a_wire("EchoGenLoadBundle", field, value, **rest)
        is_loaded_once_and_anew_when_changed(recorder, graph, None)
        wrong = recorder.run(behind_a_wire("EchoGenLoadBundle", field, "nan", **rest)).message
        assert wrong.startswith(f"{label}: expected one of ") and "got 'nan'" in wrong


def test_a_linked_model_file(recorder: Recorder, model_file: Path) -> None:
    graph = behind_a_wire("EchoGenLoadModel", "file", model_file.name, dtype="fp32")
    is_loaded_once_and_anew_when_changed(recorder, graph, model_file)
    wrong = recorder.run(behind_a_wire("EchoGenLoadModel", "file", "nan", dtype="fp32")).message
    assert "Found no " in wrong and "'nan'" in wrong and model_file.name in wrong


def test_a_linked_subject_file(recorder: Recorder, subject_file: Path) -> None:
    graph = behind_a_wire("EchoGenLoadSubject", "file", f"EchoGen/{subject_file.name} [output]")
    is_loaded_once_and_anew_when_changed(recorder, graph, subject_file)
    wrong = recorder.run(behind_a_wire("EchoGenLoadSubject", "file", "nan")).message
    assert "'nan' does not exist" in wrong


def test_a_linked_subject_that_is_saved_again_under_another_name(
    recorder: Recorder, subject_file: Path
) -> None:
    """What the graph itself writes, and what others write, is no reason to load the subject anew."""
    graph = behind_a_wire("EchoGenLoadSubject", "file", f"EchoGen/{subject_file.name} [output]")
    inputs = {"filename_prefix": "EchoGen/other", "semantic": ["loader", 0]}
    graph["save"] = {"class_type": "EchoGenSaveSubject", "inputs": inputs}
    assert {"loader", "save"} <= set(sound(recorder.run(graph)).executed)
    for number in range(2):
        shutil.copyfile(subject_file, subject_file.with_name(f"foreign{number}.safetensors"))
        assert sound(recorder.run(graph)).executed == []


def test_a_linked_model_while_another_one_is_downloaded(recorder: Recorder, model_file: Path) -> None:
    graph = behind_a_wire("EchoGenLoadModel", "file", model_file.name, dtype="fp32")
    sound(recorder.run(graph))
    other = Path(shutil.copyfile(model_file, model_file.with_name("arriving.safetensors")))
    assert sound(recorder.run(graph)).executed == []
    other.unlink()


@pytest.mark.parametrize(
    ("kind", "field", "label"),
    [
        ("EchoGenLoadModel", "file", "file"),
        ("EchoGenLoadSubject", "file", "file"),
        ("EchoGenLoadBundle", "preset", "model"),
    ],
)
def test_nothing_over_the_wire(recorder: Recorder, kind: str, field: str, label: str) -> None:
    graph = behind_a_wire(kind, field, "", **({"dtype": "auto"} if kind == "EchoGenLoadModel" else {}))
    graph["choice"] = {"class_type": "TestAnything", "inputs": {"name": "none"}}
    said = recorder.run(graph).message
    assert said.startswith(f"{label}: expected one of ") and "got nothing" in said


def test_an_entry_of_no_drop_down_in_a_prompt(recorder: Recorder, graph: Graph) -> None:
    """What older servers run all the same: it must not pass for another entry."""
    for field, wrong in (("aspect_ratio", "nan"), ("size", "AUTO"), ("cache", "")):
        odd = comfy_server.changed(graph, "EchoGenSampler", **{field: wrong})
        try:
            said = recorder.run(odd).message
        except comfy_server.PromptFailed as refused:
            said = str(refused)
        named = field in said or field.replace("_", " ") in said
        assert named and f"'{wrong}'" in said
