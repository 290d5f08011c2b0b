"""App mode, where a front end has it: the pad under its label, at work, and back in its node."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Page, expect

import comfy_server
from browser_page import (
    SAMPLER,
    PageErrors,
    drag_dot,
    finished_run,
    fit_view,
    gammas,
    open_quickstart,
    press_live,
    settled,
    until,
)
from runner.server import Server

HAS_APP_MODE = "app.extensionManager.setting.get('Comfy.AppBuilder.VueNodeSwitchDismissed') !== undefined"
VIEWS = {
    "Quickstart": "γ pad",
    "Sweep - every pair of gammas": "Grid",
    "Schedule - guidance by scale": "Curves",
}
ITEM = "[data-testid=app-mode-widget-item]"
PICTURES = f"""[...document.querySelectorAll('img')].filter(image => image.naturalWidth > 200
    && !image.closest('.echogen-panel') && !image.closest('{ITEM}')).map(image => image.src)"""


def as_app(name: str, inputs: list[str], node_type: str = "EchoGenSampler") -> dict[str, Any]:
    """A shipped workflow that opens as an app: inputs of one node, and what Preview Image shows."""
    path = comfy_server.ROOT / "workflows" / f"{name}.json"
    graph: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    node = next(node["id"] for node in graph["nodes"] if node["type"] == node_type)
    shows = next(node["id"] for node in graph["nodes"] if node["type"] == "PreviewImage")
    graph["extra"] = {
        **graph["extra"],
        "linearData": {"inputs": [[node, name] for name in inputs], "outputs": [shows]},
        "linearMode": True,
    }
    return graph


def linear_data(name: str) -> dict[str, Any]:
    """What a shipped workflow shows as an app."""
    path = comfy_server.ROOT / "workflows" / f"{name}.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))["extra"]["linearData"])


def open_app(page: Page, graph: dict[str, Any]) -> None:
    """Opens a workflow and waits for its inputs."""
    page.evaluate("graph => app.loadGraphData(graph)", graph)
    count = len(graph["extra"]["linearData"]["inputs"])
    page.locator(ITEM).nth(count - 1).wait_for()
    settled(page)


@pytest.mark.parametrize("vue", [True], ids=["nodes2"], indirect=True)
def test_every_view_has_a_label(vue: bool, page: Page, comfy: Server) -> None:
    open_quickstart(page, comfy, vue)
    for name, label in VIEWS.items():
        path = comfy_server.ROOT / "workflows" / f"{name}.json"
        page.evaluate("graph => app.loadGraphData(graph)", json.loads(path.read_text(encoding="utf-8")))
        settled(page)
        labels = page.evaluate(
            """app.graph._nodes.flatMap(node => node.widgets ?? [])
                .filter(widget => widget.type.startsWith('echogen_')).map(widget => widget.label)"""
        )
        assert label in labels and None not in labels, name


@pytest.mark.on_newest
def test_the_pad_in_app_mode(vue: bool, page: Page, comfy: Server) -> None:
    page_errors = PageErrors(page)
    open_quickstart(page, comfy, vue)
    if not page.evaluate(HAS_APP_MODE):
        return  # nothing to show there; the labels are tested above
    app = as_app("Quickstart", ["gamma_t", "gamma_i"])
    shipped = linear_data("Quickstart")
    app["extra"]["linearData"]["inputs"] = shipped["inputs"] + app["extra"]["linearData"]["inputs"]
    assert app["extra"]["linearData"]["outputs"] == shipped["outputs"]
    open_app(page, app)
    labels = page.locator(f"{ITEM} [data-testid=builder-widget-label]").all_inner_texts()
    assert labels == ["picture", "prompt", "γ pad", "γ_t (prompt)", "γ_I (subject)"]

    start = gammas(page)
    drag_dot(page, 0.8, 0.3)
    dragged = gammas(page)
    assert dragged[0] > start[0] + 1 > start[1] > dragged[1]
    field = page.locator(ITEM).nth(3).get_by_role("spinbutton")
    until(page, lambda: float(field.input_value()) == pytest.approx(dragged[0]), "its field follows")
    page.locator(".echogen-pad svg").focus()
    page.keyboard.press("ArrowUp")
    assert gammas(page) == pytest.approx((dragged[0], dragged[1] + 0.25))
    page.get_by_role("button", name="More subject").click()
    assert gammas(page) == (0, 4)

    field.fill("3.5")
    field.press("Enter")
    values = page.locator(".echogen-pad text.values")
    expect(values).to_have_text("γ_t 3.5, γ_I 4")
    assert gammas(page)[0] == 3.5
    assert values.get_attribute("font-size") == "11", "nothing is zoomed here"

    press_live(page)
    drag_dot(page, 0.4, 0.7)
    before = finished_run(page)
    page.wait_for_function(f"{PICTURES}.some(source => source.includes('filename='))")
    shown = page.evaluate(PICTURES)
    drag_dot(page, 0.7, 0.4)
    finished_run(page, before)
    page.wait_for_function(
        f"shown => {PICTURES}.some(source => source.includes('filename=') && !shown.includes(source))",
        arg=shown,
    )
    page.screenshot(path=comfy_server.results_path() / f"browser_app_{'nodes2' if vue else 'canvas'}.png")
    press_live(page)

    page.evaluate("app.extensionManager.command.execute('Comfy.ToggleLinear')")
    settled(page)
    fit_view(page)
    drag_dot(page, 0.3, 0.6)
    back = gammas(page)
    assert back[0] < 2 < back[1], "back in its node it goes on"
    assert page.locator(".echogen-pad").count() == 1
    page.evaluate(f"app.graph.remove({SAMPLER})")
    expect(page.locator(".echogen-panel")).to_have_count(0)
    assert not page_errors.found, page_errors.found
