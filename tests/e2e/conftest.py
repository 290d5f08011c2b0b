"""One server and one page of a Chromium for all tests of the session, one websocket client for each."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from shared_page import SharedPage

import browser_page
import comfy_server
from comfy_server import Graph, Recorder
from runner.server import Server


@pytest.fixture(scope="session")
def copied_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the pack, so that a test may damage its files."""
    pack = tmp_path_factory.mktemp("pack") / "echogen"
    for name in ("echogen_core", "nodes", "web", "workflows", "subgraphs", "locales"):
        shutil.copytree(comfy_server.ROOT / name, pack / name)
    for name in ("__init__.py", "pyproject.toml"):
        shutil.copyfile(comfy_server.ROOT / name, pack / name)
    return pack


@pytest.fixture(scope="session")
def comfy(copied_pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server, with the copied pack linked into a fresh base folder.

    Many tests cut the same few pictures out: each look of the network is computed once.
    """
    base = tmp_path_factory.mktemp("comfy")
    with comfy_server.serving(base, copied_pack, keep_looks=True) as running:
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


def pytest_configure(config: pytest.Config) -> None:
    """The marker of tests whose other renderer is seen on another front end: runner/checks.py chooses."""
    config.addinivalue_line("markers", "on_newest: in Nodes 2.0 on the newest front end alone")


@pytest.fixture(params=[False, True], ids=["canvas", "nodes2"])
def vue(request: pytest.FixtureRequest) -> bool:
    """Both renderers: the classic canvas, and Nodes 2.0 (Vue)."""
    return bool(request.param)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One renderer after the other, as a page must be loaded anew for another one."""
    items.sort(key=lambda item: bool(getattr(item, "callspec", None) and item.callspec.params.get("vue")))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium; what a page is expected to show may take as long as on a busy machine."""
    expect.set_options(timeout=browser_page.READY_MS)
    with sync_playwright() as playwright:
        launched = browser_page.launch(playwright)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def shared_page(browser: Browser) -> Iterator[SharedPage]:
    """The page of most tests."""
    shared = SharedPage(browser)
    yield shared
    shared.close()


@pytest.fixture(scope="module")
def other_shared_page(browser: Browser) -> Iterator[SharedPage]:
    """Another person's page, which shares nothing with the first; it takes touches.

    An open page costs a sixth of a core though nothing happens in it, so it goes with the tests that use it.
    """
    shared = SharedPage(browser, has_touch=True)
    yield shared
    shared.close()


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Notes which tests failed."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture
def page(shared_page: SharedPage, comfy: Server, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page that tests share; a new one after a test that failed, which may have left it in any state."""
    yield from _tidy(shared_page, comfy, request)


@pytest.fixture
def second_page(
    other_shared_page: SharedPage, comfy: Server, request: pytest.FixtureRequest
) -> Iterator[Page]:
    """The other person's page, shared in the same way; a test may close it."""
    yield from _tidy(other_shared_page, comfy, request)


def _tidy(shared: SharedPage, comfy: Server, request: pytest.FixtureRequest) -> Iterator[Page]:
    page = shared.take()
    browser_page.tidy_up(page, comfy)
    yield page
    if request.node.stash.get(FAILED, False):
        shared.close()


@pytest.fixture
def fresh_page(browser: Browser) -> Iterator[Page]:
    """A page of its own without anything remembered, for tests that change what outlives a workflow."""
    shared = SharedPage(browser)
    yield shared.take()
    shared.close()
