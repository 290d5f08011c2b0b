"""Stand-ins for the user's own ComfyUI and its Python, and starting them as `python run.py` does."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from runner import comfyui, pythons, session
from runner.say import Problem

# Answers once, as a ComfyUI that is ready, and ends; its arguments are the first line of its log.
MAIN = """
import http.server, json, sys

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

print(json.dumps(sys.argv[1:]), flush=True)
port = int(sys.argv[sys.argv.index("--port") + 1])
http.server.HTTPServer(("127.0.0.1", port), Answer).handle_request()
"""
TAKES = "import types\ndef get_torch_device(): return types.SimpleNamespace(type={!r})\n"
TORCH = '__version__ = "2.13.0+cpu"\n'
"""As much of torch as a start reads of it; importing all of it takes seconds."""
RAISES = "def get_torch_device(): raise AssertionError('Torch not compiled with CUDA enabled')\n"


def users_comfyui(
    path: Path, management: str, own_python: bool = True, torch: str = TORCH
) -> comfyui.ComfyUI:
    """A ComfyUI, with its own Python unless told otherwise; `management` picks the device.

    torch: a module in the place of that Python's; empty for the real one.
    """
    (path / "comfy").mkdir(parents=True)
    (path / "custom_nodes").mkdir()
    (path / "folder_paths.py").touch()
    (path / "main.py").write_text(MAIN, encoding="utf-8")
    (path / "comfyui_version.py").write_text('__version__ = "0.46.0"\n', encoding="utf-8")
    (path / "comfy" / "model_management.py").write_text(management, encoding="utf-8")
    if own_python:
        make_environment(path / "venv", torch=torch)
    return comfyui.ComfyUI(path, users_own=True, found_by="a test")


def make_environment(home: Path, complete: bool = True, torch: str = TORCH) -> Path:
    """A virtual environment's Python; a complete one sees the packages of this one, but for `torch`."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    if complete:
        packages = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
        (packages / "outer.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
        if torch:
            (packages / "torch.py").write_text(torch, encoding="utf-8")
    return pythons.in_environment(home)


def start(
    comfy: comfyui.ComfyUI,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    python: str | None = None,
    cpu: bool = False,
) -> tuple[list[str], str]:
    """Starts it as `python run.py` does, until it ends by itself; its arguments and the page."""
    pages: list[str] = []
    monkeypatch.setattr(session.webbrowser, "open", pages.append)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    pack = folder / "pack"
    pack.mkdir(exist_ok=True)
    with pytest.raises(Problem, match="ComfyUI stopped"):
        session.start(session.Setting(pack, folder / "state"), comfy, None, True, python, cpu)
    log = (folder / "state" / ".comfy" / "comfyui.log").read_text(encoding="utf-8")
    return list(json.loads(log.splitlines()[0])), pages[0]
