"""The page in a real Chromium, for browser tests, benchmarks and screenshots.

Opening a workflow, running it, the sampler's pad and strip, and what went wrong.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Playwright, Response, expect

from runner import chromium, session
from runner.server import Server

ROOT = Path(__file__).resolve().parents[1]
READY_MS = 90_000
VIEWS_FOLLOW_MS = 160  # they follow their nodes every 150 ms: node_views.js
STEADY_MS = 150
# ComfyUI's own noise: files that a fresh user folder lacks, a TypeError of frontend 1.32.9 itself and what it
# says of every new subgraph, the outside world (also for the sizes of models), and what a newer front end
# asks an older server for, or says of its own start.
NOISE = (
    "Failed to load resource",
    "reading 'id'",
    "api.comfy.org",
    "Error loading core workflow templates",
    "Content Security Policy",
    "event listeners for graph that was never set up",
    "JobsApiError",
    "graph accessed before initialization",
    "Error fetching file size",
)
OURS = ("echogen", "EchoGen")
SAMPLER = "app.graph._nodes.find(n => n.type === 'EchoGenSampler')"
SWEEP = "app.graph._nodes.find(n => n.type === 'EchoGenGammaSweep')"
# Dialogs of a first visit, which cover the page.
SEEN = {"Comfy.TutorialCompleted": True, "Comfy.OnboardingCoachmarks.Seen": ["appMode", "firstRun"]}
SHOWS_RENDERER = """vue => !!(window.app?.graph && window.app.extensionManager) &&
    window.app.extensionManager.setting.get('Comfy.VueNodes.Enabled') === vue"""
CLOSE_DIALOGS = """() => {
    const app = document.getElementById('vue-app')?.__vue_app__;
    const dialogs = app?.config.globalProperties.$pinia?._s.get('dialog');
    for (const {key} of [...(dialogs?.dialogStack ?? [])]) dialogs.closeDialog({key});
}"""
REOPEN = """async ({graph, name}) => {
    const store = app.extensionManager.workflow, before = [...store.openWorkflows];
    await app.loadGraphData(graph, true, true, name);
    for (const workflow of before) await store.closeWorkflow(workflow);
    document.activeElement.blur();
}"""
OPENED = """name => app.extensionManager.workflow.activeWorkflow?.filename === name &&
    app.graph._nodes.some(n => n.type.startsWith('EchoGen'))"""
# As the button "Fit View" does it, which takes a second for the view to glide there.
FIT_VIEW = """() => {
    const boxes = app.canvas.graph._nodes.map(node => node.boundingRect);
    const left = Math.min(...boxes.map(box => box[0])), top = Math.min(...boxes.map(box => box[1]));
    const right = Math.max(...boxes.map(box => box[0] + box[2]));
    const bottom = Math.max(...boxes.map(box => box[1] + box[3]));
    app.canvas.ds.fitToBounds([left - 10, top - 10, right - left + 20, bottom - top + 20]);
    app.canvas.setDirty(true, true);
}"""
VIEW = "[app.canvas.ds.scale, ...app.canvas.ds.offset]"
STRIP = "document.querySelector('.echogen-panel .strip')"


def launch(playwright: Playwright) -> Browser:
    """A headless Chromium that draws in software: the one PLAYWRIGHT_CHROMIUM names, or one installed."""
    program = chromium.find(os.environ)
    options = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
    return playwright.chromium.launch(executable_path=program, headless=True, args=options)


class PageErrors:
    """What went wrong in the page, less the known noise; and every failed request for a file of ours."""

    def __init__(self, page: Page) -> None:
        self.found: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._note(f"uncaught: {error}"))
        page.on("response", self._response)

    def _note(self, text: str) -> None:
        if not any(noise in text for noise in NOISE):
            self.found.append(text)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._note(message.text)

    def _response(self, response: Response) -> None:
        if response.status >= 400 and any(word in response.url for word in OURS):
            self.found.append(f"HTTP {response.status}: {response.url}")


def open_quickstart(page: Page, comfy: Server, vue: bool) -> None:
    """Opens the quickstart and fits it into view."""
    open_workflow(page, comfy, vue, session.QUICKSTART)


def open_workflow(page: Page, comfy: Server, vue: bool, name: str) -> None:
    """Opens a shipped workflow and fits it into view.

    A page that already shows this server in this renderer opens it in place of all it has open, under a
    new id and name; any other page forgets what was open, and loads the address that `python run.py` opens.
    """
    comfy.client.post_json("/settings", {**SEEN, "Comfy.VueNodes.Enabled": vue})
    if page.url.startswith(comfy.url) and page.evaluate(SHOWS_RENDERER, vue):
        reopen(page, name)
    else:
        load_quickstart(page, comfy)
        if name != session.QUICKSTART:  # an address can't name a file with blanks in it
            reopen(page, name)
    fit_view(page)


def load_quickstart(page: Page, comfy: Server) -> None:
    """Loads the address that `python run.py` opens, in a page that forgets what it had open."""
    page.goto(f"{comfy.url}/system_stats")  # no front end runs there, which would store it again
    page.evaluate("() => { localStorage.clear(); sessionStorage.clear() }")
    with small_window(page):
        page.goto(session.workflow_page(comfy.url, session.QUICKSTART))
        page.wait_for_function("!!(window.app?.graph && window.app.extensionManager)", timeout=READY_MS)
        page.wait_for_function(OPENED, arg=session.QUICKSTART, timeout=READY_MS)


@contextmanager
def small_window(page: Page) -> Iterator[None]:
    """For loading the page: its start screen moves, and each of its pictures is drawn by the processor."""
    size = page.viewport_size
    assert size
    page.set_viewport_size({"width": size["width"] // 2, "height": size["height"] // 2})
    try:
        yield
    finally:
        page.set_viewport_size(size)


def reopen(page: Page, name: str) -> None:
    """Opens a shipped workflow in a page that has others open, and leaves nothing of those."""
    graph = json.loads((ROOT / "workflows" / f"{name}.json").read_text(encoding="utf-8"))
    graph["id"] = str(uuid.uuid4())  # or what the page remembers of the former one's runs would be shown
    page.evaluate(REOPEN, {"graph": graph, "name": f"{name} {graph['id']}"})
    settled(page)


def tidy_up(page: Page, comfy: Server) -> None:
    """Ends all runs, closes dialogs and takes the mouse away: what a test may leave beside its workflow."""
    comfy.client.post_json("/queue", {"clear": True})

    def idle() -> bool:
        running = comfy.client.get_json("/queue")["queue_running"]
        if running:
            comfy.client.post_json("/interrupt", {})
        return not running

    until(page, idle, "an idle server")
    page.evaluate(CLOSE_DIALOGS)
    expect(page.get_by_role("dialog")).to_have_count(0, timeout=READY_MS)
    page.mouse.move(5, 900)


def fit_view(page: Page) -> None:
    """Brings the whole graph into the window, and again where the page then restores a tab's former view."""

    def stays() -> bool:
        page.evaluate(FIT_VIEW)
        fitted = page.evaluate(VIEW)
        settled(page)
        return bool(page.evaluate(VIEW) == fitted)

    until(page, stays, "a view of the whole graph")


def settled(page: Page, milliseconds: int = VIEWS_FOLLOW_MS) -> None:
    """Waits until the page's own timers of that time have fired, and what came of them is drawn."""
    page.evaluate(
        """milliseconds => new Promise(done => setTimeout(
            () => requestAnimationFrame(() => requestAnimationFrame(done)), milliseconds))""",
        milliseconds,
    )


def steady(page: Page, expression: str, argument: object = None) -> Any:
    """The value of a JavaScript expression (of `argument`) once it is the same for several frames."""
    return page.evaluate(
        f"""argument => new Promise(done => {{
            const read = () => JSON.stringify({expression});
            let last = read(), frames = 0, since = performance.now();
            const look = () => {{
                const now = read();
                frames += 1;
                if (now !== last) [last, frames, since] = [now, 0, performance.now()];
                if (frames >= 3 && performance.now() - since >= {STEADY_MS}) done(JSON.parse(last));
                else requestAnimationFrame(look);
            }};
            requestAnimationFrame(look);
        }})""",
        argument,
    )


def widget(page: Page, node: str, name: str) -> Any:
    """A widget's value as the graph has it; node: a JavaScript expression."""
    return page.evaluate(f"{node}.widgets.find(w => w.name === '{name}').value")


def set_widget(page: Page, node: str, name: str, value: object) -> None:
    """Sets a widget's value in the graph."""
    change = f"([name, value]) => {{ {node}.widgets.find(w => w.name === name).value = value; }}"
    page.evaluate(change, [name, value])


def pictures_of(page: Page, node: int, vue: bool) -> list[str]:
    """Addresses of the pictures that a node shows, loaded and not broken."""
    images = (
        f"[...document.querySelectorAll('[data-node-id=\"{node}\"] img')]"
        if vue
        else f"(app.graph.getNodeById({node}).imgs ?? [])"
    )
    found: list[Any] = page.evaluate(f"{images}.map(i => [i.src, i.complete && i.naturalWidth])")
    return [src for src, width in found if width and "filename=" in src]


def run_to_the_end(page: Page, comfy: Server) -> dict[str, Any]:
    """Presses Run and waits until the page hears of its success; the run's entry in the history."""
    hear(page, "execution_success")
    page.get_by_role("button", name="Run", exact=True).click()
    return comfy.client.wait(heard(page))


def hear(page: Page, event: str) -> None:
    """Makes the page listen for an event of the server."""
    page.evaluate(
        """event => {
            const runs = (window.heard = []);
            app.api.addEventListener(event, ({detail}) => { runs.push(detail.prompt_id ?? null); });
        }""",
        event,
    )


def heard(page: Page, times: int = 1) -> str:
    """Waits until the page has received that many of the events it listens for; the run of that one."""
    page.wait_for_function("times => window.heard.length >= times", arg=times, timeout=READY_MS)
    return str(page.evaluate("times => window.heard[times - 1]", times))


def until(page: Page, holds: Callable[[], bool], what: str) -> None:
    """Waits until something is so."""
    end = time.monotonic() + READY_MS / 1000
    while not holds():
        assert time.monotonic() < end, f"it never came to be: {what}"
        page.wait_for_timeout(50)


def press_live(page: Page) -> None:
    """Live on, or off."""
    page.locator(".echogen-panel").get_by_role("button", name="Live").click()


def gammas(page: Page) -> tuple[float, float]:
    """γ_t and γ_I as the graph has them."""
    gamma_t, gamma_i = page.evaluate(f"{SAMPLER}.widgets.slice(0, 2).map(w => w.value)")
    return gamma_t, gamma_i


def drag_dot(page: Page, across: float, up: float, pad: Locator | None = None) -> None:
    """Drags on a pad (the only one), from its middle to those shares of its sides, and lets go."""
    box = (pad or page.locator(".echogen-pad")).locator("svg").bounding_box()
    assert box
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + across * box["width"], box["y"] + (1 - up) * box["height"], steps=5)
    page.mouse.up()


def run_on_show(page: Page) -> str:
    """Id of the run that the strip shows; "" for none."""
    return str(page.evaluate(f"{STRIP}.dataset.run ?? ''"))


def finished_run(page: Page, former: str = "") -> str:
    """Waits until the strip is full with another run than `former`; that run's id."""
    page.wait_for_function(
        f"""former => {STRIP}?.dataset.run && {STRIP}.dataset.run !== former &&
            !{STRIP}.querySelector(':scope > button').disabled""",
        arg=former,
        timeout=READY_MS,
    )
    return run_on_show(page)


def waiting_runs(comfy: Server) -> set[str]:
    """Ids of the runs in the server's queue that have not begun."""
    return {entry[1] for entry in comfy.client.get_json("/queue")["queue_pending"]}
