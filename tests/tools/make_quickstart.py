"""Writes workflows/quickstart.json and its API twin workflows/api/quickstart.json.

COMFYUI_PATH=... python tests/tools/make_quickstart.py

The layout is data here, so that it stays tidy when a node changes; look at it in a browser afterwards.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / "workflows" / "quickstart.json"
API_TWIN = ROOT / "workflows" / "api" / "quickstart.json"

SAMPLE = "teddy_bear.png"
PROMPT = "a teddy bear on a meadow"
NOTE = """## EchoGen: the same subject in a new scene

1. Press **Run**. nano, the built-in miniature, makes a 64×64 px picture in about a second.
2. Drag **γ_I (subject)** or **γ_t (prompt)** on the sampler and run again: subject and prompt are \
remembered, only the sampler works.
3. Change the **prompt**: first the subject, then the place.
4. Your own picture: put **Load Image** in the place of *EchoGen Sample Picture*, with the same two wires. \
Is its background busy? Paint the subject in the mask editor.
5. Leave an input of the sampler open and that path is off: no text, no semantic, no content.

nano is tiny: scenes come out, subjects are soft shapes of the right colours. For real pictures choose \
**EchoGen-2B** in *Load EchoGen*; running it lists the files to download.

Help for a node: select it and press the **?** above it."""


@dataclass
class Item:
    """One node: where it is, its widget values in order, and its connected inputs as name -> (node, slot)."""

    type: str
    pos: tuple[float, float]
    size: tuple[float, float]
    values: list[Any] = field(default_factory=list)
    links: dict[str, tuple[str, int]] = field(default_factory=dict)
    title: str = ""


def items() -> dict[str, Item]:
    """The nodes of the quickstart, in the order of their ids."""
    from echogen_core.config import PRESETS

    nano = PRESETS["nano"]
    bits = {"bits": ("sampler", 0), "tokenizer": ("load", 1)}
    return {
        "note": Item("MarkdownNote", (20, 640), (600, 350), [NOTE], title="Start here"),
        "sample": Item("EchoGenSamplePicture", (20, 80), (280, 330), [SAMPLE]),
        "cut": Item(
            "EchoGenCutOutSubject",
            (330, 80),
            (290, 440),
            [0.08, "white", "auto"],
            {"image": ("sample", 0), "mask": ("sample", 1)},
        ),
        "load": Item("EchoGenLoadBundle", (680, 80), (360, 140), ["nano (built in)"]),
        "text": Item("EchoGenEncodeText", (680, 350), (360, 160), [PROMPT], {"text_encoder": ("load", 2)}),
        "semantic": Item(
            "EchoGenEncodeSemantic",
            (680, 570),
            (360, 95),
            [1.0],
            {"semantic_encoder": ("load", 3), "image": ("cut", 0)},
        ),
        "content": Item(
            "EchoGenEncodeContent",
            (680, 725),
            (360, 95),
            [1.0],
            {"content_encoder": ("load", 4), "image": ("cut", 0)},
        ),
        "sampler": Item(
            "EchoGenSampler",
            (1100, 80),
            (400, 760),
            [nano.gamma_t, nano.gamma_i, 7, "fixed", 1, "1:1", "auto", 0.0, 0.0, 0],
            {
                "model": ("load", 0),
                "text": ("text", 0),
                "semantic": ("semantic", 0),
                "content": ("content", 0),
                "tokenizer": ("load", 1),
            },
        ),
        "decode": Item("EchoGenDecodeBits", (1560, 80), (200, 60), [], bits),
        "save": Item("SaveImage", (1780, 80), (200, 240), ["EchoGen/quickstart"], {"images": ("decode", 0)}),
        "enlarge": Item(
            "ImageScaleBy", (1560, 200), (200, 90), ["bicubic", 6.0], {"image": ("decode", 0)}, ENLARGE
        ),
        "show": Item("PreviewImage", (1570, 410), (400, 435), [], {"images": ("enlarge", 0)}),
        "scales": Item("EchoGenDecodeScales", (2040, 80), (300, 60), [], bits),
        "enlarge_scales": Item(
            "ImageScaleBy", (2040, 200), (300, 90), ["bicubic", 3.0], {"image": ("scales", 0)}, ENLARGE
        ),
        "show_scales": Item("PreviewImage", (2040, 380), (300, 450), [], {"images": ("enlarge_scales", 0)}),
    }


ENLARGE = "Enlarge to see it"
GROUPS: tuple[tuple[str, tuple[float, float, float, float], str], ...] = (
    ("1 · Subject", (0, 0, 640, 540), "#3f789e"),
    ("2 · Model", (660, 0, 400, 240), "#88aa88"),
    ("3 · Conditions", (660, 260, 400, 600), "#3f789e"),
    ("4 · Sampler", (1080, 0, 440, 860), "#b58b2a"),
    ("5 · Picture", (1540, 0, 460, 860), "#3f789e"),
    ("Read me", (0, 560, 640, 450), "#888888"),
    ("6 · After each scale", (2020, 0, 340, 860), "#888888"),
)


def node_json(number: int, item: Item, info: dict[str, Any]) -> dict[str, Any]:
    """A UI node without its links."""
    inputs = []
    for kind in ("required", "optional"):
        for name in info["input_order"].get(kind, []):
            if name in item.links:
                optional = {"shape": 7} if kind == "optional" else {}
                inputs.append({"name": name, "type": info["input"][kind][name][0], **optional, "link": None})
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


def workflow_json(object_info: dict[str, Any]) -> dict[str, Any]:
    """The whole UI workflow."""
    table = items()
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
        for n, (t, box, colour) in enumerate(GROUPS, 1)
    ]
    return {
        "id": "5f0c6c6e-2c9e-4a53-9d0e-ec406e000001",
        "revision": 0,
        "last_node_id": len(nodes),
        "last_link_id": len(links),
        "nodes": list(nodes.values()),
        "links": links,
        "groups": groups,
        "config": {},
        "extra": {"ds": {"scale": 0.76, "offset": [95, 190]}},
        "version": 0.4,
    }


def main() -> None:
    sys.path[:0] = [str(ROOT / "tests" / "nodes"), str(ROOT / "tests" / "tools")]
    import comfy_pack
    import workflow

    object_info = comfy_pack.object_info()
    ui = workflow_json(object_info)
    for path, value in ((WORKFLOW, ui), (API_TWIN, workflow.to_api(ui, object_info))):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
