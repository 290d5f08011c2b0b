"""A finger on the pad, several tabs at one server, a tab closed during a run, and a cancelled sweep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page

import comfy_server
from browser_page import (
    SAMPLER,
    STRIP,
    PageErrors,
    drag_dot,
    finished_run,
    gammas,
    hear,
    heard,
    open_quickstart,
    open_workflow,
    press_live,
    run_on_show,
    run_to_the_end,
    set_widget,
    settled,
    until,
    waiting_runs,
)
from runner.server import Server


@pytest.mark.parametrize("vue", [False], ids=["canvas"], indirect=True)
def test_a_finger_on_the_pad(vue: bool, second_page: Page, comfy: Server) -> None:
    page_errors = PageErrors(second_page)
    open_quickstart(second_page, comfy, vue)
    box = second_page.locator(".echogen-pad svg").bounding_box()
    assert box
    second_page.touchscreen.tap(box["x"] + 0.9 * box["width"], box["y"] + 0.8 * box["height"])
    gamma_t, gamma_i = gammas(second_page)
    assert gamma_t > 4 > 2 > gamma_i
    assert not page_errors.found, page_errors.found


@pytest.mark.parametrize("vue", [False], ids=["canvas"], indirect=True)
def test_two_tabs_leave_each_other_alone(
    vue: bool, page: Page, second_page: Page, comfy: Server, tmp_path: Path
) -> None:
    troubles = [PageErrors(page), PageErrors(second_page)]
    for tab in (page, second_page):
        open_quickstart(tab, comfy, vue)
        press_live(tab)
    drag_dot(page, 0.8, 0.7)
    mine = finished_run(page)
    assert not run_on_show(second_page), "the other tab shows nothing of it"
    drag_dot(second_page, 0.6, 0.7)
    theirs = finished_run(second_page)
    assert theirs != mine == run_on_show(page)

    blocking = comfy.client.queue(comfy_server.gate(tmp_path / "open"))
    for tab, across in ((page, 0.35), (second_page, 0.4)):
        drag_dot(tab, across, 0.7)
        tab.locator(".echogen-panel").get_by_text("queued").wait_for()
    until(page, lambda: len(waiting_runs(comfy)) == 2, "a waiting run of each tab")
    both = waiting_runs(comfy)
    press_live(page)  # off
    until(page, lambda: len(waiting_runs(comfy)) == 1, "one of them is taken back")
    (left,) = waiting_runs(comfy)
    assert left in both
    (tmp_path / "open").touch()
    assert comfy.client.wait(blocking)["status"]["status_str"] == "success"
    assert finished_run(second_page, theirs) == left, "the other tab's run goes on"
    assert [page_errors.found for page_errors in troubles] == [[], []]


def run_behind_a_gate(page: Page, comfy: Server, file: Path) -> str:
    """Presses Run, and waits until it has begun; its sampler draws once the file is there. The run's id."""
    page.evaluate(
        f"""file => {{
            const gate = LiteGraph.createNode('TestGate');
            app.graph.add(gate);
            gate.widgets[0].value = file;
            gate.connect(0, {SAMPLER}, {SAMPLER}.inputs.findIndex(({{name}}) => name === 'gamma_t'));
        }}""",
        str(file),
    )
    page.get_by_role("button", name="Run", exact=True).click()
    until(page, lambda: bool(comfy.client.get_json("/queue")["queue_running"]), "its beginning")
    return str(comfy.client.get_json("/queue")["queue_running"][0][1])


@pytest.mark.parametrize("vue", [False], ids=["canvas"], indirect=True)
def test_runs_of_other_workflows_are_not_shown(vue: bool, page: Page, comfy: Server, tmp_path: Path) -> None:
    """Each has nodes with the same ids."""
    page_errors = PageErrors(page)
    open_quickstart(page, comfy, vue)
    elsewhere = run_behind_a_gate(page, comfy, tmp_path / "open")
    graph = json.loads((comfy_server.ROOT / "workflows" / "Quickstart.json").read_text(encoding="utf-8"))
    graph["id"] = "0b6f3c4e-4a3a-4a57-9b7e-5d1d3c0c9a11"
    page.evaluate("graph => app.loadGraphData(graph)", graph)
    page.wait_for_function(f"app.graph.id === {json.dumps(graph['id'])} && {STRIP}")
    hear(page, "b_preview_with_metadata")
    (tmp_path / "open").touch()
    heard(page, times=2)
    assert not run_on_show(page), "the other workflow's pictures"
    press_live(page)
    drag_dot(page, 0.7, 0.6)
    assert finished_run(page) != elsewhere
    assert not page_errors.found, page_errors.found


@pytest.mark.parametrize("vue", [False], ids=["canvas"], indirect=True)
def test_two_files_with_one_number_keep_their_own_strips(
    vue: bool, page: Page, comfy: Server, tmp_path: Path
) -> None:
    """As quickstart saved under another name, and quickstart opened again."""
    page_errors = PageErrors(page)
    open_quickstart(page, comfy, vue)
    page.evaluate(
        """async name => {
            const store = app.extensionManager.workflow;
            await store.renameWorkflow(store.activeWorkflow, `workflows/${name}.json`);
            await store.saveWorkflow(store.activeWorkflow);
        }""",
        "cat",
    )
    run_behind_a_gate(page, comfy, tmp_path / "open")
    number = page.evaluate("app.graph.id")
    graph = json.loads((comfy_server.ROOT / "workflows" / "Quickstart.json").read_text(encoding="utf-8"))
    graph["id"] = number
    page.evaluate("graph => app.loadGraphData(graph, true, true, 'Quickstart')", graph)
    gates = "app.graph._nodes.filter(n => n.type === 'TestGate').length"
    page.wait_for_function(f"{gates} === 0 && {SAMPLER} && {STRIP}")
    assert page.evaluate("app.graph.id") == number
    hear(page, "b_preview_with_metadata")
    (tmp_path / "open").touch()
    heard(page, times=2)
    settled(page)
    assert not run_on_show(page), "the other file's pictures"
    assert not page_errors.found, page_errors.found


@pytest.mark.parametrize("vue", [False], ids=["canvas"], indirect=True)
def test_a_tab_closed_during_a_run_harms_nothing(
    vue: bool, page: Page, second_page: Page, comfy: Server
) -> None:
    open_quickstart(second_page, comfy, vue)
    set_widget(second_page, SAMPLER, "batch", 8)
    press_live(second_page)
    drag_dot(second_page, 0.7, 0.7)
    second_page.wait_for_function(f"{STRIP}.dataset.run")
    run = run_on_show(second_page)
    second_page.close()

    page_errors = PageErrors(page)
    open_quickstart(page, comfy, vue)
    entry = run_to_the_end(page, comfy)
    assert entry["status"]["status_str"] == "success"
    assert comfy.client.wait(run)["status"]["status_str"] == "success", "what was begun is not lost"
    assert not page_errors.found, page_errors.found


@pytest.mark.parametrize("vue", [False], ids=["canvas"], indirect=True)
def test_a_cancelled_sweep_keeps_its_cells(vue: bool, page: Page, comfy: Server) -> None:
    page_errors = PageErrors(page)
    open_workflow(page, comfy, vue, "Sweep - every pair of gammas")
    sweep = "app.graph._nodes.find(n => n.type === 'EchoGenGammaSweep')"
    for name in ("gamma_t", "gamma_i"):
        values = ", ".join(str(0.5 * index) for index in range(12))
        page.evaluate(f"{sweep}.widgets.find(w => w.name === '{name}').value = '{values}'")
    page.get_by_role("button", name="Run", exact=True).click()
    cells = page.locator(".echogen-sweep button:not([disabled])")
    cells.nth(10).wait_for()
    comfy.client.post_json("/interrupt", {})
    until(page, lambda: not comfy.client.get_json("/queue")["queue_running"], "the sweep's end")
    settled(page)
    count = cells.count()
    assert 10 < count < 144
    settled(page, 500)
    assert cells.count() == count, "it has stopped"
    view = page.locator(".echogen-sweep")
    assert f"{count} / 144" in view.inner_text()
    title = str(cells.nth(5).get_attribute("title"))
    cells.nth(5).click()
    gamma_t, gamma_i = gammas(page)
    assert f"γ_t {gamma_t:g}, γ_I {gamma_i:g}" in title, "a finished cell still gives its γ"
    assert not comfy.client.get_json("/queue")["queue_running"]
    assert not page_errors.found, page_errors.found
