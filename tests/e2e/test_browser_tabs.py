"""Several tabs at one server, a tab closed during a run, a cancelled sweep, and a finger on the pad."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

import comfy_server
from browser_page import READY_MS, SAMPLER, Trouble, open_quickstart, open_workflow, run_to_the_end
from runner.server import Server

BOTH = pytest.mark.parametrize("vue", [False, True], ids=["canvas", "nodes2"])
STRIP_RUN = "document.querySelector('.echogen-panel .strip').dataset.run"


@pytest.fixture
def second_page(browser: Browser) -> Iterator[Page]:
    """Another person's tab, which shares nothing with the first."""
    context = browser.new_context(viewport={"width": 1600, "height": 1000}, has_touch=True)
    yield context.new_page()
    context.close()


def live_on(page: Page) -> None:
    """Presses Live."""
    page.locator(".echogen-panel").get_by_role("button", name="Live").click()


def let_go_at(page: Page, across: float) -> None:
    """Drags the dot and lets it go."""
    box = page.locator(".echogen-pad svg").bounding_box()
    assert box
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + across * box["width"], box["y"] + 0.3 * box["height"], steps=4)
    page.mouse.up()


def finished_run(page: Page, former: str = "") -> str:
    """Waits until the strip is full with another run than `former`; that run's id."""
    page.wait_for_function(
        f"""former => {STRIP_RUN} && {STRIP_RUN} !== former &&
            !document.querySelector('.echogen-panel .strip > button').disabled""",
        arg=former,
        timeout=READY_MS,
    )
    return str(page.evaluate(STRIP_RUN))


def gammas(page: Page) -> tuple[float, float]:
    """γ_t and γ_I as the graph has them."""
    gamma_t, gamma_i = page.evaluate(f"{SAMPLER}.widgets.slice(0, 2).map(w => w.value)")
    return gamma_t, gamma_i


def waiting(comfy: Server) -> set[str]:
    """Ids of the runs that wait."""
    return {entry[1] for entry in comfy.client.get_json("/queue")["queue_pending"]}


@BOTH
def test_two_tabs_leave_each_other_alone(vue: bool, page: Page, second_page: Page, comfy: Server) -> None:
    troubles = [Trouble(page), Trouble(second_page)]
    for tab in (page, second_page):
        open_quickstart(tab, comfy, vue)
        live_on(tab)
    let_go_at(page, 0.8)
    mine = finished_run(page)
    assert not second_page.evaluate(STRIP_RUN), "the other tab shows nothing of it"
    let_go_at(second_page, 0.6)
    theirs = finished_run(second_page)
    assert theirs != mine == page.evaluate(STRIP_RUN)

    long = comfy_server.changed(comfy_server.single(), "EchoGenSampler", batch=64, seed=2000 + vue)
    blocking = comfy.client.queue(long)
    for tab, across in ((page, 0.35), (second_page, 0.4)):
        let_go_at(tab, across)
        tab.locator(".echogen-panel").get_by_text("waiting").wait_for(timeout=READY_MS)
    page.wait_for_timeout(500)
    both = waiting(comfy)
    assert len(both) == 2
    live_on(page)  # off
    page.wait_for_timeout(1000)
    (left,) = waiting(comfy)
    assert left in both
    assert comfy.client.wait(blocking)["status"]["status_str"] == "success"
    assert finished_run(second_page, theirs) == left, "the other tab's run goes on"
    assert [trouble.found for trouble in troubles] == [[], []]


def test_a_tab_closed_during_a_run_harms_nothing(page: Page, second_page: Page, comfy: Server) -> None:
    open_quickstart(second_page, comfy, False)
    second_page.evaluate(f"{SAMPLER}.widgets.find(w => w.name === 'batch').value = 48")
    live_on(second_page)
    let_go_at(second_page, 0.7)
    second_page.wait_for_function(STRIP_RUN, timeout=READY_MS)
    run = second_page.evaluate(STRIP_RUN)
    second_page.close()

    trouble = Trouble(page)
    open_quickstart(page, comfy, False)
    entry = run_to_the_end(page, comfy)
    assert entry["status"]["status_str"] == "success"
    assert comfy.client.wait(run)["status"]["status_str"] == "success", "what was begun is not lost"
    assert not trouble.found, trouble.found


@BOTH
def test_a_cancelled_sweep_keeps_its_cells(vue: bool, page: Page, comfy: Server) -> None:
    trouble = Trouble(page)
    open_workflow(page, comfy, vue, "gamma-sweep")
    sweep = "app.graph._nodes.find(n => n.type === 'EchoGenGammaSweep')"
    offset = 0.01 * vue  # or the second run would come from the cache
    for name in ("gamma_t", "gamma_i"):
        values = ", ".join(str(0.5 * index + offset) for index in range(12))
        page.evaluate(f"{sweep}.widgets.find(w => w.name === '{name}').value = '{values}'")
    page.get_by_role("button", name="Run", exact=True).click()
    cells = page.locator(".echogen-sweep button:not([disabled])")
    cells.nth(10).wait_for(timeout=READY_MS)
    comfy.client.post_json("/interrupt", {})
    page.wait_for_timeout(2000)
    count = cells.count()
    assert 10 < count < 144
    page.wait_for_timeout(1500)
    assert cells.count() == count, "it has stopped"
    view = page.locator(".echogen-sweep")
    assert f"{count} / 144" in view.inner_text()
    title = str(cells.nth(5).get_attribute("title"))
    cells.nth(5).click()
    gamma_t, gamma_i = gammas(page)
    assert f"γ_t {gamma_t:g}, γ_I {gamma_i:g}" in title, "a finished cell still gives its γ"
    assert not comfy.client.get_json("/queue")["queue_running"]
    assert not trouble.found, trouble.found


def test_a_finger_on_the_pad(second_page: Page, comfy: Server) -> None:
    trouble = Trouble(second_page)
    open_quickstart(second_page, comfy, True)
    box = second_page.locator(".echogen-pad svg").bounding_box()
    assert box
    second_page.touchscreen.tap(box["x"] + 0.9 * box["width"], box["y"] + 0.8 * box["height"])
    gamma_t, gamma_i = gammas(second_page)
    assert gamma_t > 4 > 2 > gamma_i
    assert not trouble.found, trouble.found
