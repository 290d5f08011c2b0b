"""A real ComfyUI server with the pack in it, and a websocket that records what a run does.

Used by tests/e2e. `ECHOGEN_COMFYUI` names the ComfyUI folder; `python run.py test` sets it. With
`ECHOGEN_FRONTEND` (a --front-end-root) the server shows another front end than its own.
"""

from __future__ import annotations

import copy
import io
import json
import os
import shutil
import struct
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import websocket
from PIL import Image

from runner import comfyui, frontend, server, session
from runner.server import Client, PromptFailed, Server

ROOT = Path(__file__).resolve().parents[1]
RUN_SECONDS = 240.0
PREVIEW_IMAGE, PREVIEW_IMAGE_WITH_METADATA = 1, 4  # binary event types of ComfyUI's protocol.py

Graph = dict[str, dict[str, Any]]


def comfyui_path() -> Path:
    """The ComfyUI to test against."""
    named = os.environ.get("ECHOGEN_COMFYUI")
    if named:
        return Path(named).resolve()  # the server has another working folder
    found = comfyui.find(None, os.environ, ROOT)
    brought = ROOT / ".comfy" / "ComfyUI"
    if found is None and not comfyui.is_comfyui(brought):
        raise RuntimeError(
            "No ComfyUI: run `python run.py test --only e2e`, or set ECHOGEN_COMFYUI to a folder."
        )
    return found.path if found else brought


def results_path() -> Path:
    """Where logs and screenshots go."""
    path = Path(os.environ.get("ECHOGEN_RESULTS") or ROOT / ".comfy" / "results")
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def serving(
    base: Path,
    pack: Path = ROOT,
    name: str = "e2e",
    options: Sequence[str] = (),
    keep_looks: bool = False,
) -> Iterator[Server]:
    """A server on the CPU whose only custom nodes are the pack and the tests' own; its log is kept.

    keep_looks: the network of the built-in cut computes each look once (tests/kept_looks.py).
    """
    comfyui.link_pack(pack, base)
    helpers = base / "custom_nodes" / "helper_nodes"
    helpers.mkdir(exist_ok=True)
    files = {"__init__.py": "e2e/helper_nodes.py", "naive_run.py": "naive_run.py"}
    files |= {"kept_looks.py": "kept_looks.py"} if keep_looks else {}
    for target, source in files.items():
        shutil.copyfile(ROOT / "tests" / source, helpers / target)
    settings = base / "user" / "default" / "comfy.settings.json"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(json.dumps({"Comfy.TutorialCompleted": True}), encoding="utf-8")
    port = server.free_port(0)
    environ = {"PYTHONPATH": ""}
    shown = frontend.given(os.environ)
    extra = ["--cpu", *(["--front-end-root", str(shown)] if shown else []), *options]
    with server.running(Path(sys.executable), comfyui_path(), base, port, extra, environ) as running:
        try:
            yield running
        finally:
            shutil.copyfile(running.log, results_path() / f"comfyui_{name}.log")


def shipped(name: str) -> Graph:
    """A shipped workflow in API format, new each time."""
    return dict(json.loads((ROOT / "workflows" / "api" / f"{name}.json").read_text(encoding="utf-8")))


def quickstart() -> Graph:
    """The first of them."""
    return shipped(session.QUICKSTART)


def single() -> Graph:
    """The way to one picture, unscaled, shown by a node `picture`; without the other outputs."""
    graph = changed(quickstart(), "EchoGenSampler", batch=1)
    decoder = node_of(graph, "EchoGenDecodeBits")
    graph["picture"] = {"class_type": "PreviewImage", "inputs": {"images": [decoder, 0]}}
    return {key: graph[key] for key in sorted(needed_by(graph, "picture"))}


def gate(file: Path) -> Graph:
    """A run that goes on until the file is there; other runs wait meanwhile."""
    return {"gate": {"class_type": "TestGate", "inputs": {"file": str(file)}}}


def needed_by(graph: Graph, node: str) -> set[str]:
    """Ids of the nodes that `node` needs, itself included."""
    sources = [value[0] for value in graph[node]["inputs"].values() if isinstance(value, list)]
    return {node}.union(*(needed_by(graph, source) for source in sources))


def node_of(graph: Graph, class_type: str) -> str:
    """Id of the graph's only node of that class."""
    (found,) = [key for key, node in graph.items() if node["class_type"] == class_type]
    return found


def inputs_of(graph: Graph, class_type: str) -> dict[str, Any]:
    """The inputs of the graph's only node of that class."""
    return dict(graph[node_of(graph, class_type)]["inputs"])


def changed(graph: Graph, class_type: str, **inputs: Any) -> Graph:
    """A copy with other inputs on the only node of that class."""
    other = copy.deepcopy(graph)
    other[node_of(other, class_type)]["inputs"].update(inputs)
    return other


@dataclass
class Preview:
    """One live picture: the node it belongs to (None on old clients) and the picture."""

    node: str | None
    picture: Image.Image


@dataclass
class Run:
    """What one prompt did, in the order of the events."""

    prompt_id: str
    executed: list[str] = field(default_factory=list)
    cached: list[str] = field(default_factory=list)
    previews: list[Preview] = field(default_factory=list)
    progress: list[tuple[str, int, int]] = field(default_factory=list)
    error: dict[str, Any] | None = None
    interrupted: bool = False
    pictures: dict[str, list[Image.Image]] = field(default_factory=dict)

    @property
    def message(self) -> str:
        """The failed node's own words."""
        assert self.error is not None, "expected an error; the run succeeded"
        return str(self.error["exception_message"])


class Recorder:
    """A websocket client of the server that runs prompts and records their events."""

    def __init__(self, running: Server) -> None:
        self.server = running
        self.client: Client = running.client
        address = f"{running.url.replace('http', 'ws', 1)}/ws?clientId={self.client.client_id}"
        self.socket = websocket.create_connection(address, timeout=RUN_SECONDS)
        # With it previews come with their node's id, as the front end gets them.
        flags = {"type": "feature_flags", "data": {"supports_preview_metadata": True}}
        self.socket.send(json.dumps(flags))

    def close(self) -> None:
        self.socket.close()

    def run(
        self, graph: Mapping[str, Any], on_event: Callable[[Run], None] | None = None, **extra_data: Any
    ) -> Run:
        """Runs a graph to its end, good or bad. `on_event` is called after every event.

        extra_data: see Client.queue. Raises PromptFailed when the server refuses the graph.
        """
        run = Run(self.client.queue(dict(graph), **extra_data))
        end = time.monotonic() + RUN_SECONDS
        ended = False
        while not ended:
            ended = self._take(run)
            if on_event:
                on_event(run)
            assert time.monotonic() < end, f"{run} did not end"
        if run.error is None and not run.interrupted:
            entry = self.client.wait(run.prompt_id)
            for node, data in self.client.pictures(entry):
                run.pictures.setdefault(node, []).append(Image.open(io.BytesIO(data)))
        return run

    def _take(self, run: Run) -> bool:
        """Records one event; True when the prompt has ended."""
        message = self.socket.recv()
        if isinstance(message, bytes):
            if preview := parse_preview(message):
                run.previews.append(preview)
            return False
        event = json.loads(message)
        data = event.get("data", {})
        if data.get("prompt_id") != run.prompt_id:
            return False
        kind = event["type"]
        if kind == "executing" and data["node"] is not None:
            run.executed.append(data["node"])
        elif kind == "execution_cached":
            run.cached = list(data["nodes"])
        elif kind == "progress":
            run.progress.append((data["node"], data["value"], data["max"]))
        elif kind == "execution_error":
            run.error = data
        elif kind == "execution_interrupted":
            run.interrupted = True
        return kind in ("execution_success", "execution_error", "execution_interrupted")


def parse_preview(message: bytes) -> Preview | None:
    """A preview from a binary event; None for other events."""
    (kind,) = struct.unpack(">I", message[:4])
    if kind == PREVIEW_IMAGE:
        return Preview(None, Image.open(io.BytesIO(message[8:])))
    if kind == PREVIEW_IMAGE_WITH_METADATA:
        (length,) = struct.unpack(">I", message[4:8])
        metadata = json.loads(message[8 : 8 + length])
        return Preview(metadata.get("node_id"), Image.open(io.BytesIO(message[8 + length :])))
    return None


__all__ = [
    "Graph",
    "PromptFailed",
    "Recorder",
    "Run",
    "changed",
    "comfyui_path",
    "node_of",
    "quickstart",
    "results_path",
    "serving",
    "shipped",
    "single",
]
