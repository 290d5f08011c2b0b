"""`python run.py` and `run.py demo`: a ComfyUI with the pack in it, for a person or for one picture."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import urllib.parse
import webbrowser
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import comfyui, device, environment, pythons, server
from .say import Problem, make_folder, say

QUICKSTART = "Quickstart"
PICTURE_NODES = ("SaveImage", "PreviewImage")  # not the pictures that other nodes show of their inputs
SAMPLE_NODE = "EchoGenSamplePicture"
FIND_BLANK = """
from PIL import Image
def blank(path):
    with Image.open(path) as picture:
        return all(high - low <= 2 for low, high in picture.convert("RGB").getextrema())
answer = [path for path in sys.argv[2:] if blank(path)]
"""


@dataclass(frozen=True)
class Setting:
    """Where things are: the pack's folder, and the folder for what the commands make."""

    pack: Path
    state: Path

    @property
    def venv(self) -> Path:
        """The virtual environment that run.py makes."""
        return self.state / ".venv"

    @property
    def comfy(self) -> Path:
        """The folder of the ComfyUI that run.py fetches."""
        return self.state / ".comfy"


@dataclass(frozen=True)
class Ready:
    """What a server is started with.

    base: a folder of ours, for the log and, where it is `closed`, for all that the server makes.
    pack_name: the folder under custom_nodes that ComfyUI knows the pack by.
    """

    comfy: comfyui.ComfyUI
    python: Path
    base: Path
    pack_name: str = comfyui.PACK_NAME
    closed: bool = True

    def running(self, port: int | None, cpu: bool = False) -> AbstractContextManager[server.Server]:
        """The server, on the device that its ComfyUI picks or, with `cpu`, on the CPU. Prints both."""
        version = comfyui.version(self.comfy.path)
        say(f"Starting ComfyUI {version} from {self.comfy.path} ({self.comfy.found_by})")
        extra = device.start_arguments(self.python, self.comfy.path, cpu)
        return server.running(self.python, self.comfy.path, self.base, port, extra, closed=self.closed)


def own_setup(setting: Setting, found: comfyui.ComfyUI | None, extra_steps: bool = False) -> Ready:
    """A ComfyUI that runs in our own environment and base folder; the user's ComfyUI is only read."""
    steps = environment.comfyui_steps()
    if found:
        steps = environment.comfyui_steps(comfyui.requirements(found), comfyui.needs_torchaudio(found))
    if extra_steps:
        steps += environment.test_steps()
    # The environment's packages are compiled at their first import, and stay so.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    venv = environment.ensure(setting.venv, steps)
    comfy = found or comfyui.install(setting.comfy, venv)
    base = setting.comfy / "base"
    link = comfyui.link_pack(setting.pack, base)
    prepare_base(base)
    return Ready(comfy, venv.python, base, link.name)


def setup(setting: Setting, found: comfyui.ComfyUI | None, named_python: str | None = None) -> Ready:
    """For `python run.py`: the user's ComfyUI as it is, where there is one, else one of our own."""
    if found is None or not found.users_own:
        if named_python:
            raise Problem("--python goes with a ComfyUI of your own, and none was found: --comfyui PATH.")
        return own_setup(setting, found)
    python = pythons.choose(found.path, named_python, os.environ, setting.venv)
    if python is None:
        return own_setup(setting, found)
    if pythons.is_portable(python):
        os.environ["PYTHONNOUSERSITE"] = "1"  # what the portable build's own start does with -s
    link = comfyui.link_pack(setting.pack, found.path)
    say(f"The pack is in {link}")
    return Ready(found, python, setting.comfy, link.name, closed=False)


def prepare_base(base: Path) -> None:
    """Settings for a fresh base folder: no template dialog over the page, the quickstart in the sidebar."""
    settings = base / "user" / "default" / "comfy.settings.json"
    if not settings.exists():
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(json.dumps({"Comfy.TutorialCompleted": True}), encoding="utf-8")


def samples(pack: Path) -> list[Path]:
    """The packaged sample pictures."""
    return sorted((pack / "echogen_core" / "assets" / "samples").glob("*.*"))


def quickstart_graph(pack: Path) -> dict[str, Any]:
    """The API-format quickstart."""
    graph = json.loads((pack / "workflows" / "api" / f"{QUICKSTART}.json").read_text(encoding="utf-8"))
    return dict(graph)


def workflow_page(url: str, name: str, pack_name: str = comfyui.PACK_NAME) -> str:
    """The address that opens the front end with one of our workflows in it."""
    return f"{url}/?template={name}&source={urllib.parse.quote(pack_name)}"


def start(
    setting: Setting,
    found: comfyui.ComfyUI | None,
    port: int | None,
    browser: bool,
    named_python: str | None = None,
    cpu: bool = False,
) -> None:
    """Sets up, starts the server, opens the quickstart, and stays until Ctrl+C."""
    ready = setup(setting, found, named_python)
    with ready.running(port, cpu) as running:
        page = workflow_page(running.url, QUICKSTART, ready.pack_name)
        say(f"\nComfyUI is at   {running.url}")
        say(f"Quickstart:     {page}")
        say(f"Log:            {running.log}")
        say("Ctrl+C stops it.")
        if browser:
            webbrowser.open(page)
        try:
            running.process.wait()
        except KeyboardInterrupt:
            say("\nStopping.")
            return
    raise Problem(f"ComfyUI stopped. The end of {running.log}:\n{server.log_tail(running.log)}")


def demo(
    setting: Setting, found: comfyui.ComfyUI | None, out: Path, port: int | None, cpu: bool = False
) -> list[Path]:
    """Runs the quickstart once through the API and writes its pictures to `out`.

    Raises Problem when it fails, or gives no picture or a blank one.
    """
    begin = time.monotonic()
    graph = quickstart_graph(setting.pack)
    reference = reference_of(graph, samples(setting.pack))
    make_folder(out, "--out")
    ready = own_setup(setting, found)
    set_up = time.monotonic()
    with ready.running(port, cpu) as running:
        started = time.monotonic()
        try:
            entry = running.client.wait(running.client.queue(graph), timeout=900)
        except (server.PromptFailed, OSError) as failure:  # OSError: the server is gone
            raise Problem(f"The quickstart failed: {failure}\nLog: {running.log}") from failure
        made = time.monotonic()
        pictures = [
            (node, data)
            for node, data in running.client.pictures(entry)
            if graph[node]["class_type"] in PICTURE_NODES
        ]
    if not pictures:
        raise Problem(f"The quickstart ran but gave no picture. Log: {running.log}")
    copied = out / f"reference{reference.suffix}"
    shutil.copyfile(reference, copied)
    say(f"Reference:  {copied}")
    names = file_names(graph, [node for node, _ in pictures])
    written = [write(out / name, data) for name, (_, data) in zip(names, pictures, strict=True)]
    for path in written:
        say(f"Picture:    {path}")
    refuse_blank(ready.python, written, running.log)
    say(
        f"Set up in {set_up - begin:.1f} s, ComfyUI up in {started - set_up:.1f} s, "
        f"picture in {made - started:.1f} s."
    )
    return written


def refuse_blank(python: Path, pictures: list[Path], log: Path) -> None:
    """Raises Problem when a picture has a single colour, as NaN or a broken device gives.

    python: one with Pillow, which opens the pictures.
    """
    try:
        blank = pythons.probe(python, FIND_BLANK, *map(str, pictures), folder=pictures[0].parent)
    except pythons.ProbeFailed as reason:
        raise Problem(f"A picture of the quickstart can't be opened: {reason}\nLog: {log}") from reason
    if blank:
        raise Problem(
            f"The quickstart ran, but these pictures are blank: {', '.join(blank)}. The device may compute "
            f"wrongly: try `run.py demo --cpu`. Log: {log}"
        )


def reference_of(graph: dict[str, Any], pictures: list[Path]) -> Path:
    """The packaged sample picture that the graph starts from. Raises Problem when it is not there."""
    named = [node["inputs"]["picture"] for node in graph.values() if node["class_type"] == SAMPLE_NODE]
    found = [picture for picture in pictures if picture.name in named]
    if not found:
        raise Problem(
            f"The quickstart's sample picture ({', '.join(named) or 'none named'}) is missing from "
            "echogen_core/assets/samples. The pack is incomplete: get it again."
        )
    return found[0]


def file_names(graph: dict[str, Any], nodes: list[str]) -> list[str]:
    """A file name for each picture: the title of the node that shows it, and a number of its own."""
    titles = [graph[node].get("_meta", {}).get("title", graph[node]["class_type"]) for node in nodes]
    slugs = [re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_") for title in titles]
    return [f"{number:02d}_{slug}.png" for number, slug in enumerate(slugs, 1)]


def write(path: Path, data: bytes) -> Path:
    """Writes a file; returns its path."""
    path.write_bytes(data)
    return path
