"""The page in a real Chromium, for browser tests, benchmarks and screenshots.

Opening a workflow, running it, the sampler's pad and strip, and what went wrong.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Playwright, Response

from runner import session
from runner.server import Server

READY_MS = 90_000
# ComfyUI's own noise: files that a fresh user folder lacks, a TypeError of frontend 1.32.9 itself and what it
# says of every new subgraph, the outside world that --disable-api-nodes shuts out, and what a newer front end
# asks an older server for.
NOISE = (
    "Failed to load resource",
    "reading 'id'",
    "api.comfy.org",
    "Error loading core workflow templates",
    "Content Security Policy",
    "event listeners for graph that was never set up",
    "JobsApiError",
)
OURS = ("echogen", "EchoGen")
SAMPLER = "app.graph._nodes.find(n => n.type === 'EchoGenSampler')"
# Dialogs of a first visit, which cover the page.
SEEN = {"Comfy.TutorialCompleted": True, "Comfy.OnboardingCoachmarks.Seen": ["appMode", "firstRun"]}
STRIP = "document.querySelector('.echogen-panel .strip')"


def launch(playwright: Playwright) -> Browser:
    """A headless Chromium that draws in software: the one PLAYWRIGHT_CHROMIUM names, or one on PATH."""
    program = (
        os.environ.get("PLAYWRIGHT_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    )
    options = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
    return playwright.chromium.launch(executable_path=program, headless=True, args=options)


class Trouble:
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
    """Opens the address that `python run.py` opens, and fits the graph into view."""
    open_workflow(page, comfy, vue, session.QUICKSTART)


def open_workflow(page: Page, comfy: Server, vue: bool, name: str) -> None:
    """Opens a shipped workflow from the template browser's address, and fits it into view."""
    comfy.client.post_json("/settings", {**SEEN, "Comfy.VueNodes.Enabled": vue})
    page.goto(session.workflow_page(comfy.url, name))
    page.wait_for_function("!!(window.app?.graph && window.app.extensionManager)", timeout=READY_MS)
    page.wait_for_function("app.graph._nodes.some(n => n.type.startsWith('EchoGen'))", timeout=READY_MS)
    fit_view(page)


def fit_view(page: Page) -> None:
    """Brings the whole graph into the window."""
    page.get_by_role("button", name="Fit View").click()
    page.wait_for_timeout(1500)  # the view glides there


def run_to_the_end(page: Page, comfy: Server) -> dict[str, Any]:
    """Presses Run and waits for the prompt's entry in the history."""
    before = set(comfy.client.get_json("/history"))
    page.get_by_role("button", name="Run", exact=True).click()
    for _ in range(240):
        page.wait_for_timeout(500)
        history = comfy.client.get_json("/history")
        (new,) = set(history) - before or {None}
        if new is not None and history[new]["status"]["completed"]:
            return dict(history[new])
    raise AssertionError("the prompt did not end")


def until(page: Page, holds: Callable[[], bool], what: str) -> None:
    """Waits until something is so; a busy machine draws the page about once a second."""
    for _ in range(READY_MS // 200):
        if holds():
            return
        page.wait_for_timeout(200)
    raise AssertionError(f"it never came to be: {what}")


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
