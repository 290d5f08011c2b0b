"""`run.py demo`: the picture of a server that answers like ComfyUI, and a blank one."""

from __future__ import annotations

import base64
import io
import json
import sys
from pathlib import Path

import pytest
from PIL import Image

import run
from runner import comfyui, session
from runner.say import Problem

ROOT = Path(run.__file__).resolve().parent
# Answers as a ComfyUI that has run the quickstart; {shown} is its node, {picture} the PNG in base64.
MAIN = """
import base64, http.server, json, sys

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        if self.path.startswith("/view"):
            self.wfile.write(base64.b64decode("{picture}"))
        else:
            image = dict(filename="a.png", subfolder="", type="output")
            status = dict(completed=True, status_str="success")
            done = dict(status=status, outputs={{"{shown}": dict(images=[image])}})
            self.wfile.write(json.dumps(dict(done=done)).encode())

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(dict(prompt_id="done")).encode())

print(json.dumps(sys.argv[1:]), flush=True)
port = int(sys.argv[sys.argv.index("--port") + 1])
http.server.ThreadingHTTPServer(("127.0.0.1", port), Answer).serve_forever()
"""


def demo(picture: Image.Image, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Runs the demo on the CPU with a server that gives this picture; the files that it wrote."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    graph = session.quickstart_graph(ROOT)
    shown = next(key for key, node in graph.items() if node["class_type"] == "SaveImage")
    comfy = folder / "comfy"
    comfy.mkdir()
    encoded = base64.b64encode(file.getvalue()).decode()
    (comfy / "main.py").write_text(MAIN.format(picture=encoded, shown=shown), encoding="utf-8")
    found = comfyui.ComfyUI(comfy, users_own=False, found_by="a test")
    ready = session.Ready(found, Path(sys.executable), folder / "base")
    monkeypatch.setattr(session, "own_setup", lambda setting, found: ready)  # it would make an environment
    return session.demo(session.Setting(ROOT, folder), found, folder / "out", None, cpu=True)


def test_a_picture_is_written_under_its_nodes_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = Image.radial_gradient("L").convert("RGB")
    (written,) = demo(picture, tmp_path, monkeypatch)
    with Image.open(written) as read:
        assert read.tobytes() == picture.tobytes()
    arguments = json.loads((tmp_path / "base" / "comfyui.log").read_text().splitlines()[0])
    assert arguments[-1] == "--cpu"


@pytest.mark.parametrize("colour", ["black", "white", (127, 128, 126)])
def test_a_blank_picture_is_refused_and_kept(
    colour: str | tuple[int, int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Problem, match=r"(?s)these pictures are blank: .*run\.py demo --cpu"):
        demo(Image.new("RGB", (64, 64), colour), tmp_path, monkeypatch)
    assert len(list((tmp_path / "out").glob("01_*.png"))) == 1
