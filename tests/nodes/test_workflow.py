"""The shipped workflow: its two forms agree, its layout is tidy, and it runs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import comfy_pack
import workflow

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows"


@pytest.fixture(scope="module")
def quickstart() -> dict[str, Any]:
    return dict(json.loads((WORKFLOWS / "quickstart.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def twin() -> dict[str, Any]:
    return dict(json.loads((WORKFLOWS / "api" / "quickstart.json").read_text(encoding="utf-8")))


def test_the_api_twin_is_the_same_graph(quickstart: dict[str, Any], twin: dict[str, Any]) -> None:
    assert workflow.to_api(quickstart, comfy_pack.object_info()) == twin, "run tests/tools/make_quickstart.py"


def test_the_files_are_those_of_the_generator(quickstart: dict[str, Any]) -> None:
    import make_quickstart

    assert make_quickstart.workflow_json(comfy_pack.object_info()) == quickstart


def test_comfyui_accepts_the_twin(pack: dict[str, Any], twin: dict[str, Any]) -> None:
    import execution

    valid, error, outputs, node_errors = asyncio.run(execution.validate_prompt("test", twin, None))
    assert valid, (error, node_errors)
    assert len(outputs) == 3


def test_nothing_overlaps_and_every_node_lies_in_a_group(quickstart: dict[str, Any]) -> None:
    assert workflow.overlaps(quickstart) == []
    assert workflow.stray_nodes(quickstart) == []


def test_it_opens_within_a_1920_by_1080_window(quickstart: dict[str, Any]) -> None:
    view = quickstart["extra"]["ds"]
    for group in quickstart["groups"]:
        x, y, width, height = group["bounding"]
        left, top = ((v + o) * view["scale"] for v, o in zip((x, y), view["offset"], strict=True))
        assert left >= 60 and top >= 130, "beside the side bar, below the menu"
        assert left + width * view["scale"] <= 1920 and top + height * view["scale"] <= 1080


def test_links_go_both_ways(quickstart: dict[str, Any]) -> None:
    nodes = {node["id"]: node for node in quickstart["nodes"]}
    for number, source, slot, target, target_slot, kind in quickstart["links"]:
        assert number in nodes[source]["outputs"][slot]["links"]
        assert nodes[source]["outputs"][slot]["type"] == kind
        assert nodes[target]["inputs"][target_slot]["link"] == number
    assert quickstart["last_link_id"] == len(quickstart["links"])


def test_values_that_do_not_fit_are_refused(quickstart: dict[str, Any]) -> None:
    broken = json.loads(json.dumps(quickstart))
    sampler = next(node for node in broken["nodes"] if node["type"] == "EchoGenSampler")
    sampler["widgets_values"].append(1)
    with pytest.raises(ValueError, match="too many"):
        workflow.to_api(broken, comfy_pack.object_info())
    sampler["widgets_values"] = sampler["widgets_values"][:3]
    with pytest.raises(ValueError, match="no value for"):
        workflow.to_api(broken, comfy_pack.object_info())
