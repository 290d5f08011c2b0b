"""The page that the other browser tests share: nothing of one test is left for the next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from shared_page import SharedPage

import comfy_server
from browser_page import (
    SAMPLER,
    drag_dot,
    finished_run,
    gammas,
    open_quickstart,
    press_live,
    run_on_show,
    tidy_up,
)
from runner.server import Server


def state(page: Page) -> dict[str, Any]:
    """What a person finds in the page, less the numbers that differ each time."""
    graph = page.evaluate("app.graph.serialize()")
    nodes = sorted(graph["nodes"], key=lambda node: int(node["id"]))
    return {
        "nodes": [(node["type"], node.get("widgets_values"), node.get("flags")) for node in nodes],
        "links": len(graph["links"]),
        "properties": [node["properties"] for node in nodes if node["type"] == "EchoGenSampler"],
        "workflows": page.evaluate("app.extensionManager.workflow.openWorkflows.length"),
        "pads": page.locator(".echogen-pad").count(),
        "dialogs": page.get_by_role("dialog").count(),
        "selected": page.evaluate("app.canvas.selectedItems.size"),
        "undo": page.evaluate("app.extensionManager.workflow.activeWorkflow.changeTracker.undoQueue.length"),
        "subgraph": page.evaluate("!!app.canvas.subgraph"),
        "run": run_on_show(page),
    }


@pytest.mark.parametrize("vue", [False], ids=["canvas"], indirect=True)
def test_nothing_of_one_test_is_left_for_the_next(
    vue: bool, page: Page, comfy: Server, tmp_path: Path
) -> None:
    open_quickstart(page, comfy, vue)
    open_quickstart(page, comfy, vue)
    before = state(page)
    assert (before["workflows"], before["pads"], before["dialogs"], before["run"]) == (1, 1, 0, "")

    press_live(page)
    drag_dot(page, 0.8, 0.3)
    finished_run(page)
    page.locator(".echogen-panel").get_by_role("button", name="Pin").click()
    page.evaluate(f"app.canvas.selectNode({SAMPLER})")
    page.evaluate(f"() => {{ app.canvas.graph.convertToSubgraph(new Set([{SAMPLER}])) }}")
    page.evaluate(
        "() => { const host = app.graph._nodes.find(n => n.subgraph); "
        "app.canvas.openSubgraph(host.subgraph, host) }"
    )
    page.evaluate("void app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    page.get_by_role("dialog").first.wait_for()
    for name in ("one", "two"):
        comfy.client.queue(comfy_server.gate(tmp_path / name))
    assert state(page) != before

    tidy_up(page, comfy)
    open_quickstart(page, comfy, vue)
    assert state(page) == before
    queue = comfy.client.get_json("/queue")
    assert not queue["queue_running"] and not queue["queue_pending"]
    drag_dot(page, 0.3, 0.6)
    moved = gammas(page)
    assert moved[0] < 2 < moved[1], "and it can be worked with"


def test_after_a_failure_the_page_is_another_one(browser: Browser) -> None:
    shared = SharedPage(browser)
    first = shared.take()
    assert shared.take() is first
    shared.close()
    assert first.is_closed() and not shared.take().is_closed()
    shared.close()
