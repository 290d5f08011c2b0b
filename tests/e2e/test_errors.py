"""What a user can get wrong: each is told what to do, and the next prompt runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import comfy_server
from comfy_server import Graph, PromptFailed, Recorder, changed, node_of


def picture_node(**inputs: Any) -> dict[str, Any]:
    """The tests' own picture in place of the sample."""
    defaults = {"width": 96, "height": 96, "count": 1, "nan": False, "empty_mask": False}
    return {"class_type": "TestPicture", "inputs": {**defaults, **inputs}}


def with_picture(graph: Graph, **inputs: Any) -> Graph:
    """The quickstart on the tests' own picture, with its mask connected."""
    sample = node_of(graph, "EchoGenSamplePicture")
    graph[sample] = picture_node(**inputs)
    graph[node_of(graph, "EchoGenSubjectSegmentation")]["inputs"]["mask"] = [sample, 1]
    return graph


def fails_with(recorder: Recorder, bad: Graph, *words: str) -> str:
    """Runs a bad graph, which must fail with all `words`; then the good one, which must run."""
    run = recorder.run(bad)
    missing = [word for word in words if word.lower() not in run.message.lower()]
    assert not missing, f"{missing} not in: {run.message}"
    assert len(run.message) > 40, "too short to help"
    good = recorder.run(changed(comfy_server.single(), "EchoGenSampler", seed=1))
    assert good.error is None and good.pictures, "the next prompt did not run"
    return run.message


def test_an_empty_mask_counts_as_none(recorder: Recorder, graph: Graph) -> None:
    without = with_picture(comfy_server.single(), empty_mask=True)
    del without[node_of(without, "EchoGenSubjectSegmentation")]["inputs"]["mask"]
    runs = [recorder.run(each) for each in (with_picture(graph, empty_mask=True), without)]
    (one,), (other,) = (run.pictures["picture"] for run in runs)
    assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("prompt", ["", "   \n"])
def test_an_empty_prompt(prompt: str, recorder: Recorder, graph: Graph) -> None:
    fails_with(recorder, changed(graph, "EchoGenEncodeText", prompt=prompt), "prompt", "empty")


def test_a_picture_of_one_pixel(recorder: Recorder, graph: Graph) -> None:
    fails_with(recorder, with_picture(graph, width=1, height=1), "1×1", "larger")


def test_a_picture_of_ten_thousand_pixels_is_reduced(recorder: Recorder, graph: Graph) -> None:
    run = recorder.run(with_picture(graph, width=10_000, height=1_000))
    assert run.error is None and run.pictures


def test_pixels_that_are_no_numbers(recorder: Recorder, graph: Graph) -> None:
    fails_with(recorder, with_picture(graph, nan=True), "NaN")


def test_a_batch_of_masks_that_does_not_fit(recorder: Recorder, graph: Graph) -> None:
    with_picture(graph, count=3)
    graph["masks"] = picture_node(count=2)
    graph[node_of(graph, "EchoGenSubjectSegmentation")]["inputs"]["mask"] = ["masks", 1]
    fails_with(recorder, graph, "mask", "3 pictures")


@pytest.mark.parametrize(
    ("helper", "name", "words"),
    [
        ("TestOtherModelsFeatures", "text", ("2048",)),
        ("TestOtherModelsSemantic", "semantic", ("768",)),
        ("TestOtherModelsContent", "content", ("16", "32")),
    ],
)
def test_features_of_another_model(
    helper: str, name: str, words: tuple[str, ...], recorder: Recorder, graph: Graph
) -> None:
    inputs = graph[node_of(graph, "EchoGenSampler")]["inputs"]
    graph["other"] = {"class_type": helper, "inputs": {name: inputs[name]}}
    inputs[name] = ["other", 0]
    fails_with(recorder, graph, name, "model", *words)


def test_a_published_model_without_its_files(recorder: Recorder, graph: Graph) -> None:
    text = fails_with(
        recorder, changed(graph, "EchoGenLoadBundle", preset="EchoGen-2B"), "echogen_2b.pth", "GB", "nano"
    )
    assert "diffusion_models" in text, "says into which folder"


def test_a_value_out_of_range_is_refused_before_it_runs(recorder: Recorder, graph: Graph) -> None:
    with pytest.raises(PromptFailed, match="gamma_i"):
        recorder.run(changed(graph, "EchoGenSampler", gamma_i=99.0))


def weight_files(pack: Path) -> list[Path]:
    """The built-in model's files, largest first."""
    files = (pack / "echogen_core" / "assets" / "nano").glob("*.safetensors")
    return sorted(files, key=lambda file: -file.stat().st_size)


@pytest.mark.parametrize("damage", ["cut off", "flipped header", "missing"])
def test_a_damaged_weight_file(damage: str, copied_pack: Path, recorder: Recorder, graph: Graph) -> None:
    file = weight_files(copied_pack)[0]
    whole = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(whole[: len(whole) // 2] if damage == "cut off" else b"\xff" * 8 + whole[8:])
    try:
        run = recorder.run(graph)
        assert file.name in run.message, run.message
        assert "again" in run.message or "download" in run.message, f"says what to do: {run.message}"
        file.write_bytes(whole)
        run = recorder.run(graph)
        assert run.error is None and run.pictures, "runs, without a restart, once the file is whole"
    finally:
        file.write_bytes(whole)
