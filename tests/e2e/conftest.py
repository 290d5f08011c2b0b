"""One real server for all tests of the session, one websocket client and one page of a Chromium per test."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

import browser_page
import comfy_server
from comfy_server import Graph, Recorder
from runner.server import Server


@pytest.fixture(scope="session")
def comfy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server, with the pack linked into a fresh base folder."""
    with comfy_server.serving(tmp_path_factory.mktemp("comfy")) as running:
        yield running


@pytest.fixture
def recorder(comfy: Server) -> Iterator[Recorder]:
    """Runs graphs on the server and records their events."""
    client = Recorder(comfy)
    yield client
    client.close()


@pytest.fixture
def graph() -> Graph:
    """The shipped API-format quickstart, with one picture shown as it comes out of the decoder."""
    return comfy_server.single()


@pytest.fixture(scope="session")
def to_api() -> Callable[..., dict[str, Any]]:
    """What makes the API form of the shipped workflows, for any other."""
    sys.path.append(str(comfy_server.ROOT / "tests" / "tools"))
    import workflow

    return workflow.to_api


@pytest.fixture(params=[False, True], ids=["canvas", "nodes2"])
def vue(request: pytest.FixtureRequest) -> bool:
    """Both renderers: the classic canvas, and Nodes 2.0 (Vue)."""
    return bool(request.param)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    with sync_playwright() as playwright:
        launched = browser_page.launch(playwright)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A new page without anything remembered; large enough to fit the graph at a readable size."""
    context = browser.new_context(viewport={"width": 2400, "height": 1500})
    yield context.new_page()
    context.close()
