"""The rule of layout.py, checked in a workflow as it is saved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from layout import TITLE_HEIGHT, WINDOW

BESIDE = 100
"""Room between a loader and what it loads for, at most."""
SMALLEST = 8 / 14
"""Scale below which newer front ends leave titles out: their smallest text by the titles' size, in pixels."""
SHOWS = ("PreviewImage", "SaveImage")
_PASSES_ON = ("ImageScale", "ImageScaleBy", "EchoGenDecodeBits")  # the same picture, in another form

Node = dict[str, Any]
Box = tuple[float, float, float, float]


def faults(workflow: dict[str, Any]) -> list[str]:
    """What is against the rule, in words."""
    checks = (_backward_wires, _far_loaders, _far_results, _overlaps, _repeated_pictures, _out_of_view)
    found = [fault for check in checks for fault in check(workflow)]
    return found + [f"group {group['title']!r}" for group in workflow["groups"]]


def box(node: Node) -> Box:
    """Left, top, right, bottom; with the title, which is all of a collapsed node."""
    (x, y), (width, height) = node["pos"], node["size"]
    return x, y - TITLE_HEIGHT, x + width, y + height


def _name(node: Node) -> str:
    return str(node.get("title") or node["type"])


def _wires(workflow: dict[str, Any]) -> Iterator[tuple[Node, Node]]:
    """Source and target of each wire."""
    nodes = {node["id"]: node for node in workflow["nodes"]}
    for _, source, _, target, _, _ in workflow["links"]:
        yield nodes[source], nodes[target]


def _backward_wires(workflow: dict[str, Any]) -> Iterator[str]:
    for source, target in _wires(workflow):
        if box(target)[0] <= box(source)[2]:
            yield f"{_name(target)} is not to the right of {_name(source)}"


def _far_loaders(workflow: dict[str, Any]) -> Iterator[str]:
    for loader in workflow["nodes"]:
        if loader["type"].startswith("EchoGenLoad"):
            gaps = [box(b)[0] - box(a)[2] for a, b in _wires(workflow) if a is loader]
            if min(gaps) > BESIDE:
                yield f"{_name(loader)} is not beside what it loads for"


def _far_results(workflow: dict[str, Any]) -> Iterator[str]:
    """Nothing may be higher than the reference, or beside it at its left; a result begins at its height.

    Further pictures are below the reference.
    """
    references = [box(node) for node in workflow["nodes"] if node["type"] == "EchoGenSamplePicture"]
    for left, top, _, bottom in sorted(references, key=lambda reference: reference[1])[:1]:
        if any(box(node)[0] < left or box(node)[1] < top for node in workflow["nodes"]):
            yield "the reference is not at the top left"
        results = [box(node) for node in workflow["nodes"] if node["type"] in SHOWS and _is_open(node)]
        if results and min(result[1] for result in results) >= bottom:
            yield "no result is in the reference's row"
        if results and max(r[2] for r in results) < max(box(node)[2] for node in workflow["nodes"]):
            yield "something is to the right of the result"


def _is_open(node: Node) -> bool:
    return not node["flags"].get("collapsed")


def _overlaps(workflow: dict[str, Any]) -> Iterator[str]:
    for index, node in enumerate(workflow["nodes"]):
        a = box(node)
        for other in workflow["nodes"][index + 1 :]:
            b = box(other)
            if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]:
                yield f"{_name(node)} lies on {_name(other)}"


def _repeated_pictures(workflow: dict[str, Any]) -> Iterator[str]:
    seen: set[tuple[int, int]] = set()
    nodes = {node["id"]: node for node in workflow["nodes"]}
    links = {link[0]: (link[1], link[2]) for link in workflow["links"]}
    for node in workflow["nodes"]:
        if node["type"] not in SHOWS or not _is_open(node):
            continue
        origin = links[node["inputs"][0]["link"]]
        while nodes[origin[0]]["type"] in _PASSES_ON:
            origin = links[nodes[origin[0]]["inputs"][0]["link"]]
        if origin in seen or nodes[origin[0]]["type"] == "EchoGenGammaSweep":  # which shows its cells itself
            yield f"{_name(node)} shows a picture again"
        seen.add(origin)


def _out_of_view(workflow: dict[str, Any]) -> Iterator[str]:
    view = workflow["extra"]["ds"]
    if view["scale"] < SMALLEST:
        yield f"it opens at {view['scale']}, where the canvas leaves out its text"
    for node in workflow["nodes"]:
        corners = zip(box(node), view["offset"] * 2, WINDOW, (1, 1, -1, -1), strict=True)
        if any(
            (place + offset) * view["scale"] * sign < limit * sign for place, offset, limit, sign in corners
        ):
            yield f"{_name(node)} is outside a window of 1920×1080"
