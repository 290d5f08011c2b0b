"""Every shipped workflow looks tidy in a real Chromium: no node over another one or out of its group."""

from __future__ import annotations

import json

from playwright.sync_api import Page

import comfy_server
from browser_page import PageErrors, open_quickstart, steady
from runner.server import Server

SLACK = 2  # graph units, for rounding

# Each node's title and box in the graph's own units, as it is drawn.
BOXES = """app.graph._nodes.map(node => {
    if (!argument) {
        const [x, y, width, height] = node.boundingRect;
        return [node.title, x, y, x + width, y + height];
    }
    const {left, top, right, bottom} =
        document.querySelector(`[data-node-id="${node.id}"]`).getBoundingClientRect();
    const canvas = app.canvas.canvas.getBoundingClientRect();
    const at = (x, y) => app.canvas.ds.convertCanvasToOffset([x - canvas.left, y - canvas.top]);
    return [node.title, ...at(left, top), ...at(right, bottom)];
})"""
GROUPS = """() => app.graph._groups.map(group => {
    const [x, y, width, height] = group._bounding;
    return [group.title, x, y, x + width, y + height];
})"""

Box = tuple[str, float, float, float, float]


def overlap(one: Box, other: Box) -> bool:
    """Whether two boxes share more than an edge."""
    across = min(one[3], other[3]) - max(one[1], other[1])
    down = min(one[4], other[4]) - max(one[2], other[2])
    return across > SLACK and down > SLACK


def inside(node: Box, group: Box) -> bool:
    """Whether a node lies within a group, its frame included."""
    starts = node[1] >= group[1] - SLACK and node[2] >= group[2] - SLACK
    return starts and node[3] <= group[3] + SLACK and node[4] <= group[4] + SLACK


def test_shipped_workflows_are_tidy(vue: bool, page: Page, comfy: Server) -> None:
    page_errors = PageErrors(page)
    open_quickstart(page, comfy, vue)
    faults = []
    for file in sorted((comfy_server.ROOT / "workflows").glob("*.json")):
        graph = json.loads(file.read_text(encoding="utf-8"))
        page.evaluate("graph => app.loadGraphData(graph)", graph)
        nodes: list[Box] = steady(page, BOXES, vue)  # they take their sizes
        groups: list[Box] = page.evaluate(GROUPS)
        assert len(nodes) == len(graph["nodes"])
        for index, node in enumerate(nodes):
            if not any(inside(node, group) for group in groups):
                faults.append(f"{file.stem}: {node[0]} lies in no group")
            faults += [
                f"{file.stem}: {node[0]} over {other[0]}"
                for other in nodes[index + 1 :]
                if overlap(node, other)
            ]
    assert not faults, "\n".join(faults)
    assert not page_errors.found, page_errors.found
