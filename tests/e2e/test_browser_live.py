"""Live and the strip: whose runs are shown, what a tab switch, the queue and the server do to a Live run."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Request, Route, expect

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
    press_live,
    run_on_show,
    set_widget,
    settled,
    until,
    waiting_runs,
)
from runner.server import Server

STORE = "app.extensionManager.workflow"
PROMPT = "app.graph._nodes.flatMap(n => n.widgets ?? []).find(w => w.dynamicPrompts)"
OPEN_COPY = """async name => {
    const graph = app.graph.serialize();
    window.left = app.extensionManager.workflow.activeWorkflow;
    await app.loadGraphData(graph, true, true, name);
}"""
GO_BACK = "() => app.loadGraphData(left.activeState, true, true, left)"
SHOWN_TAU = f"""[
    {SAMPLER}.widgets.find(w => w.name === 'tau')._displayValue,
    [...document.querySelectorAll('[aria-label="tau"], [aria-label="tau"] *')]
        .flatMap(e => [e, e.parentElement]).map(e => getComputedStyle(e, '::after').content)
        .find(content => content.includes('auto')),
]"""
STEPS = f"{STORE}.activeWorkflow.changeTracker.undoQueue"
STORES = "document.getElementById('vue-app').__vue_app__.config.globalProperties.$pinia._s"


def status(page: Page) -> Locator:
    """The text beside the Live switch."""
    return page.locator(".echogen-panel .status")


def live_run(page: Page, across: float, up: float = 0.5) -> str:
    """Drags the dot; id of the run that Live queues for it."""
    with page.expect_response("**/api/prompt") as answer:
        drag_dot(page, across, up)
    return str(answer.value.json()["prompt_id"])


def live_graph(page: Page, across: float) -> dict[str, Any]:
    """Drags the dot; the graph that Live sends for it."""
    with page.expect_response("**/api/prompt") as answer:
        drag_dot(page, across, 0.5)
    return dict(json.loads(answer.value.request.post_data or "")["prompt"])


@pytest.mark.parametrize("vue", [False], ids=["canvas"], indirect=True)
def test_only_what_this_page_queued_fills_the_strip(vue: bool, page: Page, comfy: Server) -> None:
    """A program may name this page as its client and this workflow as its own: it is still not this page."""
    page_errors = PageErrors(page)
    open_quickstart(page, comfy, vue)
    asked = page.evaluate(
        """async seed => {
            const {output, workflow} = await app.graphToPrompt();
            for (const {class_type, inputs} of Object.values(output))
                if (class_type === 'EchoGenSampler') inputs.seed = seed;
            return {prompt: output, client_id: app.api.clientId, extra_data: {extra_pnginfo: {workflow}}};
        }""",
        4000,
    )
    hear(page, "execution_success")
    run = comfy.client.post_json("/prompt", asked)["prompt_id"]
    assert heard(page) == run
    settled(page)
    assert not run_on_show(page), "a program's pictures"

    set_widget(page, SAMPLER, "seed", 4100)
    set_widget(page, SAMPLER, "control_after_generate", "increment")
    page.evaluate("() => { app.queuePrompt(0, 1) }")
    first = finished_run(page)
    assert first == heard(page, times=2)
    page.evaluate("() => { app.queuePrompt(0, 2) }")  # the first of two may be over before it is drawn
    last = heard(page, times=4)
    page.wait_for_function(f"run => {STRIP}.dataset.run === run", arg=last)
    assert last != first

    outputs = "app.graph._nodes.filter(n => n.type === 'PreviewImage').map(n => String(n.id)).slice(0, 1)"
    page.evaluate(f"() => {{ app.queuePrompt(0, 1, {outputs}) }}")
    assert finished_run(page, last), "selected outputs"
    assert not page_errors.found, page_errors.found


@pytest.mark.parametrize("vue", [False], ids=["canvas"], indirect=True)
def test_a_live_run_outlives_a_tab_switch_but_not_its_workflow(
    vue: bool, page: Page, comfy: Server, tmp_path: Path
) -> None:
    """The other tab is a copy with the same ids."""
    page_errors = PageErrors(page)
    open_quickstart(page, comfy, vue)
    press_live(page)
    gate = comfy.client.queue(comfy_server.gate(tmp_path / "one"))
    run = live_run(page, 0.3)
    page.evaluate(OPEN_COPY, f"copy {uuid.uuid4()}")
    page.wait_for_function(f"{STORE}.activeWorkflow !== left && {STRIP}")
    settled(page, 300)
    assert run in waiting_runs(comfy), "out of view is not removed"
    (tmp_path / "one").touch()
    comfy.client.wait(gate)
    entry = comfy.client.wait(run)
    assert entry["status"]["status_str"] == "success"
    settled(page)
    assert not run_on_show(page), "the other tab's pictures"

    page.evaluate(GO_BACK)
    assert finished_run(page) == run, "what happened meanwhile"
    page.locator(".echogen-panel").get_by_role("button", name="Live", pressed=True).wait_for()

    comfy.client.queue(comfy_server.gate(tmp_path / "two"))
    run = live_run(page, 0.8)
    page.evaluate(OPEN_COPY, f"copy {uuid.uuid4()}")
    page.wait_for_function(f"{STORE}.activeWorkflow !== left")
    settled(page, 300)
    assert run in waiting_runs(comfy)
    page.evaluate(f"() => {STORE}.closeWorkflow(left)")
    until(page, lambda: run not in waiting_runs(comfy), "the closed workflow's run is withdrawn")
    assert not page_errors.found, page_errors.found


@pytest.mark.parametrize("vue", [False], ids=["canvas"], indirect=True)
def test_live_changes_what_was_moved_and_nothing_else(vue: bool, page: Page, comfy: Server) -> None:
    page_errors = PageErrors(page)
    open_quickstart(page, comfy, vue)
    animals = "{" + "|".join(f"animal {number}" for number in range(2000)) + "}"
    page.evaluate(f"text => {{ {PROMPT}.value = text }}", animals)
    set_widget(page, SAMPLER, "control_after_generate", "randomize")
    press_live(page)
    first, second = (live_graph(page, across) for across in (0.3, 0.7))
    assert {**comfy_server.inputs_of(second, "EchoGenSampler"), "gamma_t": 0, "gamma_i": 0} == {
        **comfy_server.inputs_of(first, "EchoGenSampler"), "gamma_t": 0, "gamma_i": 0}  # fmt: skip
    text = [comfy_server.inputs_of(graph, "EchoGenEncodeText") for graph in (first, second)]
    assert text[0] == text[1] and "|" not in str(text)
    assert page.evaluate(f"{SAMPLER}.widgets.find(w => w.name === 'seed').value") == 7

    page.evaluate(f"() => {{ {PROMPT}.value += '!' }}")
    third = comfy_server.inputs_of(live_graph(page, 0.4), "EchoGenEncodeText")
    assert third != text[0], "an edited prompt is resolved anew"
    press_live(page)
    press_live(page)
    fourth = comfy_server.inputs_of(live_graph(page, 0.6), "EchoGenEncodeText")
    assert fourth != third, "and so it is in another session"

    press_live(page)
    with page.expect_request("**/api/prompt") as run:
        page.get_by_role("button", name="Run", exact=True).click()
    press_live(page)
    fifth = comfy_server.inputs_of(live_graph(page, 0.2), "EchoGenEncodeText")
    drawn = comfy_server.inputs_of(json.loads(run.value.post_data or "")["prompt"], "EchoGenEncodeText")
    assert fifth == drawn, "what Run came to"
    assert not page_errors.found, page_errors.found


def sent(request: Request) -> dict[str, Any]:
    """What a request to queue carries besides the graph."""
    extra = dict(json.loads(request.post_data or "")["extra_data"])
    del extra["extra_pnginfo"]
    return extra


@pytest.mark.parametrize("inside", ["as it is", "another", "none"])
@pytest.mark.parametrize("vue", [False], ids=["canvas"], indirect=True)
def test_live_sends_the_credentials_of_run(inside: str, vue: bool, page: Page, comfy: Server) -> None:
    """Also where other packs have replaced functions of the front end; without them Live still runs."""
    page_errors = PageErrors(page)
    open_quickstart(page, comfy, vue)
    page.evaluate(f"() => {{ {STORES}.get('apiKeyAuth').getApiKey = () => 'a key' }}")
    former = page.evaluate_handle("[Object.getPrototypeOf(app).queuePrompt, app.api.queuePrompt]")
    if inside == "another":
        page.evaluate(
            """() => {
                const [run, send] = [app.queuePrompt, app.api.queuePrompt];
                app.queuePrompt = (...given) => run.apply(app, given);
                app.api.queuePrompt = (number, prompt, more) => send.call(app.api, number, {...prompt}, more);
            }"""
        )
    with page.expect_request("**/api/prompt") as run:
        page.get_by_role("button", name="Run", exact=True).click()
    if inside == "none":
        page.evaluate("() => { delete Object.getPrototypeOf(app).queuePrompt }")
    press_live(page)
    with page.expect_request("**/api/prompt") as live:
        drag_dot(page, 0.3, 0.4)
    try:
        if inside == "none":
            assert "a key" not in sent(live.value).values()
        else:
            assert sent(live.value) == sent(run.value) and "a key" in sent(live.value).values()
        assert finished_run(page)
    finally:
        page.evaluate(
            """([original, send]) => {
                Object.getPrototypeOf(app).queuePrompt = original;
                delete app.queuePrompt;
                app.api.queuePrompt = send;
            }""",
            former,
        )
    assert "a key" not in page.content()
    assert not page_errors.found, page_errors.found


@pytest.mark.parametrize("vue", [False], ids=["canvas"], indirect=True)
def test_live_follows_the_servers_queue(vue: bool, page: Page, comfy: Server, tmp_path: Path) -> None:
    open_quickstart(page, comfy, vue)
    press_live(page)
    blocking = comfy.client.queue(comfy_server.gate(tmp_path / "open"))
    ways = (
        lambda run: comfy.client.post_json("/queue", {"delete": [run]}),
        lambda run: comfy.client.post_json("/queue", {"clear": True}),
        lambda run: page.evaluate("() => app.api.clearItems('queue')"),
    )
    for number, remove in enumerate(ways):
        run = live_run(page, 0.2 + 0.2 * number)
        expect(status(page)).to_have_text("queued")
        remove(run)
        expect(status(page)).to_have_text("")

    # The connection is lost, and the server forgets its queue meanwhile, as in a restart.
    run = live_run(page, 0.9)
    expect(status(page)).to_have_text("queued")
    page.evaluate("() => { app.api.createSocket = async () => {}; app.api.socket.close() }")
    expect(status(page)).to_have_text("server not reachable")
    comfy.client.post_json("/queue", {"delete": [run]})
    page.evaluate("() => { delete app.api.createSocket; return app.api.createSocket(true) }")
    expect(status(page)).to_have_text("")

    page.route("**/api/prompt", lambda route: route.abort(), times=1)
    with page.expect_response("**/api/prompt") as answer:  # it is sent again by itself
        drag_dot(page, 0.3, 0.8)
    assert answer.value.json()["prompt_id"] in waiting_runs(comfy)
    expect(status(page)).to_have_text("queued")
    run = live_run(page, 0.5, 0.2)
    assert run in waiting_runs(comfy)
    (tmp_path / "open").touch()
    comfy.client.wait(blocking)
    assert finished_run(page) == run


@pytest.mark.parametrize("vue", [False], ids=["canvas"], indirect=True)
def test_a_refusal_is_said_beside_live_and_opens_no_dialog(vue: bool, page: Page, comfy: Server) -> None:
    open_quickstart(page, comfy, vue)
    press_live(page)

    def refuse(route: Route) -> None:
        error = {"type": "x", "message": "no such model", "details": "", "extra_info": {}}
        route.fulfill(status=400, json={"error": error, "node_errors": {}})

    page.route("**/api/prompt", refuse)
    drag_dot(page, 0.3, 0.8)
    expect(status(page)).to_have_text("no such model")
    settled(page)
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.unroute_all()

    page.route("**/api/prompt", lambda route: route.fulfill(status=500, body="<html>down</html>"))
    drag_dot(page, 0.4, 0.8)
    # Newer front ends give the status.
    said = re.compile("500 Internal Server Error|answered with an error page")
    expect(status(page)).to_have_text(said)
    page.unroute_all()
    run = live_run(page, 0.6)
    assert finished_run(page) == run


@pytest.mark.parametrize("vue", [True], ids=["nodes2"], indirect=True)
def test_live_leaves_no_file_and_one_entry_and_a_drag_is_one_step(
    vue: bool, page: Page, comfy: Server
) -> None:
    """The quickstart shows its picture and saves it. In the second drag, Shift is pressed and released."""
    page_errors = PageErrors(page)
    open_quickstart(page, comfy, vue)
    page.evaluate(f"() => {{ {SAMPLER}.properties.echogen_live = true }}")  # as version 0.1 saved it
    output, entries = comfy.log.parent / "output", set(comfy.client.get_json("/history"))
    files = set(output.rglob("*"))
    press_live(page)
    runs, before = [live_run(page, 0.3)], gammas(page)
    assert finished_run(page) == runs[0]
    steps = page.evaluate(f"{STEPS}.length")
    box = page.locator(".echogen-pad svg").bounding_box()
    assert box
    with page.expect_response("**/api/prompt") as answer:
        page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"])
        page.mouse.down()
        for share in (0.4, 0.3):
            page.keyboard.down("Shift")
            page.mouse.move(box["x"] + share * box["width"], box["y"] + share * box["height"])
            page.keyboard.up("Shift")
            settled(page)
        page.mouse.up()
    runs.append(answer.value.json()["prompt_id"])
    assert finished_run(page, runs[0]) == runs[1]
    assert page.evaluate(f"{STEPS}.length") == steps + 1, "one step"
    until(page, lambda: set(comfy.client.get_json("/history")) - entries == {runs[1]}, "one entry")
    saver = page.evaluate("String(app.graph._nodes.find(n => n.type === 'SaveImage').id)")
    shown = comfy.client.wait(runs[1])["outputs"][saver]["images"]
    assert [picture["type"] for picture in shown] == ["temp"], "Save Image shows it"
    assert set(output.rglob("*")) == files
    assert "echogen_live" not in page.evaluate("JSON.stringify(app.graph.serialize())")

    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Control+z")
    page.wait_for_function(f"{SAMPLER}?.widgets[0].value === {before[0]}")
    assert gammas(page) == before
    assert page.locator(".echogen-panel").get_by_role("button", name="Live", pressed=True).count() == 1
    page.evaluate("() => app.graph._nodes.find(n => n.type === 'EchoGenDecodeBits').mode = 2")
    page.evaluate(
        f"""() => {SAMPLER}.inputs.forEach(({{name}}, slot) => {{
            if (['semantic', 'content'].includes(name)) {SAMPLER}.disconnectInput(slot);
        }})"""
    )
    expect(page.locator(".echogen-pad .hint")).to_have_text("No subject: γ_I has no effect")
    bits, latents = page.evaluate(
        "['ECHOGEN_BITS', 'LATENT'].map(type => app.canvas.default_connection_color_byType[type])"
    )
    assert bits and bits == latents, "the palette's colours"
    assert page.evaluate("getComputedStyle(document.body).getPropertyValue('--color-datatype-ECHOGEN_BITS')")
    assert page.evaluate(SHOWN_TAU) == ["auto (0.5)", '"auto (0.5)"'], "on the canvas, and in Nodes 2.0"
    drag_dot(page, 0.5, 0.8)
    expect(status(page)).to_have_text(re.compile("nothing shows this picture"))
    assert not page_errors.found, page_errors.found


@pytest.mark.parametrize("vue", [False], ids=["canvas"], indirect=True)
def test_clicks_in_a_row_queue_one_run(vue: bool, page: Page, comfy: Server, tmp_path: Path) -> None:
    open_quickstart(page, comfy, vue)
    press_live(page)
    page.locator(".echogen-panel select").select_option("finish")
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request) if request.url.endswith("/api/prompt") else None)
    pad = page.locator(".echogen-pad svg")
    pad.dblclick(position={"x": 60, "y": 60})
    finished_run(page)
    assert len(asked) == 1 and gammas(page) == (2.5, 2.5), "the model's own, without a run of the first click"
    box = pad.bounding_box()
    assert box
    for number in range(5):
        page.mouse.click(box["x"] + box["width"] * (0.3 + 0.1 * number), box["y"] + 0.5 * box["height"])
    until(page, lambda: len(asked) == 2, "one run of five clicks")
    moved = gammas(page)
    inputs = comfy_server.inputs_of(json.loads(asked[1].post_data or "")["prompt"], "EchoGenSampler")
    assert (inputs["gamma_t"], inputs["gamma_i"]) == moved
    settled(page, 500)
    assert len(asked) == 2
