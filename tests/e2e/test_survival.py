"""Whatever is sent to the server, and whatever lies in its folders: it goes on, and says what is wrong.

`python tests/tools/hostile_server.py` sends all of it; here one value of each kind goes to every input.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import hostile
import pytest
import torch
from hostile import TYPED, Hostile

from comfy_server import Graph
from runner.server import Server

READY_SECONDS = 20.0


def goes_on(comfy: Server) -> None:
    """The loop answers, and the thread that runs prompts takes the next one."""
    assert comfy.client.get("/object_info", timeout=READY_SECONDS)
    queue = comfy.client.get_json("/queue")
    assert not queue["queue_running"] and not queue["queue_pending"]
    end = hostile.run(comfy, hostile.one(hostile.sound(), "decode"))
    assert end.how == "done", end


def one_of_each(comfy: Server) -> list[Hostile]:
    """For every input of every node one value, written or over a link, each of them in turn."""
    known = comfy.client.get_json("/object_info")
    files = {"LoadModel": "\ud800", "LoadTextEncoder": "nowhere.pth", "LoadSubject": "../../x.safetensors"}
    graphs = (hostile.sound(), {**hostile.loaders(files), "bundle": hostile.sound()["bundle"]})
    every = [each for graph in graphs for each in hostile.hostile(graph, known)]
    fields = list(dict.fromkeys((each.node, each.field) for each in every))
    sent = []
    for turn, place in enumerate(fields):
        of_place = [each for each in every if (each.node, each.field) == place]
        sent.append(of_place[turn * 7 % len(of_place)])
    return sent


def test_every_input_with_what_does_not_belong(comfy: Server) -> None:
    faults = []
    for sent in one_of_each(comfy):
        end = hostile.run(comfy, sent.prompt)
        fault = hostile.fault(sent, end)
        faults += [f"{sent}: {fault}"] if fault else []
        assert end.how != "lost", f"{sent}: {end.words}"
    assert not faults, "\n".join(faults)
    goes_on(comfy)


@pytest.mark.parametrize("value", ["wrapped link", "missing node", "missing output"])
def test_links_that_lead_nowhere(value: str, comfy: Server) -> None:
    for node, field in (("cut", "image"), ("detect", "detector"), ("sampler", "model"), ("cut", "bogus")):
        end = hostile.run(comfy, hostile.spoiled(hostile.one(hostile.sound(), node), node, field, value))
        assert end.how == ("done" if field == "bogus" else "refused"), end


def test_a_broken_node_beside_a_sound_one(comfy: Server) -> None:
    """What ComfyUI refuses of a prompt it takes all the same where another of its outputs is sound."""
    for given in ({"inputs": ["filename_prefix"]}, {"inputs": None}, {"inputs": 5}, {}):
        broken = {"class_type": "EchoGenSaveSubject", **given}
        end = hostile.run(comfy, {**hostile.one(hostile.sound(), "text"), "broken": broken})
        assert end.how == "refused" and "filename_prefix" in end.words, end
    for odd in (5, "x", [1]):
        shown = hostile.one(hostile.sound(), "sample")
        assert hostile.run(comfy, shown, extra_data={"extra_pnginfo": odd}).how == "done"


@pytest.mark.parametrize("value", ["lone surrogate", "zero byte", "100,000 letters", "right to left"])
def test_a_message_is_short_and_can_be_printed(value: str, comfy: Server) -> None:
    places = ("detect", "detector"), ("save", "filename_prefix"), ("cut", "background"), ("curve", "points_t")
    for node, field in places:
        prompt = hostile.spoiled(hostile.one(hostile.sound(), node), node, field, value)
        end = hostile.run(comfy, prompt)
        assert not hostile.fault(Hostile(node, field, value, prompt), end), end
        assert TYPED[value] not in end.words


def test_more_than_memory_holds_is_refused_in_words(comfy: Server) -> None:
    for node, field in (("cut", "image"), ("subject", "mask"), ("semantic", "image")):
        prompt = hostile.spoiled(hostile.one(hostile.sound(), node), node, field, "linked gigabytes")
        end = hostile.run(comfy, prompt)
        assert end.how == "failed" and "main memory" in end.words, end
    goes_on(comfy)


def dict_in_itself(path: Path) -> None:
    tree: dict[str, object] = {"a": torch.zeros(1)}
    tree["b"] = tree
    torch.save(tree, path)


@pytest.fixture
def strange_files(comfy: Server) -> Iterator[list[Path]]:
    """Files that no one put there on purpose, in the folders of the running server."""
    base = comfy.log.parent
    made = []
    for folder in ("echogen", "sams", "grounding-dino", "LLM", "vae"):
        place = base / "models" / folder / "strange"
        place.mkdir(parents=True)
        made.append(place)
        dict_in_itself(place / "itself.pth")
        (place / "index.safetensors").write_bytes(b"\xff" * 40)
        (place / "model.safetensors.index.json").write_text('{"weight_map": {"a": null}}', encoding="utf-8")
        (place / "config.json").write_text("[" * 100_000, encoding="utf-8")
        if os.name == "posix":
            (place / "nowhere.pth").symlink_to("/nowhere/at/all.pth")
            (place / "round").symlink_to(place)
            os.mkfifo(place / "pipe.safetensors")
            if os.uname().sysname == "Linux":  # other systems allow no such names
                Path(os.fsdecode(os.fsencode(place) + b"/\xff.pth")).write_bytes(b"")
    kept = base / "output" / "EchoGen" / "strange"
    kept.mkdir(parents=True)
    made.append(kept)
    (kept / "cut.safetensors").write_bytes(b"\x00" * 7)
    if os.name == "posix":
        os.mkfifo(kept / "pipe.safetensors")
        (kept / "nowhere.safetensors").symlink_to(kept / "nowhere.safetensors")
    yield made
    for place in made:
        shutil.rmtree(place)


def test_strange_files_in_the_folders(comfy: Server, strange_files: list[Path]) -> None:
    goes_on(comfy)
    graph: Graph = hostile.sound()
    for node, field in (("detect", "detector"), ("describe", "describer")):
        assert hostile.run(comfy, hostile.one(graph, node)).how == "done"
        for name in ("strange/itself.pth", "strange/pipe.safetensors", "strange/nowhere.pth", "strange"):
            prompt = hostile.one(graph, node)
            prompt[node]["inputs"][field] = name
            end = hostile.run(comfy, prompt)
            assert not hostile.fault(Hostile(node, field, name, prompt), end), end
    for kind, name in (
        ("LoadModel", "strange/itself.pth"),
        ("LoadSubject", "EchoGen/strange/pipe.safetensors [output]"),
    ):
        prompt = hostile.one(hostile.loaders({kind: name}), kind)
        end = hostile.run(comfy, prompt)
        assert end.how in ("refused", "failed") and not hostile.fault(
            Hostile(kind, "file", name, prompt), end
        ), end
    goes_on(comfy)
