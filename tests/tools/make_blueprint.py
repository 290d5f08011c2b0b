"""Writes a blueprint into subgraphs/, which ComfyUI offers among its nodes.

COMFYUI_PATH=... python tests/tools/make_blueprint.py
"""

from __future__ import annotations

import json
import sys
import uuid
from typing import Any, NamedTuple

from layout import ROOT, Item, node_json, sampler, segmentation_values

from workflow import widgets_of

NAME = "Image Prompt like IP-Adapter (EchoGen)"
FILE = ROOT / "subgraphs" / f"{NAME}.json"
DESCRIPTION = "Draws the subject of your picture in the scene of your prompt."
ALIASES = ["ip adapter", "image prompt", "reference", "subject in scene"]
INPUTS = {
    "image": ("cut", "image"),
    "mask": ("cut", "mask"),
    "preset": ("load", "preset"),
    "prompt": ("text", "prompt"),
    "gamma_t": ("sampler", "gamma_t"),
    "gamma_i": ("sampler", "gamma_i"),
    "seed": ("sampler", "seed"),
    "phrase": ("cut", "phrase"),
}
"""Inputs of the subgraph -> the inner node and its input."""
_OUTSIDE_IN, _OUTSIDE_OUT = -10, -20  # what stands for the subgraph's own sockets in its links


def items() -> dict[str, Item]:
    """The nodes inside."""
    cut, inner = {"image": ("cut", 0)}, {name: ("outside", slot) for slot, name in enumerate(INPUTS)}
    made = {
        "cut": Item("EchoGenSubjectSegmentation", (0, 250), (300, 750), segmentation_values()),
        "load": Item("EchoGenLoadBundle", (0, 0), (300, 170), ["nano (built in)", "auto"]),
        "text": Item(
            "EchoGenEncodeText",
            (370, 150),
            (300, 160),
            ["a teddy bear on a meadow"],
            {"text_encoder": ("load", 2)},
        ),
        "semantic": Item(
            "EchoGenEncodeSemantic", (370, 390), (300, 120), [1.0], {"semantic_encoder": ("load", 3), **cut}
        ),
        "content": Item(
            "EchoGenEncodeContent", (370, 620), (300, 120), [1.0], {"content_encoder": ("load", 4), **cut}
        ),
        "sampler": sampler((740, 0)),
        "decode": Item(
            "EchoGenDecodeBits", (1200, 0), (200, 60), [], {"bits": ("sampler", 0), "tokenizer": ("load", 1)}
        ),
    }
    for name, (node, field) in INPUTS.items():
        made[node].links[field] = inner[name]
    return made


def blueprint(object_info: dict[str, Any]) -> dict[str, Any]:
    """The file's content: a graph of the one subgraph node, and its definition."""
    definition, sockets = _definition(object_info)
    host = {
        "id": 1,
        "type": definition["id"],
        "pos": [0, 0],
        "size": [400, 300],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": sockets,
        "outputs": [{"name": "image", "type": "IMAGE", "links": []}],
        "properties": {},
        "widgets_values": [],
        "title": NAME,
    }
    return {
        "id": _ident("graph"),
        "revision": 0,
        "last_node_id": 1,
        "last_link_id": 0,
        "nodes": [host],
        "links": [],
        "groups": [],
        "definitions": {"subgraphs": [definition]},
        "config": {},
        "extra": {"BlueprintDescription": DESCRIPTION, "BlueprintSearchAliases": ALIASES},
        "version": 0.4,
    }


def _definition(object_info: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The subgraph, and the inputs of the node that stands for it."""
    nodes, links, entering = _inner_graph(object_info)
    definition = {
        "id": _ident("definition"),
        "version": 1,
        "state": {"lastGroupId": 0, "lastNodeId": len(nodes), "lastLinkId": len(links), "lastRerouteId": 0},
        "revision": 0,
        "config": {},
        "name": NAME,
        "inputNode": {"id": _OUTSIDE_IN, "bounding": [-180, 0, 120, 180]},
        "outputNode": {"id": _OUTSIDE_OUT, "bounding": [1520, 0, 120, 60]},
        "inputs": [
            {"id": _ident(name), "name": name, "type": entering[slot].type, "linkIds": [entering[slot].link]}
            for slot, name in enumerate(INPUTS)
        ],
        "outputs": [{"id": _ident("output"), "name": "image", "type": "IMAGE", "linkIds": [links[-1]["id"]]}],
        "widgets": [],
        "nodes": nodes,
        "groups": [],
        "links": links,
        "extra": {},
    }
    sockets: list[dict[str, Any]] = []
    for slot, name in enumerate(INPUTS):
        widget = {"widget": {"name": name}} if entering[slot].is_widget else {}
        sockets.append({"name": name, "type": entering[slot].type, **widget, "link": None})
    return definition, sockets


class Entering(NamedTuple):
    """A link from outside the subgraph to an input in it."""

    type: str
    link: int
    is_widget: bool


def _inner_graph(
    object_info: dict[str, Any],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[int, Entering]]:
    """The subgraph's nodes; its links, the last of which leaves it; and by slot those that enter it."""
    table = items()
    ids = {"outside": _OUTSIDE_IN, **{key: number for number, key in enumerate(table, 1)}}
    nodes = {key: node_json(ids[key], item, object_info[item.type]) for key, item in table.items()}
    for key, item in table.items():
        nodes[key]["inputs"] = _as_the_browser_has_them(nodes[key]["inputs"], object_info[item.type])
    links: list[dict[str, Any]] = []
    entering: dict[int, Entering] = {}
    for key, item in table.items():
        for slot, socket in enumerate(nodes[key]["inputs"]):
            if socket["name"] not in item.links:
                continue
            source, source_slot = item.links[socket["name"]]
            kind = socket["type"]
            socket["link"] = _link(links, (ids[source], source_slot), (ids[key], slot), kind)
            if source == "outside":
                entering[source_slot] = Entering(kind, socket["link"], "widget" in socket)
            else:
                nodes[source]["outputs"][source_slot]["links"].append(socket["link"])
    leaving = _link(links, (ids["decode"], 0), (_OUTSIDE_OUT, 0), "IMAGE")
    nodes["decode"]["outputs"][0]["links"].append(leaving)
    return list(nodes.values()), links, entering


def _as_the_browser_has_them(linked: list[dict[str, Any]], info: dict[str, Any]) -> list[dict[str, Any]]:
    """All inputs, sockets before widgets: links of a subgraph are found by their slots."""
    known, widgets = {socket["name"]: socket for socket in linked}, [name for name, _ in widgets_of(info)]
    inputs: list[dict[str, Any]] = []
    for kind in ("required", "optional"):
        for name in info["input_order"].get(kind, []):
            plain = {"name": name, "link": None, **({"widget": {"name": name}} if name in widgets else {})}
            inputs.append({**known.get(name, plain), "type": _kind(info, name)})
    return sorted(inputs, key=lambda socket: "widget" in socket)


def _link(links: list[dict[str, Any]], source: tuple[int, int], to: tuple[int, int], kind: str) -> int:
    """Adds a link; its number."""
    number = len(links) + 1
    ends = {"origin_id": source[0], "origin_slot": source[1], "target_id": to[0], "target_slot": to[1]}
    links.append({"id": number, **ends, "type": kind})
    return number


def _kind(info: dict[str, Any], name: str) -> str:
    """Type of an input; drop-downs are lists in /object_info."""
    (spec,) = [fields[name] for fields in info["input"].values() if name in fields]
    return "COMBO" if isinstance(spec[0], list) else str(spec[0])


def _ident(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"echogen/{NAME}/{name}"))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tests" / "nodes"))
    import comfy_pack

    FILE.parent.mkdir(exist_ok=True)
    text = json.dumps(blueprint(comfy_pack.object_info()), ensure_ascii=False, indent=1)
    FILE.write_text(text + "\n", encoding="utf-8")
