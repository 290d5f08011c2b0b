"""γ Sweep's cells and Guidance Schedule's curves in a real Chromium."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

import comfy_server
from browser_page import (
    SWEEP,
    PageErrors,
    gammas,
    open_workflow,
    run_to_the_end,
    set_widget,
    settled,
    until,
    widget,
)
from runner.server import Server

STEP_ENDS_MS = 300  # arrow keys within a quarter of a second are one step of undo
SCHEDULE = "app.graph._nodes.find(n => n.type === 'EchoGenGuidanceSchedule')"


def open_schedule(page: Page, comfy: Server, vue: bool) -> Locator:
    """Opens the workflow and fills the window with the schedule, hidden from afar by Nodes 2.0; its view."""
    open_workflow(page, comfy, vue, "Schedule - guidance by scale")
    page.evaluate(f"app.canvas.ds.fitToBounds({SCHEDULE}.boundingRect); app.canvas.setDirty(true, true)")
    settled(page)
    return page.locator(".echogen-schedule")


def undo(page: Page) -> None:
    """Presses Ctrl+Z outside all fields."""
    page.evaluate("document.activeElement.blur()")
    settled(page, STEP_ENDS_MS)
    page.keyboard.press("Control+z")


@pytest.mark.parametrize("vue", [True], ids=["nodes2"], indirect=True)
def test_cells_appear_and_a_click_sets_the_sampler(vue: bool, page: Page, comfy: Server) -> None:
    page_errors = PageErrors(page)
    open_workflow(page, comfy, vue, "Sweep - every pair of gammas")
    before = gammas(page)
    set_widget(page, SWEEP, "gamma_t", "0-8 (+1)")
    set_widget(page, SWEEP, "gamma_i", "1.5, 0.5")
    run_to_the_end(page, comfy)

    view = page.locator(".echogen-sweep")
    view.get_by_text("18 / 18").wait_for()
    page.wait_for_function(
        "[...document.querySelectorAll('.echogen-sweep img')].filter(i => i.naturalWidth).length === 18"
    )
    assert view.locator(".cells").evaluate("e => e.scrollWidth > e.clientWidth"), "too wide for the node"
    cell, label = view.get_by_title("γ_t 7, γ_I 1.5"), view.locator(".label.down").nth(1)
    start = label.bounding_box()
    cell.scroll_into_view_if_needed()
    assert start and label.bounding_box() == pytest.approx(start), "the labels stay in view"
    page.screenshot(path=comfy_server.results_path() / "browser_sweep.png")
    cell.click()
    assert gammas(page) == (7, 1.5)
    expect(cell).to_have_attribute("aria-pressed", "true")

    undo(page)
    until(page, lambda: gammas(page) == before, "undo")
    settled(page)
    view.get_by_text("18 / 18").wait_for()
    assert page.locator(".echogen-sweep").count() == 1, "undo makes the node anew, with its cells"
    page.evaluate(f"{SWEEP}.collapse()")
    expect(view).not_to_be_visible()
    page.evaluate(f"app.graph.remove({SWEEP})")
    expect(view).to_have_count(0)
    assert not page_errors.found, page_errors.found


@pytest.mark.parametrize(
    ("vue", "first"),
    [(False, "preset"), (True, "preset"), (True, "title")],
    ids=["canvas-preset", "nodes2-preset", "nodes2-title"],
    indirect=["vue"],
)
def test_a_drag_after_a_click_moves_the_point_and_not_the_node(
    first: str, vue: bool, page: Page, comfy: Server
) -> None:
    page_errors = PageErrors(page)
    view = open_schedule(page, comfy, vue)
    preset = view.get_by_role("button", name="Constant")
    if first == "title":
        page.locator(f'[data-node-id="{page.evaluate(f"{SCHEDULE}.id")}"] .lg-node-header').click()
    else:
        preset.click()
    settled(page)
    place = page.evaluate(f"[...{SCHEDULE}.pos]")
    box = view.locator("circle[data-index='2']").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    heights = []
    for up in (5, 10, 15):
        page.mouse.move(x, y - up, steps=2)
        heights.append(float(widget(page, SCHEDULE, "points_t").split(",")[2]))
    page.mouse.up()
    assert 2.5 < heights[0] < heights[1] < heights[2] < 8
    assert page.evaluate(f"[...{SCHEDULE}.pos]") == place
    assert not page_errors.found, page_errors.found


@pytest.mark.parametrize("vue", [True], ids=["nodes2"], indirect=True)
def test_the_curves_move_the_schedules_widgets(vue: bool, page: Page, comfy: Server) -> None:
    page_errors = PageErrors(page)
    view = open_schedule(page, comfy, vue)
    legend = view.locator(".legend")
    preset = "app.graph._nodes.find(n => n.type === 'EchoGenLoadBundle')"
    for model, scales in (("EchoGen-2B", 13), ("EchoGen-0.1B", 7), ("nano (built in)", 5)):
        set_widget(page, preset, "preset", model)
        expect(legend).to_contain_text(f"{scales} scales")
        expect(view.locator("circle[data-index]")).to_have_count(scales)
    handle = view.locator("circle[data-index='2']")
    box = handle.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    expect(view.locator(".status"), "numbers on hover").to_contain_text("3/5")
    page.mouse.down()
    page.mouse.move(x, y + 5, steps=2)
    page.mouse.move(x, y + 12, steps=2)
    page.mouse.up()
    assert widget(page, SCHEDULE, "shape") == "drawn"
    points = [float(point) for point in widget(page, SCHEDULE, "points_t").split(",")]
    start, other, end = (widget(page, SCHEDULE, name) for name in ("gamma_t", "gamma_i", "end"))
    assert len(points) == 5 and points[2] < start and points[:2] == [start] * 2
    untouched = [float(point) for point in widget(page, SCHEDULE, "points_i").split(",")]
    assert untouched == [other] * 3 + [end] * 2, "the other curve is the preset's"
    page.screenshot(path=comfy_server.results_path() / "browser_schedule.png")

    page.keyboard.press("ArrowUp")
    assert float(widget(page, SCHEDULE, "points_t").split(",")[2]) == pytest.approx(points[2] + 0.1)
    view.get_by_title("Linear").click()
    assert widget(page, SCHEDULE, "shape") == "linear"
    undo(page)
    until(page, lambda: widget(page, SCHEDULE, "shape") == "drawn", "undo")
    settled(page)
    page.evaluate(f"app.graph.remove({SCHEDULE})")
    expect(view).to_have_count(0)
    assert not page_errors.found, page_errors.found
