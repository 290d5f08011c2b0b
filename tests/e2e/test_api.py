"""The quickstart through a real server: pictures, seeds, what is run again, previews, cancelling."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import comfy_server
from comfy_server import Graph, Recorder, Run, changed, node_of
from runner.server import Server

NANO_SIDE = 256
NANO_SCALES = 5
ENCODERS = ("EchoGenEncodeText", "EchoGenEncodeSemantic", "EchoGenEncodeContent")


def final_pictures(run: Run) -> list[np.ndarray]:
    """Pixels of the pictures as Decode Bits gave them."""
    assert run.error is None, run.error
    return [np.asarray(picture.convert("RGB")) for picture in run.pictures["picture"]]


def classes(graph: Graph, nodes: list[str]) -> set[str]:
    """Classes of the nodes with these ids."""
    return {graph[node]["class_type"] for node in nodes}


def test_the_quickstart_as_it_is_shipped(recorder: Recorder) -> None:
    graph = comfy_server.quickstart()
    run = recorder.run(graph)
    assert run.error is None, run.error
    saved = [np.asarray(picture.convert("RGB")) for picture in run.pictures[node_of(graph, "SaveImage")]]
    assert len(saved) == graph[node_of(graph, "EchoGenSampler")]["inputs"]["batch"]
    for picture in saved:
        assert picture.shape[0] == picture.shape[1] and picture.shape[0] % NANO_SIDE == 0
        assert picture.std() > 10, "the picture is nearly of one colour"
    (shown,) = run.pictures[node_of(graph, "PreviewImage")]
    assert shown.size == (NANO_SIDE, NANO_SIDE), "in its own size"


def test_one_picture_has_the_models_size(recorder: Recorder, graph: Graph) -> None:
    (picture,) = final_pictures(recorder.run(graph))
    assert picture.shape == (NANO_SIDE, NANO_SIDE, 3)


def test_both_forms_of_the_quickstart_are_the_same_graph() -> None:
    opened = json.loads((comfy_server.ROOT / "workflows" / "Quickstart.json").read_text(encoding="utf-8"))
    drawn = sorted(node["type"] for node in opened["nodes"] if node["type"] not in ("Note", "MarkdownNote"))
    assert drawn == sorted(node["class_type"] for node in comfy_server.quickstart().values())


def test_same_seed_same_picture_and_another_seed_another(recorder: Recorder, graph: Graph) -> None:
    def made(seed: int) -> np.ndarray:
        seeded = changed(graph, "EchoGenSampler", seed=seed)
        run = recorder.run(seeded)
        assert node_of(graph, "EchoGenSampler") in run.executed, "taken from the cache: proves nothing"
        (picture,) = final_pictures(run)
        return picture

    first, other, again = made(101), made(102), made(101)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_batch_holds_the_single_runs(recorder: Recorder, graph: Graph) -> None:
    def made(seed: int, batch: int) -> list[np.ndarray]:
        seeded = changed(graph, "EchoGenSampler", seed=seed, batch=batch)
        return final_pictures(recorder.run(seeded))

    several = made(201, 5)
    for place, picture in enumerate(several):
        (alone,) = made(201 + place, 1)
        assert np.array_equal(picture, alone), f"picture {place} has other pixels alone"


def test_a_change_of_gamma_encodes_nothing_again(recorder: Recorder, graph: Graph) -> None:
    before = final_pictures(recorder.run(changed(graph, "EchoGenSampler", gamma_i=1.5)))
    run = recorder.run(changed(graph, "EchoGenSampler", gamma_i=3.5))
    ran = classes(graph, run.executed)
    assert {"EchoGenSampler", "EchoGenDecodeBits"} <= ran
    assert not ran & {*ENCODERS, "EchoGenLoadBundle", "EchoGenSubjectSegmentation"}
    assert not np.array_equal(before[0], final_pictures(run)[0])


def test_one_preview_arrives_for_each_scale(recorder: Recorder, graph: Graph) -> None:
    run = recorder.run(changed(graph, "EchoGenSampler", seed=301))
    sampler = node_of(graph, "EchoGenSampler")
    steps = [(value, total) for node, value, total in run.progress if node == sampler]
    assert [step for step in steps if step[0]] == [(n, NANO_SCALES) for n in range(1, NANO_SCALES + 1)]
    previews = [preview for preview in run.previews if preview.node == sampler]
    assert len(previews) == NANO_SCALES
    assert all(preview.picture.size == (NANO_SIDE, NANO_SIDE) for preview in previews)
    last = np.asarray(previews[-1].picture.convert("RGB"), dtype=int)
    (final,) = final_pictures(run)
    assert np.abs(last - final).mean() < 12, "the last preview is the finished picture, less JPEG's loss"


def test_a_run_is_cancelled_within_a_scale(recorder: Recorder, graph: Graph) -> None:
    sampler = node_of(graph, "EchoGenSampler")
    asked: list[str] = []

    def scales_done(run: Run) -> int:
        return max((value for node, value, _ in run.progress if node == sampler), default=0)

    def cancel_after_the_first_scale(run: Run) -> None:
        if not asked and scales_done(run):
            recorder.client.post_json("/interrupt", {"prompt_id": run.prompt_id})
            asked.append(run.prompt_id)

    many = changed(graph, "EchoGenSampler", batch=64, seed=401)  # the last scale is by far the longest
    run = recorder.run(many, cancel_after_the_first_scale)
    assert run.interrupted, "the run went to its end"
    assert scales_done(run) < NANO_SCALES, "the last scale was finished before the run ended"
    (picture,) = final_pictures(recorder.run(graph))
    assert picture.std() > 10, "the next prompt runs"


def test_an_artists_own_picture_with_transparency(recorder: Recorder, graph: Graph, comfy: Server) -> None:
    sample = node_of(graph, "EchoGenSamplePicture")
    folder = comfy_server.results_path()
    subject = Image.new("RGBA", (90, 60), (0, 0, 0, 0))
    subject.paste((200, 30, 30, 255), (20, 10, 60, 50))
    subject.save(folder / "own.png")
    graph[sample] = {
        "class_type": "LoadImage",
        "inputs": {"image": comfy.client.upload_image(folder / "own.png")},
    }
    (picture,) = final_pictures(recorder.run(graph))
    assert picture.shape == (NANO_SIDE, NANO_SIDE, 3)


@pytest.mark.parametrize(
    "left_open", [("semantic",), ("content",), ("text",), ("semantic", "content", "text")]
)
def test_an_open_input_switches_its_path_off(
    left_open: tuple[str, ...], recorder: Recorder, graph: Graph
) -> None:
    sampler = node_of(graph, "EchoGenSampler")
    whole = final_pictures(recorder.run(changed(graph, "EchoGenSampler", seed=501)))
    for name in left_open:
        del graph[sampler]["inputs"][name]
    (picture,) = final_pictures(recorder.run(changed(graph, "EchoGenSampler", seed=501)))
    assert not np.array_equal(picture, whole[0])


def test_every_node_is_listed_and_every_input_explained(comfy: Server) -> None:
    listed = {
        name: node
        for name, node in comfy.client.get_json("/object_info").items()
        if name.startswith("EchoGen")
    }
    pages = {page.stem for page in (comfy_server.ROOT / "web" / "docs").glob("EchoGen*.md")}
    assert {*listed} == pages, "one help page per node"
    assert {"EchoGenSampler", "EchoGenLoadBundle", "EchoGenDecodeScales", *ENCODERS} <= {*listed}
    for name, node in listed.items():
        assert node["description"], name
        for group in ("required", "optional"):
            for entry, (_, options) in node["input"].get(group, {}).items():
                assert options.get("tooltip"), f"{name}.{entry} has no tooltip"


def test_the_quickstart_is_offered_among_the_templates(comfy: Server) -> None:
    templates = comfy.client.get_json("/workflow_templates")
    assert "Quickstart" in templates["echogen"]
    thumbnail = comfy.client.get("/api/workflow_templates/echogen/Quickstart.jpg")
    assert thumbnail[:2] == b"\xff\xd8", "expected a JPEG"
