"""Every workflow through a real server: today's, and those of the first release as they were stored then."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import comfy_server
from comfy_server import PromptFailed, Recorder
from runner.server import Server

SHIPPED = sorted((comfy_server.ROOT / "workflows").glob("*.json"))
STORED = sorted((comfy_server.ROOT / "tests" / "workflows_v0_1").glob("*.json"))
CASES = [
    *SHIPPED,
    # a stored one that is still the shipped one need not run twice
    *(path for path in STORED if path.read_text("utf-8") not in {p.read_text("utf-8") for p in SHIPPED}),
]
MODELS_NOT_AT_HAND = ("echogen-2b", "text-to-image-infinity")


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_it_runs(path: Path, recorder: Recorder, to_api: Callable[..., dict[str, Any]]) -> None:
    graph = to_api(json.loads(path.read_text("utf-8")), recorder.client.get_json("/object_info"))
    try:
        run = recorder.run(graph)
    except PromptFailed as refused:
        assert path.stem in MODELS_NOT_AT_HAND and "is missing" in str(refused), refused
        return
    if path.stem in MODELS_NOT_AT_HAND:
        assert run.error is not None and "missing" in run.message, "expected the list of what to fetch"
        return
    assert run.error is None, run.error
    shows = [node for node, item in graph.items() if item["class_type"] in ("SaveImage", "PreviewImage")]
    assert set(shows) <= set(run.pictures)


def test_a_sweep_from_the_cache_shows_its_cells_again(recorder: Recorder) -> None:
    graph = comfy_server.shipped("gamma-sweep")
    sweep = comfy_server.node_of(graph, "EchoGenGammaSweep")
    seen = []
    for _ in range(2):
        run = recorder.run(graph)
        (entry,) = recorder.client.get_json(f"/history/{run.prompt_id}").values()
        seen.append(entry["outputs"][sweep]["echogen_sweep"])
    assert sweep in run.cached and seen[0] == seen[1] and len(seen[0][0]["cells"]) == 12


def test_all_are_offered_with_a_picture(comfy: Server) -> None:
    offered = comfy.client.get_json("/workflow_templates")["echogen"]
    assert sorted(offered) == [path.stem for path in SHIPPED]
    assert {path.stem for path in STORED} <= set(offered), "one of the first release is gone"
    for name in offered:
        thumbnail = comfy.client.get(f"/api/workflow_templates/echogen/{name}.jpg")
        assert thumbnail[:2] == b"\xff\xd8", f"{name} has no JPEG"


def test_the_blueprint_is_offered(comfy: Server) -> None:
    offered = comfy.client.get_json("/global_subgraphs")
    (ident,) = [key for key, entry in offered.items() if entry["name"] == "EchoGen subject in scene"]
    assert offered[ident]["info"]["node_pack"] == "custom_nodes.echogen"
    graph = json.loads(comfy.client.get_json(f"/global_subgraphs/{ident}")["data"])
    ((host,), (definition,)) = graph["nodes"], graph["definitions"]["subgraphs"]
    assert host["type"] == definition["id"]
    known = comfy.client.get_json("/object_info")
    assert all(node["type"] in known for node in definition["nodes"])
