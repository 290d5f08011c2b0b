"""One real server for all tests of the session, and one websocket client per test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

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
