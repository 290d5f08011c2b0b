"""Every workflow through a real server: today's, and those of the first release as they were stored then."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import comfy_server
from comfy_server import PromptFailed, Recorder
from runner.server import Server

# File of a stored workflow -> the file that it is now.
RENAMED = {
    "batch-of-scenes": "Scenes - one subject, many prompts",
    "echogen-2b": "With download - EchoGen-2B",
    "gamma-sweep": "Sweep - every pair of gammas",
    "quickstart": "Quickstart",
    "rewire-ablation": "Unplug - what each path brings",
    "schedule": "Schedule - guidance by scale",
    "subject-segmentation": "Segmentation - step by step",
    "text-to-image-infinity": "With download - Infinity-2B",
}
SHIPPED = sorted((comfy_server.ROOT / "workflows").glob("*.json"), key=lambda path: path.name.lower())
STORED = sorted((comfy_server.ROOT / "tests" / "workflows_v0_1").glob("*.json"))
CASES = [
    *SHIPPED,
    # a stored one that is still the shipped one need not run twice
    *(path for path in STORED if path.read_text("utf-8") not in {p.read_text("utf-8") for p in SHIPPED}),
]
OLD_WITH_DOWNLOAD = ("echogen-2b", "text-to-image-infinity")
WITH_DOWNLOAD = tuple(RENAMED[name] for name in OLD_WITH_DOWNLOAD)


def needs_files(path: Path) -> bool:
    """Whether it is a workflow of models that are not there in tests."""
    return path.stem in (*OLD_WITH_DOWNLOAD, *WITH_DOWNLOAD)


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_it_runs(path: Path, recorder: Recorder, to_api: Callable[..., dict[str, Any]]) -> None:
    graph = to_api(json.loads(path.read_text("utf-8")), recorder.client.get_json("/object_info"))
    try:
        run = recorder.run(graph)
    except PromptFailed as refused:
        assert needs_files(path) and "not installed" in str(refused), refused
        return
    if needs_files(path):
        assert run.error is not None and "not installed" in run.message, "expected the list of what to fetch"
        return
    assert run.error is None, run.error
    shows = [node for node, item in graph.items() if item["class_type"] in ("SaveImage", "PreviewImage")]
    assert set(shows) <= set(run.pictures)


def test_a_sweep_from_the_cache_shows_its_cells_again(recorder: Recorder) -> None:
    graph = comfy_server.shipped("Sweep - every pair of gammas")
    sweep = comfy_server.node_of(graph, "EchoGenGammaSweep")
    seen = []
    for _ in range(2):
        run = recorder.run(graph)
        (entry,) = recorder.client.get_json(f"/history/{run.prompt_id}").values()
        seen.append(entry["outputs"][sweep]["echogen_sweep"])
    assert sweep in run.cached and seen[0] == seen[1] and len(seen[0][0]["cells"]) == 12


def test_all_are_offered_with_a_picture(comfy: Server) -> None:
    offered = comfy.client.get_json("/workflow_templates")["echogen"]
    assert offered == [path.stem for path in SHIPPED], "in the order of their names"
    assert {RENAMED[path.stem] for path in STORED} <= set(offered), "one of the first release is gone"
    assert SHIPPED[0].stem == "Quickstart"
    assert tuple(path.stem for path in SHIPPED)[-2:] == WITH_DOWNLOAD
    for name in offered:
        thumbnail = comfy.client.get(f"/api/workflow_templates/echogen/{urllib.parse.quote(name)}.jpg")
        assert thumbnail[:2] == b"\xff\xd8", f"{name} has no JPEG"


def test_the_blueprint_is_offered(comfy: Server) -> None:
    offered = comfy.client.get_json("/global_subgraphs")
    (ident,) = [
        key for key, entry in offered.items() if entry["name"] == "Image Prompt like IP-Adapter (EchoGen)"
    ]
    assert offered[ident]["info"]["node_pack"] == "custom_nodes.echogen"
    graph = json.loads(comfy.client.get_json(f"/global_subgraphs/{ident}")["data"])
    ((host,), (definition,)) = graph["nodes"], graph["definitions"]["subgraphs"]
    assert host["type"] == definition["id"]
    known = comfy.client.get_json("/object_info")
    assert all(node["type"] in known for node in definition["nodes"])
