"""Nodes that only show something: run when a result needs them, by themselves, and never for nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import graphs
import pytest
import torch
from graphs import Comfy, Front, Give, node

import comfy_pack

CUT = dict(margin=0.0, background="white", mask_marks="auto")
SHOWING = {
    "EchoGenSamplePicture", "EchoGenCutOutSubject", "EchoGenDescribeSubject", "EchoGenDetectSubject",
    "EchoGenSegmentSubject", "EchoGenSubjectSegmentation", "EchoGenEditPicture", "EchoGenSubjectRegion",
}  # fmt: skip
RESULTS = {"EchoGenGammaSweep", "EchoGenSaveSubject"}
NOTICING = {
    "EchoGenEncodeText", "EchoGenEncodeSemantic", "EchoGenEncodeContent", "EchoGenSampler",
    "EchoGenEncodeBits", "EchoGenRankByLikeness",
}  # fmt: skip


class Lazy:
    """A switch that asks only for the way it takes, as ComfyUI's own does where there is one."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("IMAGE",), "choose", "test"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        way = ("IMAGE", {"lazy": True})
        return {"required": {"switch": ("BOOLEAN", {}), "on_false": way, "on_true": way}}

    def check_lazy_status(self, switch: bool, on_false: Any = None, on_true: Any = None) -> list[str]:
        taken = "on_true" if switch else "on_false"
        return [taken] if (on_true if switch else on_false) is None else []

    def choose(self, switch: bool, on_false: Any, on_true: Any) -> tuple[Any]:
        return (on_true if switch else on_false,)


@pytest.fixture
def comfy(pack: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Comfy]:
    """A session whose server the pack has met at its start."""
    import server

    import nodes as comfy_nodes

    if "ComfySwitchNode" not in graphs.register():
        monkeypatch.setitem(comfy_nodes.NODE_CLASS_MAPPINGS, "ComfySwitchNode", Lazy)
    session = Comfy()
    monkeypatch.setattr(server.PromptServer, "instance", session.front, raising=False)
    asyncio.run(comfy_pack.load_pack().comfy_entrypoint())
    Give.values["photo"] = torch.rand(1, 32, 32, 3)
    yield session


def photo_and(**nodes: Any) -> dict[str, Any]:
    return {"photo": node("Give", name="photo"), **nodes}


def cut(margin: float = 0.0) -> dict[str, Any]:
    return node("EchoGenCutOutSubject", image=["photo", 0], **{**CUT, "margin": margin})


def test_which_nodes_only_show(pack: dict[str, Any]) -> None:
    outputs = {kind for kind, each in pack.items() if each.GET_SCHEMA().is_output_node}
    assert outputs == SHOWING | RESULTS, "each can be run by itself"
    shows = {kind for kind, each in pack.items() if getattr(each, "HAS_INTERMEDIATE_OUTPUT", False)}
    assert shows == (SHOWING | NOTICING if graphs.is_todays() else set())


def test_a_way_that_a_switch_does_not_take_is_not_run(comfy: Comfy) -> None:
    prompt = photo_and(
        one=cut(0.1),
        other=cut(0.2),
        switch=node("ComfySwitchNode", switch=True, on_false=["one", 0], on_true=["other", 0]),
        end=node("Keep", value=["switch", 0]),
    )
    outcome = comfy.run(prompt)
    assert "other" in outcome.ran and outcome.kept["end"], outcome
    assert ("one" in outcome.ran) == (not graphs.is_todays())


def test_with_nothing_behind_they_run_and_show(comfy: Comfy) -> None:
    assert "images" in comfy.run(photo_and(one=cut())).shown["one"]
    beside = photo_and(
        one=cut(0.1), two=node("EchoGenDescribeSubject", image=["one", 0], phrase="ball", describer="none"),
        other=cut(0.2), end=node("Keep", value=["other", 0]),
    )  # fmt: skip
    assert {"one", "two", "other"} <= set(comfy.run(beside).ran), "beside a result, and before one another"


def test_they_show_also_when_all_is_known(comfy: Comfy) -> None:
    prompt = photo_and(one=cut(), end=node("Keep", value=["one", 0]))
    shown = comfy.run(prompt).shown["one"]
    again = comfy.run(prompt)
    assert again.ran == [] and again.shown["one"] == shown


def test_what_a_broken_end_leaves_behind_is_still_shown(comfy: Comfy) -> None:
    lacking = node("ImageScaleBy", image=["one", 0], upscale_method="no such", scale_by=1.0)
    outcome = comfy.run(photo_and(one=cut(), two=lacking, end=node("PreviewImage", images=["two", 0])))
    assert "images" in outcome.shown["one"] and "two" in outcome.refused


def chosen(prompt: Any, **request: Any) -> Any:
    lazy_previews = comfy_pack.pack_module("nodes.lazy_previews")
    outcome = lazy_previews.with_needed_outputs(
        {"prompt": prompt, **request},
        {"Show"},
        lambda kind: kind in ("Show", "Save"),
        lambda kind, name: kind == "Switch",
    )
    return outcome.get("partial_execution_targets")


def test_which_outputs_are_left_out(pack: dict[str, Any]) -> None:
    def linked(kind: str, *sources: str) -> dict[str, Any]:
        return node(kind, **{f"x{number}": [source, 0] for number, source in enumerate(sources)})

    ways = {"a": linked("Show"), "b": linked("Show"), "c": linked("Switch", "a", "b")}
    assert chosen({**ways, "d": linked("Save", "c")}) == ["c", "d"]
    assert chosen({**ways, "d": linked("Save", "c"), "e": linked("Save", "b")}) == ["b", "c", "d", "e"]
    assert chosen({**ways, "d": linked("Save", "c"), "e": linked("Show", "b")}) == ["b", "c", "d", "e"]
    further = {"a": linked("Show"), "b": linked("Other", "a"), "c": linked("Switch", "b")}
    assert chosen({**further, "d": linked("Save", "c")}) == ["b", "c", "d"]
    assert chosen({**ways}) is None, "nothing behind the switch"
    assert chosen({"a": linked("Show"), "b": linked("Other", "a"), "c": linked("Save", "b")}) is None, (
        "it is run anyway"
    )
    assert chosen({"a": linked("Show", "b"), "b": linked("Show", "a")}) is None, "ComfyUI names the circle"
    named = {**ways, "d": linked("Save", "c")}
    assert chosen(named, partial_execution_targets=["a"]) == ["a"]


@pytest.mark.parametrize(
    "prompt",
    [None, [], {"a": None}, {"a": {}}, {"a": {"class_type": "Save", "inputs": {"x": [[], 0], "y": []}}}],
)
def test_broken_prompts_are_left_to_comfyui(pack: dict[str, Any], prompt: Any) -> None:
    assert chosen(prompt) is None


def test_without_a_server_there_is_nothing_to_do(pack: dict[str, Any]) -> None:
    assert Front().on_prompt == [] and comfy_pack.pack_module("nodes.runtime").prompt_server() is None
