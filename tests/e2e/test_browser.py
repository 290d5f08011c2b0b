"""A real Chromium opens the quickstart, moves γ_I, runs it and sees the new picture, in both renderers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import FloatRect, Page, expect

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
    pictures_of,
    press_live,
    run_on_show,
    run_to_the_end,
    set_widget,
    settled,
    small_window,
    steady,
    until,
    waiting_runs,
    widget,
)
from echogen_core.config import PRESETS
from runner.server import Server

STEP_ENDS_MS = 300  # arrow keys within a quarter of a second are one step of undo: gamma_pad.js


def gamma(page: Page) -> float:
    """γ_I as the graph has it."""
    return float(page.evaluate(f"{SAMPLER}.widgets.find(w => w.name === 'gamma_i').value"))


# Heights of the sampler's node and its pad, in the graph's units.
SIZES = f"""[{SAMPLER}.size[1], document.querySelector('.echogen-pad svg').clientHeight]"""
# Number of the front end's own views of a picture in progress in the sampler.
NATIVE_VIEWS = f"""({SAMPLER}.imgs?.length ?? 0) +
    [...document.querySelectorAll(`[data-node-id="${{{SAMPLER}.id}}"] img`)]
        .filter(image => !image.closest('.echogen-panel') && image.offsetHeight).length"""
# The node that shows the finished picture largest: fed, perhaps through others, by Decode Bits.
SHOWING = """(() => {
    const source = n => n.inputs[0] && app.graph.getNodeById(app.graph.links[n.inputs[0].link]?.origin_id);
    const decoded = n => n && (n.type === 'EchoGenDecodeBits' || decoded(source(n)));
    const area = n => n.size[0] * n.size[1];
    return app.graph._nodes.filter(n => ['SaveImage', 'PreviewImage'].includes(n.type) && decoded(n))
        .sort((a, b) => area(b) - area(a))[0].id;
})()"""

# Whether the browser's database has the strip of a run that this page queued: strip_store.js.
HAS_STRIP = """async run => {
    const {runs} = JSON.parse(sessionStorage.getItem('EchoGen.runs'));
    const [work] = Object.values(runs.find(([id]) => id === run)[3]);
    const done = request => new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
    });
    if (!(await indexedDB.databases()).some(({name}) => name === 'EchoGen')) return false;
    const database = await done(indexedDB.open('EchoGen'));
    try {
        return await done(database.transaction('strips').objectStore('strips').count(work)) === 1;
    } finally {
        database.close();
    }
}"""


def drag_gamma_on_canvas(page: Page, share: float) -> None:
    """Drags the slider of γ_I to `share` of its width, with the mouse, on the classic canvas."""
    place = page.evaluate(
        """share => {
            const node = app.graph._nodes.find(n => n.type === 'EchoGenSampler');
            const widget = node.widgets.find(w => w.name === 'gamma_i'), margin = 15;
            const box = app.canvas.canvas.getBoundingClientRect();
            const at = x => {
                const [cx, cy] = app.canvas.ds.convertOffsetToCanvas([
                    node.pos[0] + margin + x * (node.size[0] - 2 * margin),
                    node.pos[1] + (widget.last_y ?? widget.y) + 12]);
                return [box.left + cx, box.top + cy];
            };
            const {min, max} = widget.options;
            return {from: at((widget.value - min) / (max - min)), to: at(share)};
        }""",
        share,
    )
    page.mouse.move(*place["from"])
    page.mouse.down()
    page.mouse.move(*place["to"], steps=6)
    page.mouse.up()


def drag_gamma_in_vue(page: Page, share: float) -> None:
    """Drags the slider's thumb to `share` of its track in Nodes 2.0."""
    node = page.evaluate(f"{SAMPLER}.id")
    slider = page.locator(f'[data-node-id="{node}"] [data-slot="slider"]').nth(1)
    track = slider.bounding_box()
    thumb = slider.get_by_role("slider").bounding_box()
    assert track and thumb
    page.mouse.move(thumb["x"] + thumb["width"] / 2, thumb["y"] + thumb["height"] / 2)
    page.mouse.down()
    page.mouse.move(track["x"] + share * track["width"], track["y"] + track["height"] / 2, steps=6)
    page.mouse.up()


def shown_pictures(page: Page, vue: bool) -> list[str]:
    """Addresses of the finished pictures that the page shows, loaded and not broken."""
    return pictures_of(page, page.evaluate(SHOWING), vue)


def run_and_wait(page: Page, comfy: Server, vue: bool) -> None:
    """Presses Run and waits until the page shows other pictures than before."""
    before = shown_pictures(page, vue)
    run_to_the_end(page, comfy)
    until(page, lambda: shown_pictures(page, vue) not in ([], before), f"a new picture; still {before}")


def picture_area(page: Page, vue: bool) -> FloatRect:
    """Where the page draws the node that shows the finished picture."""
    node = page.evaluate(SHOWING)
    if vue:
        area = page.locator(f'[data-node-id="{node}"]').bounding_box()
        assert area
        return area
    x, y, width, height = page.evaluate(
        """id => {
            const node = app.graph.getNodeById(id), ds = app.canvas.ds;
            const box = app.canvas.canvas.getBoundingClientRect();
            const [x, y] = ds.convertOffsetToCanvas([node.pos[0], node.pos[1]]);
            return [box.left + x, box.top + y, node.size[0] * ds.scale, node.size[1] * ds.scale];
        }""",
        node,
    )
    return {"x": x, "y": y, "width": width, "height": height}


def seen(page: Page, vue: bool) -> np.ndarray:
    """What a person sees there: pixels of a screenshot."""
    page.mouse.move(5, 500)  # no hover effects
    settled(page)
    shot = page.screenshot(clip=picture_area(page, vue))
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), dtype=int)


def test_move_gamma_run_and_see_the_new_picture(vue: bool, page: Page, comfy: Server) -> None:
    name = "nodes2" if vue else "canvas"
    page_errors = PageErrors(page)
    open_quickstart(page, comfy, vue)
    unknown = "n => n.has_errors || !LiteGraph.registered_node_types[n.type]"
    assert page.evaluate(f"app.graph._nodes.filter({unknown}).map(n => n.type)") == []
    run_and_wait(page, comfy, vue)
    first, start = seen(page, vue), gamma(page)
    page.screenshot(path=comfy_server.results_path() / f"browser_{name}_before.png")

    (drag_gamma_in_vue if vue else drag_gamma_on_canvas)(page, 0.1 if start > 4 else 0.9)
    moved = gamma(page)
    assert abs(moved - start) > 1, f"the slider did not move: γ_I was {start}, is {moved}"
    run_and_wait(page, comfy, vue)
    second = seen(page, vue)
    page.screenshot(path=comfy_server.results_path() / f"browser_{name}_after.png")

    assert first.shape == second.shape
    assert (np.abs(first - second).max(-1) > 24).mean() > 0.01, "the page shows the same picture as before"
    sent = comfy_server.inputs_of(latest_prompt(comfy), "EchoGenSampler")["gamma_i"]
    assert sent == pytest.approx(moved)
    assert not page_errors.found, page_errors.found


def test_the_pad_moves_both_gammas_and_nothing_else(vue: bool, page: Page, comfy: Server) -> None:
    page_errors = PageErrors(page)
    open_quickstart(page, comfy, vue)

    def values() -> list[Any]:
        nodes = page.evaluate("app.graph.serialize().nodes")
        return list(next(node for node in nodes if node["type"] == "EchoGenSampler")["widgets_values"])

    before = values()
    drag_dot(page, 0.85, 0.8)
    dragged = values()
    assert all(new > old + 1 for new, old in zip(dragged[:2], before[:2], strict=True))
    assert dragged[2:] == before[2:], "the pad holds nothing itself"
    settled(page)
    page.keyboard.press("ArrowUp")
    pressed = pytest.approx([dragged[0], dragged[1] + 0.25])
    assert values()[:2] == pressed
    settled(page, STEP_ENDS_MS)
    page.get_by_role("button", name="More subject").click()
    assert values()[:2] == [0, 4]
    page.evaluate("document.activeElement.blur()")
    settled(page)
    page.keyboard.press("Control+z")
    until(page, lambda: values()[:2] == pressed, "undo takes back the preset alone")
    settled(page)
    page.locator(".echogen-pad svg").dblclick()
    nano = PRESETS["nano"]
    assert values()[:2] == [nano.gamma_t, nano.gamma_i], "a double click goes to the wired model's own"
    page.evaluate(f"app.graph.remove({SAMPLER})")
    expect(page.locator(".echogen-pad")).to_have_count(0)
    assert not page_errors.found, page_errors.found


def sampled_gammas(comfy: Server, run: str) -> tuple[float, float]:
    """γ_t and γ_I that the server drew a run with."""
    prompt = comfy.client.wait(run)["prompt"][2]
    inputs = comfy_server.inputs_of(prompt, "EchoGenSampler")
    return inputs["gamma_t"], inputs["gamma_i"]


def opened_again(page: Page) -> None:
    """Loads the page again, and waits for what it had open."""
    with small_window(page):
        page.reload()
        page.wait_for_function(f"window.app?.graph && {SAMPLER}")
    page.locator(".echogen-panel").wait_for()


def first_live_run(page: Page, comfy: Server, vue: bool) -> tuple[Any, str]:
    """Opens the quickstart, and lets the dot go with Live on; the sizes of pad and node, and the run."""
    open_quickstart(page, comfy, vue)
    sizes = steady(page, SIZES)
    press_live(page)
    drag_dot(page, 0.8, 0.4)
    drawn, run = gammas(page), finished_run(page)
    assert steady(page, SIZES) == sizes, "a run leaves pad and node as large as they were"
    assert page.evaluate(NATIVE_VIEWS) == 0, "the picture is in the panel alone"
    assert sampled_gammas(comfy, run) == pytest.approx(drawn)
    return sizes, run


@pytest.mark.parametrize("vue", [False], ids=["canvas"], indirect=True)
def test_live_on_the_canvas_and_a_strip_that_the_browser_keeps(vue: bool, page: Page, comfy: Server) -> None:
    page_errors = PageErrors(page)
    panel = page.locator(".echogen-panel")
    sizes, run = first_live_run(page, comfy, vue)
    panel.get_by_role("button", name="Pin").click()
    panel.locator(".pinned > button:first-child").wait_for()
    assert steady(page, SIZES) == sizes, "nor do pins"

    until(page, lambda: page.evaluate(HAS_STRIP, run), "the browser's database has the strip")
    opened_again(page)
    hear(page, "execution_success")
    page.evaluate("void app.queuePrompt(0)")
    assert finished_run(page) == heard(page), "the server has it in its cache: no preview was sent"
    assert panel.locator(".scales img:visible").count() == 5
    assert not page_errors.found, page_errors.found


@pytest.mark.parametrize("vue", [True], ids=["nodes2"], indirect=True)
def test_live_draws_when_the_dot_is_let_go(vue: bool, page: Page, comfy: Server, tmp_path: Path) -> None:
    page_errors = PageErrors(page)
    panel = page.locator(".echogen-panel")
    sizes, run = first_live_run(page, comfy, vue)
    first = gammas(page)
    assert panel.locator(".scales img:visible").count() == 5, "a picture for every scale"
    panel.get_by_role("button", name="Scale 3").click()
    assert panel.locator(".stage").get_by_text("Scale 3").is_visible(), "a click enlarges a scale"
    panel.get_by_role("button", name="Pin").click()
    pinned = panel.locator(".pinned > button:first-child")
    pinned.wait_for()

    drag_dot(page, 0.3, 0.7)
    second, again = gammas(page), finished_run(page, run)
    assert sampled_gammas(comfy, again) == pytest.approx(second) != first
    panel.get_by_role("button", name="Pin").click()
    pinned.nth(1).wait_for()
    assert "seed 7" in (pinned.nth(1).get_attribute("title") or "")
    thumbs = page.evaluate(f"{SAMPLER}.properties.echogen_pins.map(pin => pin.thumb)")
    assert all(thumb.startswith("data:image/webp") and len(thumb) < 16_100 for thumb in thumbs), "12 kB"
    compare = panel.get_by_role("slider", name="Drag to compare")
    expect(compare).to_be_hidden()
    pinned.nth(0).click()
    expect(compare).to_be_visible()  # with the latest picture
    pinned.nth(1).click()
    expect(panel.locator(".captions")).to_have_text("".join(pinned.all_text_contents()))
    assert (gammas(page), run_on_show(page)) == (pytest.approx(second), again), "comparing changes nothing"
    assert steady(page, SIZES) == sizes, "nor do pins"
    page.screenshot(path=comfy_server.results_path() / "browser_live.png")
    set_widget(page, SAMPLER, "seed", 8)
    panel.get_by_role("button", name="Use these settings").nth(0).click()
    assert gammas(page) == pytest.approx(first)
    assert widget(page, SAMPLER, "seed") == 7
    assert sampled_gammas(comfy, finished_run(page, again)) == pytest.approx(first)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Control+z")
    page.wait_for_function(f"{SAMPLER}?.widgets[0].value === {second[0]}")

    comfy.client.queue(comfy_server.gate(tmp_path / "open"))
    with page.expect_response("**/api/prompt") as answer:
        drag_dot(page, 0.5, 0.5)
    run = answer.value.json()["prompt_id"]
    page.wait_for_function("run => sessionStorage.getItem('EchoGen.runs')?.includes(run)", arg=run)
    opened_again(page)
    panel.get_by_role("button", name="Live", pressed=False).wait_for()
    assert not run_on_show(page)
    (tmp_path / "open").touch()
    assert finished_run(page) == run, "queued before the reload"
    page.evaluate(f"app.graph.remove({SAMPLER})")
    expect(panel).to_have_count(0)
    assert not page_errors.found, page_errors.found


@pytest.mark.parametrize("vue", [False], ids=["canvas"], indirect=True)
def test_live_off_takes_back_its_own_runs_alone(vue: bool, page: Page, comfy: Server, tmp_path: Path) -> None:
    page_errors = PageErrors(page)
    open_quickstart(page, comfy, vue)
    panel = page.locator(".echogen-panel")
    press_live(page)

    opened = tmp_path / "open"
    others = [comfy.client.queue(graph) for graph in (comfy_server.gate(opened), comfy_server.single())]
    for share in (0.3, 0.5, 0.7):
        with page.expect_response(f"{comfy.url}/api/prompt"):
            drag_dot(page, share, 0.8)
        panel.get_by_text("queued").wait_for()
    until(
        page, lambda: len(waiting_runs(comfy) - set(others)) == 1, "a newer run replaces the one that waits"
    )
    waiting = waiting_runs(comfy) - set(others)
    press_live(page)
    until(page, lambda: not waiting & waiting_runs(comfy), "off takes it back")
    opened.touch()
    for other in others:
        assert comfy.client.wait(other)["status"]["status_str"] == "success"

    press_live(page)
    set_widget(page, SAMPLER, "batch", 32)
    drag_dot(page, 0.6, 0.3)
    page.wait_for_function(f"{STRIP}.dataset.run")
    run = run_on_show(page)
    press_live(page)
    until(page, lambda: not comfy.client.get_json("/queue")["queue_running"], "the end of the cancelled run")
    until(page, lambda: run not in comfy.client.get_json("/history"), "no entry of what Live gave up")
    assert panel.get_by_role("button", name="Pin").is_disabled(), "there is no finished picture to pin"
    assert not page_errors.found, page_errors.found


def latest_prompt(comfy: Server) -> dict[str, Any]:
    """The graph that the server ran last."""
    history = comfy.client.get_json("/history?max_items=1")
    (entry,) = history.values()
    return dict(entry["prompt"][2])
