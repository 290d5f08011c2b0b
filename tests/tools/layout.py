"""Shipped workflows as data: where their nodes are, what is in them, and the files made of that."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workflow import to_api, widgets_of

ROOT = Path(__file__).resolve().parents[2]

Group = tuple[str, tuple[float, float, float, float], str]
ENLARGE = "Enlarge to see it"
SAMPLER_SIZE = (400, 960)
NARROWEST = 225  # of a node in Nodes 2.0


@dataclass
class Item:
    """One node: where it is, its widget values in order, and its connected inputs as name -> (node, slot)."""

    type: str
    pos: tuple[float, float]
    size: tuple[float, float]
    values: list[Any] = field(default_factory=list)
    links: dict[str, tuple[str, int]] = field(default_factory=dict)
    title: str = ""


LEFT_GROUPS: tuple[Group, ...] = (
    ("1 · Subject", (0, 0, 640, 540), "#3f789e"),
    ("Read me", (0, 560, 640, 450), "#888888"),
    ("2 · Model", (660, 0, 400, 280), "#88aa88"),
    ("3 · Conditions", (660, 290, 400, 720), "#3f789e"),
)
"""Groups of what `subject_way` lays out."""


def subject_way(note: str, prompt: str, preset: str = "nano (built in)") -> dict[str, Item]:
    """The left of most workflows: a sample picture and a prompt on their way to a sampler's inputs."""
    cut = {"image": ("cut", 0)}
    return {
        "note": Item("MarkdownNote", (20, 640), (600, 350), [note], title="Start here"),
        "sample": Item("EchoGenSamplePicture", (20, 80), (280, 330), ["teddy_bear.png"]),
        "cut": Item(
            "EchoGenCutOutSubject",
            (330, 80),
            (290, 440),
            [0.08, "white", "auto"],
            {"image": ("sample", 0), "mask": ("sample", 1)},
        ),
        "load": Item("EchoGenLoadBundle", (680, 80), (360, 170), [preset, "auto"]),
        "text": Item("EchoGenEncodeText", (680, 380), (360, 160), [prompt], {"text_encoder": ("load", 2)}),
        "semantic": Item(
            "EchoGenEncodeSemantic", (680, 595), (360, 120), [1.0], {"semantic_encoder": ("load", 3), **cut}
        ),
        "content": Item(
            "EchoGenEncodeContent", (680, 805), (360, 120), [1.0], {"content_encoder": ("load", 4), **cut}
        ),
    }


CONDITIONS = {
    "model": ("load", 0),
    "text": ("text", 0),
    "semantic": ("semantic", 0),
    "content": ("content", 0),
    "tokenizer": ("load", 1),
}
"""A sampler's links to `subject_way`."""


def gammas(preset: str) -> tuple[float, float]:
    """A model's own γ_t and γ_I."""
    from echogen_core.config import PRESETS

    return PRESETS[preset].gamma_t, PRESETS[preset].gamma_i


def sampler(
    pos: tuple[float, float],
    links: Mapping[str, tuple[str, int]] = CONDITIONS,
    gamma: tuple[float, float] | None = None,
    title: str = "",
) -> Item:
    """EchoGen Sampler with seed 7, nano's γ unless told another, and the model's own settings."""
    values = [*(gamma or gammas("nano")), 7, "fixed", 1, "1:1", "auto", 0.0, 0.0, 0]
    return Item("EchoGenSampler", pos, SAMPLER_SIZE, values, dict(links), title)


def shown(
    name: str, x: float, y: float, width: float, height: float, bits: tuple[str, int]
) -> dict[str, Item]:
    """Bits as a picture: decoded, enlarged and shown; nodes `decode_<name>` and so on, `height` in all.

    width: at least two of the narrowest nodes and a gap.
    """
    decode, enlarge, show = (f"{step}_{name}" for step in ("decode", "enlarge", "show"))
    source = {"bits": bits, "tokenizer": ("load", 1)}
    grow = Item(
        "ImageScaleBy",
        (x + width - NARROWEST, y),
        (NARROWEST, 90),
        ["bicubic", 3.0],
        {"image": (decode, 0)},
        ENLARGE,
    )
    return {
        decode: Item("EchoGenDecodeBits", (x, y), (width - NARROWEST - 10, 90), [], source),
        enlarge: grow,
        # narrower than high: Nodes 2.0 draws the picture as wide as the node
        show: Item(
            "PreviewImage",
            (x + (width - height + 220) / 2, y + 140),
            (height - 220, height - 140),
            [],
            {"images": (enlarge, 0)},
        ),
    }


def node_json(number: int, item: Item, info: dict[str, Any]) -> dict[str, Any]:
    """A UI node without its links."""
    inputs: list[dict[str, Any]] = []
    widgets = [name for name, _ in widgets_of(info)]
    for kind in ("required", "optional"):
        for name in info["input_order"].get(kind, []):
            if name in item.links:
                socket: dict[str, Any] = {"name": name, "type": info["input"][kind][name][0]}
                if kind == "optional":
                    socket["shape"] = 7
                if name in widgets:
                    socket["widget"] = {"name": name}
                socket["link"] = None
                inputs.append(socket)
    outputs = [
        {"name": name, "type": kind, "links": []}
        for name, kind in zip(info["output_name"], info["output"], strict=True)
    ]
    node = {
        "id": number,
        "type": item.type,
        "pos": list(item.pos),
        "size": list(item.size),
        "flags": {},
        "order": number - 1,
        "mode": 0,
        "inputs": inputs,
        "outputs": outputs,
        "properties": {} if item.type == "MarkdownNote" else {"Node name for S&R": item.type},
        "widgets_values": item.values,
    }
    return {**node, **({"title": item.title} if item.title else {})}


@dataclass(frozen=True)
class Layout:
    """A whole workflow.

    name: of its files; ident: a fixed UUID; items: makes its nodes, in the order of their ids;
    groups: title, (x, y, width, height), colour; scale, offset: how it opens.
    """

    name: str
    ident: str
    items: Callable[[], Mapping[str, Item]]
    groups: Sequence[Group]
    scale: float
    offset: tuple[float, float]


def workflow_json(layout: Layout, object_info: dict[str, Any]) -> dict[str, Any]:
    """The whole UI workflow."""
    table = layout.items()
    ids = {key: number for number, key in enumerate(table, 1)}
    nothing: dict[str, Any] = {"input_order": {}, "input": {}, "output": [], "output_name": []}
    nodes = {
        key: node_json(ids[key], item, object_info.get(item.type, nothing)) for key, item in table.items()
    }
    links: list[list[Any]] = []
    for key, item in table.items():
        for slot, socket in enumerate(nodes[key]["inputs"]):
            source, source_slot = item.links[socket["name"]]
            output = nodes[source]["outputs"][source_slot]
            number = len(links) + 1
            links.append([number, ids[source], source_slot, ids[key], slot, output["type"]])
            socket["link"] = number
            output["links"].append(number)
    groups = [
        {"id": n, "title": t, "bounding": list(box), "color": colour, "font_size": 24, "flags": {}}
        for n, (t, box, colour) in enumerate(layout.groups, 1)
    ]
    return {
        "id": layout.ident,
        "revision": 0,
        "last_node_id": len(nodes),
        "last_link_id": len(links),
        "nodes": list(nodes.values()),
        "links": links,
        "groups": groups,
        "config": {},
        "extra": {"ds": {"scale": layout.scale, "offset": list(layout.offset)}},
        "version": 0.4,
    }


def write(layout: Layout) -> None:
    """Writes workflows/<name>.json and its API twin."""
    sys.path.insert(0, str(ROOT / "tests" / "nodes"))
    import comfy_pack

    object_info = comfy_pack.object_info()
    ui = workflow_json(layout, object_info)
    twin = to_api(ui, object_info)
    for path, value in ((f"{layout.name}.json", ui), (f"api/{layout.name}.json", twin)):
        file = ROOT / "workflows" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
