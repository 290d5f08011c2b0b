"""What people do to a node besides running it: the sampler's panel lives, copies and ends with its node."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

import comfy_server
from browser_page import (
    SAMPLER,
    PageErrors,
    drag_dot,
    fit_view,
    open_quickstart,
    press_live,
    run_to_the_end,
    set_widget,
    settled,
    steady,
    until,
    widget,
)
from runner.server import Server

pytestmark = pytest.mark.on_newest

SAMPLERS = "app.graph._nodes.filter(n => n.type === 'EchoGenSampler')"

# Height of the panel, in pixels of the window.
FILLED = "document.querySelector('.echogen-panel').getBoundingClientRect().height"


def all_gammas(page: Page) -> list[list[float]]:
    """γ_t and γ_I of every sampler in the graph on show, oldest first."""
    return [
        list(pair)
        for pair in page.evaluate(
            f"{SAMPLERS}.sort((a, b) => a.id - b.id).map(n => n.widgets.slice(0, 2).map(w => w.value))"
        )
    ]


def pads(page: Page) -> Locator:
    """The pads that can be seen."""
    return page.locator(".echogen-pad:visible")


def drag_corner(page: Page, vue: bool, right: float, down: float) -> None:
    """Makes the sampler larger by its lower right corner, in pixels of the window."""
    corner = page.evaluate(
        """vue => {
            const node = app.graph._nodes.find(n => n.type === 'EchoGenSampler');
            if (vue) {
                const box = document.querySelector(`[data-node-id="${node.id}"]`).getBoundingClientRect();
                return [box.right, box.bottom];
            }
            const box = app.canvas.canvas.getBoundingClientRect();
            const [x, y] = app.canvas.ds.convertOffsetToCanvas(
                [node.pos[0] + node.size[0], node.pos[1] + node.size[1]]);
            return [box.left + x, box.top + y];
        }""",
        vue,
    )
    page.mouse.move(corner[0] - 3, corner[1] - 3)
    page.mouse.down()
    page.mouse.move(corner[0] + right, corner[1] + down, steps=4)
    page.mouse.up()
    settled(page)


def press(page: Page, keys: str) -> None:
    """Presses keys for the canvas, not for a field."""
    page.evaluate("document.activeElement.blur()")
    page.evaluate("app.canvas.canvas.focus()")
    page.keyboard.press(keys)
    settled(page)


def ends_clean(page: Page, page_errors: PageErrors) -> None:
    """Without its nodes nothing of the panel is left in the page, and the console had no error."""
    page.evaluate(f"{SAMPLERS}.forEach(n => app.graph.remove(n))")
    expect(page.locator(".echogen-panel"), "elements without a node").to_have_count(0)
    assert not page_errors.found, page_errors.found


def test_a_copy_has_its_own_pad(vue: bool, page: Page, comfy: Server) -> None:
    page_errors = PageErrors(page)
    open_quickstart(page, comfy, vue)
    (start,) = all_gammas(page)
    page.evaluate(f"app.canvas.selectNode({SAMPLER})")
    press(page, "Control+c")
    page.mouse.move(400, 500)  # at the left, where no other sampler is: nodes are pasted at the mouse
    press(page, "Control+v")
    until(page, lambda: all_gammas(page) == [start, start], "the copy")
    names = page.evaluate(f"{SAMPLERS}.map(n => n.inputs.find(i => i.name === 'gamma_t').localized_name)")
    assert names == ["γ_t (prompt)"] * 2
    fit_view(page)
    left = min(range(2), key=lambda index: (pads(page).nth(index).bounding_box() or {"x": 0})["x"])
    drag_dot(page, 0.8, 0.2, pads(page).nth(left))
    first, second = all_gammas(page)
    assert first == start != second, "the copy's pad moves the copy alone"
    page.evaluate("app.canvas.deselectAll()")
    page.evaluate(f"app.canvas.selectNode({SAMPLERS}.sort((a, b) => b.id - a.id)[0])")
    press(page, "Delete")
    assert all_gammas(page) == [start]
    expect(page.locator(".echogen-panel")).to_have_count(1)
    press(page, "Control+z")
    until(page, lambda: all_gammas(page) == [start, second], "undo brings the copy back as it was")
    expect(pads(page)).to_have_count(2)
    ends_clean(page, page_errors)


def test_the_pad_follows_typing_folding_size_and_zoom(vue: bool, page: Page, comfy: Server) -> None:
    page_errors = PageErrors(page)
    open_quickstart(page, comfy, vue)
    pad = page.locator(".echogen-pad")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    press_live(page)
    page.evaluate(
        f"{SAMPLER}.widgets.slice(0, 2).forEach((w, i) => {{ w.value = 5 + i; w.callback?.(w.value); }})"
    )
    settled(page)
    assert "5" in str(pad.locator("svg").get_attribute("aria-valuetext"))
    assert "6" in str(pad.locator("svg").get_attribute("aria-valuetext"))
    assert [url for url in sent if url.endswith("/prompt")] == [], "typing starts no run"

    before, filled = pad.bounding_box(), steady(page, FILLED)
    drag_corner(page, vue, 120, 60)
    wider = pad.bounding_box()
    assert before and wider and wider["width"] > before["width"] + 40
    assert steady(page, FILLED) - filled > 0.8 * 60, (
        "the panel takes what a node gains, in pixels of the window"
    )

    page.evaluate(f"{SAMPLER}.collapse()")
    settled(page)
    assert pads(page).count() == 0
    page.evaluate(f"{SAMPLER}.collapse()")
    settled(page)
    assert pads(page).count() == 1

    letters = int(str(pad.locator("text.values").get_attribute("font-size")))
    page.evaluate("app.canvas.ds.changeScale(app.canvas.ds.scale * 0.7); app.canvas.setDirty(true, true)")
    settled(page)
    smaller = pad.bounding_box()
    assert smaller and smaller["width"] == pytest.approx(wider["width"] * 0.7, rel=0.1)
    assert int(str(pad.locator("text.values").get_attribute("font-size"))) > letters, "numbers stay readable"
    drag_dot(page, 0.3, 0.8)
    (moved,) = all_gammas(page)
    assert moved[0] < 2 and moved[1] > 5, "the place on a zoomed pad is the place that was meant"
    ends_clean(page, page_errors)


def test_saved_and_opened_again_it_is_the_same(vue: bool, page: Page, comfy: Server) -> None:
    page_errors = PageErrors(page)
    open_quickstart(page, comfy, vue)
    drag_dot(page, 0.7, 0.35)
    press_live(page)
    settled(page)
    saved = page.evaluate("JSON.stringify(app.graph.serialize())")
    before = all_gammas(page)
    page.evaluate("app.graph.clear()")
    expect(page.locator(".echogen-panel")).to_have_count(0)
    page.evaluate("saved => app.loadGraphData(JSON.parse(saved))", saved)
    page.wait_for_function(f"!!{SAMPLER}")
    settled(page)
    assert all_gammas(page) == before
    assert page.locator(".echogen-pad").count() == 1
    live = page.locator(".echogen-panel").get_by_role("button", name="Live")
    assert live.get_attribute("aria-pressed") == "false", "Live is never saved as on"
    assert state_of(page.evaluate("app.graph.serialize()")) == state_of(page.evaluate("JSON.parse", saved))
    ends_clean(page, page_errors)


def state_of(graph: dict[str, Any]) -> dict[str, Any]:
    """The sampler's values and properties in a workflow file."""
    (node,) = [node for node in graph["nodes"] if node["type"] == "EchoGenSampler"]
    return {"values": node["widgets_values"], "properties": node["properties"]}


def test_in_a_subgraph_the_pad_works(vue: bool, page: Page, comfy: Server) -> None:
    page_errors = PageErrors(page)
    open_quickstart(page, comfy, vue)
    page.evaluate(f"() => {{ app.canvas.graph.convertToSubgraph(new Set([{SAMPLER}])) }}")
    host = "app.graph._nodes.find(n => n.subgraph)"
    page.wait_for_function(f"!!{host}")
    inner = f"{host}.subgraph._nodes.find(n => n.type === 'EchoGenSampler')"
    page.evaluate(f"() => {{ app.canvas.openSubgraph({host}.subgraph, {host}) }}")
    settled(page)
    fit_view(page)
    drag_dot(page, 0.85, 0.3, pads(page).first)
    root = "(app.rootGraph ?? app.graph)"
    sampler = f"{root}._nodes.find(n => n.subgraph).subgraph._nodes.find(n => n.type === 'EchoGenSampler')"
    gammas = page.evaluate(f"{sampler}.widgets.slice(0, 2).map(w => w.value)")
    assert gammas[0] > gammas[1], inner
    entry = run_to_the_end(page, comfy)
    inputs = comfy_server.inputs_of(entry["prompt"][2], "EchoGenSampler")
    assert [inputs["gamma_t"], inputs["gamma_i"]] == pytest.approx(gammas)
    strip = page.locator(".echogen-panel .scales img:visible")
    strip.nth(4).wait_for()
    assert strip.count() == 5, "the strip hears of runs inside subgraphs"
    page.evaluate(f"() => {{ app.canvas.setGraph({root}) }}")
    settled(page)
    assert pads(page).count() == 0, "not on show in the graph above"
    page.evaluate(f"app.graph.remove({root}._nodes.find(n => n.subgraph))")
    settled(page)
    assert not page_errors.found, page_errors.found


@pytest.mark.parametrize("vue", [True], ids=["nodes2"], indirect=True)
def test_a_run_leaves_the_style_of_other_nodes_alone(
    vue: bool, page: Page, browser: Browser, comfy: Server
) -> None:
    """A sheet that looks into any element, as `:has` does, costs each preview the style of the whole page."""
    open_quickstart(page, comfy, vue)
    run_to_the_end(page, comfy)
    elements = page.evaluate("document.querySelectorAll('*').length")
    set_widget(page, SAMPLER, "seed", widget(page, SAMPLER, "seed") + 1)
    browser.start_tracing(page=page, categories=["devtools.timeline"])
    run_to_the_end(page, comfy)
    events = json.loads(browser.stop_tracing())["traceEvents"]
    styled = [event["args"].get("elementCount", 0) for event in events if event["name"] == "UpdateLayoutTree"]
    assert len(styled) >= 5 and max(styled) < elements / 5, (elements, styled)
