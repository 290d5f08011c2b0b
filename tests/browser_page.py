"""The page in a real Chromium, for the browser tests: opening a workflow, running it, and what went wrong."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import ConsoleMessage, Page, Response

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
    settings = {"Comfy.TutorialCompleted": True, "Comfy.VueNodes.Enabled": vue}
    comfy.client.post_json("/settings", settings)
    page.goto(session.workflow_page(comfy.url, name))
    page.wait_for_function("!!(window.app?.graph && window.app.extensionManager)", timeout=READY_MS)
    page.wait_for_function("app.graph._nodes.some(n => n.type.startsWith('EchoGen'))", timeout=READY_MS)
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
