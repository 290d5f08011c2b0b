"""The shipped workflows: their two forms agree, their layout is tidy, and they run."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import comfy_pack
import workflow
from echogen_core.encoders.known_words import known_words

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows"
ENDS = ("SaveImage", "PreviewImage", "EchoGenSubjectSegmentation")  # the last shows what it cuts out
STORED = Path(__file__).resolve().parents[1] / "workflows_v0_1"


@pytest.fixture(scope="module", params=sorted(path.stem for path in WORKFLOWS.glob("*.json")))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def opened(name: str) -> dict[str, Any]:
    """The workflow as the browser opens it."""
    return dict(json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def twin(name: str) -> dict[str, Any]:
    """The same as the server runs it."""
    return dict(json.loads((WORKFLOWS / "api" / f"{name}.json").read_text(encoding="utf-8")))


def test_the_api_twin_is_the_same_graph(opened: dict[str, Any], twin: dict[str, Any]) -> None:
    assert workflow.to_api(opened, comfy_pack.object_info()) == twin, (
        "run the tool in tests/tools that makes it"
    )


def test_the_files_are_those_of_the_generator(name: str, opened: dict[str, Any]) -> None:
    import layout
    import make_editing
    import make_gamma
    import make_published
    import make_quickstart
    import make_segmentation

    layouts = (
        make_quickstart.LAYOUT,
        make_segmentation.LAYOUT,
        *make_gamma.LAYOUTS,
        *make_editing.LAYOUTS,
        *make_published.LAYOUTS,
    )
    (made,) = [each for each in layouts if each.name == name]
    again = layout.workflow_json(made, comfy_pack.object_info())
    assert without_loose_ends(again) == without_loose_ends(opened)


def without_loose_ends(workflow: dict[str, Any]) -> dict[str, Any]:
    """The same without the unused outputs of ComfyUI's own nodes: its versions differ in them."""
    kept: dict[str, Any] = json.loads(json.dumps(workflow))
    for node in kept["nodes"]:
        if not node["type"].startswith("EchoGen"):
            node["outputs"] = [output for output in node.get("outputs", []) if output.get("links")]
    return kept


def test_comfyui_accepts_the_twin_or_says_what_to_fetch(
    pack: dict[str, Any], name: str, twin: dict[str, Any]
) -> None:
    import execution

    valid, error, outputs, node_errors = asyncio.run(execution.validate_prompt("test", twin, None))
    if name == "With download - Infinity-2B":
        # Its files are never there in tests: each loader asks for its own, and nothing else is wrong.
        loaders = {node for node, item in twin.items() if item["class_type"].startswith("EchoGenLoad")}
        faults = {node: json.dumps(found["errors"]) for node, found in node_errors.items() if found["errors"]}
        assert not valid and set(faults) == loaders
        for fault in faults.values():
            assert "is not installed" in fault and "https://huggingface.co/" in fault and "into " in fault
        return
    assert valid, (error, node_errors)
    shown = [node for node, item in twin.items() if item["class_type"] in ("SaveImage", "PreviewImage")]
    assert set(shown) <= set(outputs)


def test_it_is_composed_by_the_rule(opened: dict[str, Any]) -> None:
    import composition

    assert composition.faults(opened) == []


def test_every_prompt_names_a_scene_that_nano_knows(twin: dict[str, Any]) -> None:
    words = known_words("nano")
    assert words
    typed = [item["inputs"].get("prompt", "") for item in twin.values()]
    typed += [line for item in twin.values() for line in str(item["inputs"].get("values", "")).splitlines()]
    prompts = [prompt for prompt in typed if prompt]
    assert prompts and all(words.names_scene(prompt) for prompt in prompts), prompts


def test_every_node_is_of_use(twin: dict[str, Any]) -> None:
    used = {
        source[0] for item in twin.values() for source in item["inputs"].values() if isinstance(source, list)
    }
    ends = {node for node, item in twin.items() if item["class_type"] in ENDS}
    assert used | ends == set(twin)


def test_links_go_both_ways(opened: dict[str, Any]) -> None:
    nodes = {node["id"]: node for node in opened["nodes"]}
    for number, source, slot, target, target_slot, kind in opened["links"]:
        assert number in nodes[source]["outputs"][slot]["links"]
        assert nodes[source]["outputs"][slot]["type"] == kind
        assert nodes[target]["inputs"][target_slot]["link"] == number
    assert opened["last_link_id"] == len(opened["links"])


@pytest.mark.parametrize("path", sorted(STORED.glob("*.json")), ids=lambda path: path.stem)
def test_a_workflow_of_the_first_release_still_fits(path: Path) -> None:
    """Ids, widgets and sockets are where they were; tests/e2e runs it."""
    stored, known = json.loads(path.read_text(encoding="utf-8")), comfy_pack.object_info()
    assert workflow.to_api(stored, known)
    for node in stored["nodes"]:
        if node["type"] == "MarkdownNote":
            continue
        info = known[node["type"]]
        names = {name for fields in info["input"].values() for name in fields}
        assert {socket["name"] for socket in node["inputs"]} <= names, node["type"]
        outputs = [output["type"] for output in node["outputs"]]  # a wire knows their number; labels change
        assert list(info["output"])[: len(outputs)] == outputs, node["type"]


def test_values_that_do_not_fit_are_refused(opened: dict[str, Any]) -> None:
    broken = json.loads(json.dumps(opened))
    kinds = ("EchoGenSampler", "EchoGenGammaSweep")
    sampler = next(node for node in broken["nodes"] if node["type"] in kinds)
    sampler["widgets_values"] += [1, 1, 1]
    with pytest.raises(ValueError, match="too many"):
        workflow.to_api(broken, comfy_pack.object_info())
    sampler["widgets_values"] = sampler["widgets_values"][:3]
    with pytest.raises(ValueError, match="no value for"):
        workflow.to_api(broken, comfy_pack.object_info())


def test_files_that_can_be_embedded_are(twin: dict[str, Any], opened: dict[str, Any]) -> None:
    """As core's templates do it, for parts that are one file: the front end lists those that are missing."""
    from echogen_core.checkpoints.catalog.published_models import PUBLISHED

    embedded = [model for node in opened["nodes"] for model in node["properties"].get("models", [])]
    presets = {item["inputs"].get("preset") for item in twin.values()}
    published = {part.name: part.folder for name in ("echogen-2b", "infinity-2b") for part in PUBLISHED[name]}
    for model in embedded:
        assert model["directory"] == published[model["name"]] and "/resolve/main/" in model["url"]
    assert len(embedded) == (3 if "EchoGen-2B" in presets else 2 if not presets - {None} else 0)
