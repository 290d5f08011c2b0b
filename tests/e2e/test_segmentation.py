"""The subject's workflow through a real server: every step shows what it found, and bad input ends well."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import comfy_server
from comfy_server import Graph, Recorder, Run, changed, node_of

STEPS = ("EchoGenDescribeSubject", "EchoGenDetectSubject", "EchoGenSegmentSubject", "EchoGenCutOutSubject")
WHOLE = "EchoGenSubjectSegmentation"


@pytest.fixture
def shipped() -> Graph:
    """The shipped workflow, new each time."""
    return comfy_server.shipped("Segmentation - step by step")


@pytest.fixture
def alone(shipped: Graph) -> Graph:
    """Subject Segmentation by itself, on a picture that the tests make."""
    node = shipped[node_of(shipped, WHOLE)]
    graph: Graph = {
        "picture": {
            "class_type": "TestPicture",
            "inputs": {"width": 96, "height": 64, "count": 1, "nan": False, "empty_mask": False},
        },
        "whole": {**node, "inputs": {**node["inputs"], "image": ["picture", 0]}},
        "mask": {"class_type": "MaskPreview", "inputs": {"mask": ["whole", 1]}},
    }
    return graph


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("RGB"), dtype=int)


def words(run: Run, recorder: Recorder, node: str) -> str:
    """What the node says, from the history."""
    (entry,) = recorder.client.get_json(f"/history/{run.prompt_id}").values()
    return "\n".join(entry["outputs"][node]["text"])


def test_the_workflow_as_it_is_shipped(recorder: Recorder, shipped: Graph) -> None:
    run = recorder.run(shipped)
    assert run.error is None, run.error
    steps = {step: run.pictures[node_of(shipped, step)] for step in (*STEPS, WHOLE)}
    assert [len(pictures) for pictures in steps.values()] == [1, 1, 1, 1, 2]
    (made,) = run.pictures[node_of(shipped, "SaveImage")]
    assert made.size == (256, 256) and pixels(made).std() > 10
    (by_steps,), (_, all_in_one) = steps["EchoGenCutOutSubject"], steps[WHOLE]
    assert (pixels(by_steps)[0, 0] == 255).all() and (pixels(all_in_one)[0, 0] == 255).all()
    assert "built-in cut" in words(run, recorder, node_of(shipped, "EchoGenDetectSubject"))

    again = recorder.run(changed(shipped, "EchoGenSampler", seed=8))
    assert again.error is None and not {node_of(shipped, step) for step in steps} & set(again.executed)
    for step, before in steps.items():
        after = again.pictures[node_of(shipped, step)]
        assert [p.tobytes() for p in map(pixels, after)] == [p.tobytes() for p in map(pixels, before)], step


@pytest.mark.parametrize(
    ("picture", "whole", "says"),
    [
        ({"width": 1, "height": 1}, {}, "1×1 px"),
        ({"nan": True}, {}, "NaN"),
        ({"width": 8000, "height": 64}, {}, "Hardly any of the subject is marked"),
        ({"count": 3, "empty_mask": True}, {"mask": ["picture", 1]}, "The mask is empty, so it isn't used."),
        ({}, {"phrase": "红球"}, "needs a detector"),
        ({}, {"phrase": "a ball " * 3000}, "needs a detector"),
        ({}, {"phrase": "ball", "when_not_found": "error"}, "needs a detector"),
        ({}, {"bounding_box": {"x": 900, "y": 0, "width": 5, "height": 5}}, "lies outside"),
    ],
)
def test_bad_input_has_its_outcome_and_the_next_prompt_runs(
    recorder: Recorder, alone: Graph, picture: dict[str, object], whole: dict[str, object], says: str
) -> None:
    bad = changed(changed(alone, "TestPicture", **picture), WHOLE, **whole)
    run = recorder.run(bad)
    assert says in (run.message if run.error else words(run, recorder, "whole"))
    good = recorder.run(alone)
    assert good.error is None, good.error
    (mask,) = good.pictures["mask"]
    assert mask.size == (96, 64) and 0.1 < pixels(mask).mean() / 255 < 0.6


def test_a_file_that_is_missing_is_named_before_anything_runs(recorder: Recorder, alone: Graph) -> None:
    with pytest.raises(comfy_server.PromptFailed, match="models/grounding-dino"):
        recorder.run(changed(alone, WHOLE, detector="groundingdino_swint_ogc.pth"))
