"""Shipped workflows as data: where their nodes are, what is in them, and the files made of that.

How a workflow is composed; composition.py checks the files, tests/e2e/test_browser_layout.py the page:

- Reading order: every node is to the right of those it gets something from.
- The reference is at the top left, the result in the same row at the top right: between them is only the way
  from one to the other.
- Every loader is in the column before what it loads for.
- No node lies on another one, and no wire crosses a node's title: Load EchoGen is at the top, and the column
  after it leaves room there for the wires to the sampler and the decoder.
- Every picture is shown once: Save Image is collapsed where another node shows what it writes.
- All of it is in view at the start, large enough for the canvas to draw titles and labels.
- Notes have room for their text. They are grey, as the front end's own yellow leaves their title at 3:1, and
  have no code, which has 3:1 as well.
- No groups: the canvas writes a group's title on a tint of the title's own colour, which is 4.2:1 at best.
  Nodes say by their titles what they are for.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workflow import to_api, widgets_of

ROOT = Path(__file__).resolve().parents[2]

Links = Mapping[str, tuple[str, int]]
NARROWEST = 225  # of a node in Nodes 2.0
PILL = (200, 0)  # about the size of a collapsed node
SAMPLER_SIZE = (400, 960)
RESULT_SIZE, LARGE_RESULT_SIZE = (320, 380), (400, 450)  # nano's pictures of 256 px in their own size
COLUMNS = (0, 360, 720, 1080)
"""Left edges: reference and note; loader and cut-out; features; what samples."""
REFERENCE_WIDTH, COLUMN = 320, 300  # the first column's width, and the others'
GAP = 40  # between the columns after the sampler
LEFT_HEIGHT = 1000
TITLE_HEIGHT = 30
CORRIDOR = 150  # above the features, for the loader's wires


@dataclass
class Item:
    """One node: where it is, its widget values in order, and its connected inputs as name -> (node, slot).

    models: of the files that its values name, as core's templates have them: name, url, directory.
    """

    type: str
    pos: tuple[float, float]
    size: tuple[float, float]
    values: list[Any] = field(default_factory=list)
    links: dict[str, tuple[str, int]] = field(default_factory=dict)
    title: str = ""
    collapsed: bool = False
    models: Sequence[Mapping[str, str]] = ()


def note(text: str, pos: tuple[float, float], size: tuple[float, float]) -> Item:
    """What to do with a workflow."""
    return Item("MarkdownNote", pos, size, [text], title="Start here")


def subject_way(
    words: str, prompt: str, preset: str = "nano (built in)", models: Sequence[Mapping[str, str]] = ()
) -> dict[str, Item]:
    """The left of most workflows: a reference picture and a prompt on their way to a sampler's inputs.

    words: the note's.
    """
    left, cut, features, _ = COLUMNS
    cut_out = {"image": ("cut", 0)}
    return {
        "sample": reference(),
        "note": note(words, (left, 480), (REFERENCE_WIDTH, LEFT_HEIGHT - 480)),
        "load": Item("EchoGenLoadBundle", (cut, 0), (300, 170), [preset, "auto"], models=models),
        "cut": Item(
            "EchoGenSubjectSegmentation",
            (cut, 250),
            (300, LEFT_HEIGHT - 250),
            segmentation_values(),
            {"image": ("sample", 0), "mask": ("sample", 1)},
            "Subject Segmentation",  # its own title is wider than the column
        ),
        "text": Item(
            "EchoGenEncodeText", (features, CORRIDOR), (300, 160), [prompt], {"text_encoder": ("load", 2)}
        ),
        "semantic": Item(
            "EchoGenEncodeSemantic",
            (features, 390),
            (300, 120),
            [1.0],
            {"semantic_encoder": ("load", 3), **cut_out},
            "Encode Semantic",  # as above
        ),
        "content": Item(
            "EchoGenEncodeContent",
            (features, 620),
            (300, 120),
            [1.0],
            {"content_encoder": ("load", 4), **cut_out},
            "Encode Content",
        ),
    }


def reference(picture: str = "teddy_bear.png") -> Item:
    """The picture of the subject: one of the pack's until another one is chosen or dropped there."""
    return Item("EchoGenSamplePicture", (0, 0), (REFERENCE_WIDTH, 400), [picture])


def segmentation_values(phrase: str = "") -> list[Any]:
    """Subject Segmentation's widgets in order."""
    return [phrase, 0.08, "white", 0.35, "best score", "built-in cut", 0.0, "auto", "auto", "auto", "auto"]


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
    name: str,
    x: float,
    y: float,
    bits: tuple[str, int],
    title: str = "Result",
    size: tuple[float, float] = RESULT_SIZE,
    prefix: str = "",
    decode_y: float = 0,
) -> dict[str, Item]:
    """Bits as a picture in its own size, in two columns; nodes `decode_<name>`, `show_<name>`, `save_<name>`.

    prefix: of the file that a collapsed Save Image writes; '' for none. decode_y: near the top, where the
    loader's wire passes above the features.
    """
    decode, show = (f"{step}_{name}" for step in ("decode", "show"))
    second = x + NARROWEST + GAP
    made = {
        decode: Item(
            "EchoGenDecodeBits", (x, decode_y), (NARROWEST, 60), [], {"bits": bits, "tokenizer": ("load", 1)}
        ),
        show: Item("PreviewImage", (second, y), size, [], {"images": (decode, 0)}, title),
    }
    if prefix:
        made[f"save_{name}"] = saved(prefix, (second, y + size[1] + 2 * TITLE_HEIGHT), (decode, 0))
    return made


def saved(prefix: str, pos: tuple[float, float], picture: tuple[str, int], title: str = "") -> Item:
    """A collapsed Save Image: the picture is shown elsewhere."""
    return Item("SaveImage", pos, PILL, [prefix], {"images": picture}, title, collapsed=True)


NOTE_COLOURS = {"color": "#323232", "bgcolor": "#353535"}


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
        "flags": {"collapsed": True} if item.collapsed else {},
        "order": number - 1,
        "mode": 0,
        "inputs": inputs,
        "outputs": outputs,
        "properties": properties(item),
        "widgets_values": item.values,
    }
    looks = NOTE_COLOURS if item.type == "MarkdownNote" else {}
    return {**node, **({"title": item.title} if item.title else {}), **looks}


def properties(item: Item) -> dict[str, Any]:
    """What the front end keeps beside a node's values."""
    if item.type == "MarkdownNote":
        return {}
    models = [dict(model) for model in item.models]
    return {"Node name for S&R": item.type, **({"models": models} if models else {})}


@dataclass(frozen=True)
class App:
    """What app mode shows: widgets as (node, name), and the nodes whose pictures are the results."""

    inputs: Sequence[tuple[str, str]]
    outputs: Sequence[str]


@dataclass(frozen=True)
class Layout:
    """A whole workflow.

    name: of its files, and its title in the list of templates; ident: a fixed UUID; items: makes its nodes,
    in the order of their ids.
    """

    name: str
    ident: str
    items: Callable[[], Mapping[str, Item]]
    app: App | None = None


WINDOW = (60, 130, 1900, 1060)
"""Left, top, right, bottom of the room for a workflow in a window of 1920×1080, below the menu."""


def view(items: Mapping[str, Item]) -> dict[str, Any]:
    """How a workflow opens: as large as the window allows, at most in its own size."""
    left, top, right, bottom = WINDOW
    x, y = (min(item.pos[axis] for item in items.values()) for axis in (0, 1))
    width, height = (max(i.pos[axis] + i.size[axis] for i in items.values()) for axis in (0, 1))
    y -= TITLE_HEIGHT
    scale = min(1.0, (right - left - 20) / (width - x), (bottom - top - 20) / (height - y))
    scale = int(scale * 1000) / 1000
    offset = [round((left + 10) / scale - x), round((top + 10) / scale - y)]
    return {"scale": scale, "offset": offset}


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
    extra: dict[str, Any] = {"ds": view(table)}
    if layout.app:
        inputs = [[ids[node], name] for node, name in layout.app.inputs]
        extra["linearData"] = {"inputs": inputs, "outputs": [ids[node] for node in layout.app.outputs]}
    return {
        "id": layout.ident,
        "revision": 0,
        "last_node_id": len(nodes),
        "last_link_id": len(links),
        "nodes": list(nodes.values()),
        "links": links,
        "groups": [],
        "config": {},
        "extra": extra,
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
