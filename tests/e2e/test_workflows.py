"""Every workflow through a real server: today's, and those of the first release as they were stored then."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import comfy_server
from comfy_server import PromptFailed, Recorder
from echogen_core.subject.samples import GROUNDS
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
INTO_A_PHOTO, PHOTO = "Subject - into your own photo", "mountain_meadow.webp"
REACH = 8  # pixels over which Paste Back blends: twice Edit Picture's feather
# A workflow that edits, the title of the node that shows its result -> how many pictures of what size.
RESULTS = {
    ("Rank - the best of eight", "Best two"): (2, (256, 256)),
    ("Regions - two subjects in one scene", "Result"): (1, (256, 256)),
    (INTO_A_PHOTO, "Result"): (1, (768, 512)),
    ("Swap - another subject, same layout", "Result"): (1, (256, 256)),
}
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
    for (name, title), (count, size) in RESULTS.items():
        if name == path.stem:
            (node,) = [node for node in shows if graph[node]["_meta"]["title"] == title]
            assert [picture.size for picture in run.pictures[node]] == [size] * count
            if name == INTO_A_PHOTO:
                assert_only_the_painted_part_changed(run.pictures[node][0])


def test_results_are_those_of_workflows_that_are_shipped() -> None:
    assert {name for name, _ in RESULTS} <= {path.stem for path in SHIPPED}


def assert_only_the_painted_part_changed(result: Image.Image) -> None:
    """To the last bit, beyond the feathered edge of the box around what is painted."""
    photo = Image.open(GROUNDS / PHOTO)
    left, top, right, bottom = Image.eval(photo.getchannel("A"), lambda alpha: 255 - alpha).getbbox()
    changed_HW = (np.asarray(result.convert("RGB")) != np.asarray(photo.convert("RGB"))).any(-1)
    assert changed_HW[top:bottom, left:right].mean() > 0.2, "there is a subject"
    changed_HW[max(top - REACH, 0) : bottom + REACH, max(left - REACH, 0) : right + REACH] = False
    assert not changed_HW.any()


def test_a_sweep_from_the_cache_shows_its_cells_again(recorder: Recorder) -> None:
    shipped = comfy_server.shipped("Sweep - every pair of gammas")
    graph = comfy_server.changed(shipped, "EchoGenGammaSweep", gamma_t="1, 2", gamma_i="3")
    sweep = comfy_server.node_of(graph, "EchoGenGammaSweep")
    seen = []
    for _ in range(2):
        run = recorder.run(graph)
        (entry,) = recorder.client.get_json(f"/history/{run.prompt_id}").values()
        seen.append(entry["outputs"][sweep]["echogen_sweep"])
    assert sweep in run.cached and seen[0] == seen[1] and len(seen[0][0]["cells"]) == 2


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
