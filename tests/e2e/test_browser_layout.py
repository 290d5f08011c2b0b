"""Shipped workflows in a real Chromium: what of the rule in tests/tools/layout.py only a page can tell."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

from PIL import Image
from playwright.sync_api import Page

import comfy_server
from browser_page import PageErrors, open_quickstart, settled, steady
from runner.server import Server

SLACK = 2  # graph units, for rounding
TITLE = 30
READABLE = 4.5  # contrast, as WCAG 2 asks of text

# Each node's id, title and box in the graph's own units, as it is drawn.
BOXES = """app.graph._nodes.map(node => {
    if (!argument) {
        const [x, y, width, height] = node.boundingRect;
        return [node.id, node.title, x, y, x + width, y + height];
    }
    const {left, top, right, bottom} =
        document.querySelector(`[data-node-id="${node.id}"]`).getBoundingClientRect();
    const canvas = app.canvas.canvas.getBoundingClientRect();
    const at = (x, y) => app.canvas.ds.convertCanvasToOffset([x - canvas.left, y - canvas.top]);
    return [node.id, node.title, ...at(left, top), ...at(right, bottom)];
})"""
# Ids of each wire's nodes, and 40 points of it, a cubic Bézier curve as the front end draws it.
WIRES = """() => [...(app.graph._links ?? app.graph.links).values()].map(link => {
    const from = app.graph.getNodeById(link.origin_id), to = app.graph.getNodeById(link.target_id);
    const [x0, y0] = from.getOutputPos(link.origin_slot), [x1, y1] = to.getInputPos(link.target_slot);
    const bend = Math.hypot(x1 - x0, y1 - y0) / 4;
    const along = (t, a, b, c, d) =>
        a * (1 - t) ** 3 + 3 * b * t * (1 - t) ** 2 + 3 * c * t * t * (1 - t) + d * t ** 3;
    const points = Array.from({length: 41}, (_, i) =>
        [along(i / 40, x0, x0 + bend, x1 - bend, x1), along(i / 40, y0, y0, y1, y1)]);
    return [from.id, to.id, points];
})"""
# Whether each note's text needs scrolling.
NOTES = """() => [...document.querySelectorAll('.comfy-markdown .tiptap, .comfy-markdown-content')]
    .filter(text => text.clientHeight).map(text => text.scrollHeight <= text.clientHeight + 1)"""
# Brings the note to the middle of the window at twice its size; its box there.
CLOSE_UP = """() => {
    const node = app.graph._nodes.find(n => n.type === 'MarkdownNote');
    app.canvas.ds.scale = 1.5;
    app.canvas.centerOnNode(node);
    app.canvas.setDirty(true, true);
}"""
TITLE_BAR = """() => {
    const node = app.graph._nodes.find(n => n.type === 'MarkdownNote');
    const header = document.querySelector(`[data-node-id="${node.id}"] .lg-node-header`);
    if (header) return (({x, y, width, height}) => ({x, y, width, height}))(header.getBoundingClientRect());
    const box = app.canvas.canvas.getBoundingClientRect(), scale = app.canvas.ds.scale;
    const [x, y] = app.canvas.ds.convertOffsetToCanvas([node.pos[0] + 30, node.pos[1] - 26]);
    return {x: x + box.left, y: y + box.top, width: 120 * scale, height: 22 * scale};
}"""

Box = tuple[int, str, float, float, float, float]


def overlap(one: Box, other: Box) -> bool:
    """Whether two boxes share more than an edge."""
    across = min(one[4], other[4]) - max(one[2], other[2])
    down = min(one[5], other[5]) - max(one[3], other[3])
    return across > SLACK and down > SLACK


def crossed(points: list[tuple[float, float]], node: Box) -> bool:
    """Whether a wire passes over a node's title."""
    _, _, left, top, right, _ = node
    return any(left < x < right and top + SLACK < y < top + TITLE - SLACK for x, y in points)


def luminance(colour: tuple[int, ...]) -> float:
    """Relative luminance of sRGB values, as WCAG 2 defines it."""
    red, green, blue = (
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4
        for each in (value / 255 for value in colour[:3])
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(page: Page, clip: dict[str, float]) -> float:
    """Contrast of the text in a part of the page with what is behind it, the part's most frequent colour."""
    shot = Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")  # type: ignore[arg-type]
    colours = sorted(shot.getcolors(2**24) or [], reverse=True)
    behind = luminance(colours[0][1])
    others = [luminance(colour) for _, colour in colours]
    return max((max(each, behind) + 0.05) / (min(each, behind) + 0.05) for each in others)


def note_contrast(page: Page, theme: str) -> tuple[float, float]:
    """Of the note's title and of its text, in a theme of ComfyUI."""
    page.evaluate("theme => app.extensionManager.setting.set('Comfy.ColorPalette', theme)", theme)
    page.evaluate(CLOSE_UP)
    steady(page, "[app.canvas.ds.scale, ...app.canvas.ds.offset]")
    settled(page)
    text = page.locator(".comfy-markdown, .comfy-markdown-content").locator("p:visible, li:visible").first
    clip = text.bounding_box()
    assert clip
    return contrast(page, page.evaluate(TITLE_BAR)), contrast(page, dict(clip))


def complete(graph: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """A graph in API form with the inputs that the server adds, and without its nodes' titles."""
    whole = {}
    for key, node in graph.items():
        fields = known[node["class_type"]]["input"]
        specs = {**fields.get("required", {}), **fields.get("optional", {})}
        added = {name: spec[1]["default"] for name, spec in specs.items() if "default" in (*spec, {})[1]}
        whole[key] = {**node, "inputs": {**added, **node["inputs"]}, "_meta": None}
    return whole


def test_shipped_workflows_are_tidy(
    vue: bool, page: Page, comfy: Server, to_api: Callable[..., dict[str, Any]]
) -> None:
    """And the page sends what test_workflows runs."""
    page_errors = PageErrors(page)
    known = comfy.client.get_json("/object_info")
    open_quickstart(page, comfy, vue)
    seen = {theme: note_contrast(page, theme) for theme in ("light", "dark")}
    assert min(value for both in seen.values() for value in both) >= READABLE, seen
    faults = []
    for file in sorted((comfy_server.ROOT / "workflows").glob("*.json")):
        graph = json.loads(file.read_text(encoding="utf-8"))
        page.evaluate("graph => app.loadGraphData(graph)", graph)
        nodes: list[Box] = steady(page, BOXES, vue)  # they take their sizes
        assert len(nodes) == len(graph["nodes"])
        sent = page.evaluate("app.graphToPrompt().then(({output}) => output)")
        assert complete(sent, known) == complete(to_api(graph, known), known), file.stem
        if not all(page.evaluate(NOTES)):
            faults.append(f"{file.stem}: the note is too small")
        for index, node in enumerate(nodes):
            faults += [
                f"{file.stem}: {node[1]} over {other[1]}"
                for other in nodes[index + 1 :]
                if overlap(node, other)
            ]
        names = {node[0]: node[1] for node in nodes}
        for source, target, points in page.evaluate(WIRES):
            faults += [
                f"{file.stem}: {names[source]} to {names[target]} over {node[1]}"
                for node in nodes
                if node[0] not in (source, target) and crossed(points, node)
            ]
    assert not faults, "\n".join(faults)
    assert not page_errors.found, page_errors.found
