"""Pages of a Chromium at one ComfyUI server, for what is measured in both of the front end's renderers."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.extend(str(Path(__file__).resolve().parents[1] / folder) for folder in ("", "tests"))

from playwright.sync_api import Page, sync_playwright

import comfy_server
from browser_page import launch
from runner.server import Server


def each_renderer(name: str) -> Iterator[tuple[Server, Page, bool]]:
    """The server, a page, and whether it is for Nodes 2.0; canvas first. name: of the server's log."""
    with (
        tempfile.TemporaryDirectory() as folder,
        comfy_server.serving(Path(folder), name=name) as server,
        sync_playwright() as playwright,
    ):
        browser = launch(playwright)
        for vue in (False, True):
            page = browser.new_page(viewport={"width": 1920, "height": 1080})
            yield server, page, vue
            page.close()
        browser.close()
