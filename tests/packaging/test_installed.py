"""The archive, unpacked into an empty ComfyUI: the quickstart runs from it, and only from it."""

from __future__ import annotations

import json
from pathlib import Path

from comfy_server import Recorder
from runner.server import Server


def graph(installed: Path) -> dict[str, dict[str, object]]:
    """The archive's own quickstart."""
    text = (installed / "workflows" / "api" / "Quickstart.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def test_the_quickstart_runs(server: Server, installed: Path) -> None:
    recorder = Recorder(server)
    try:
        run = recorder.run(graph(installed))
    finally:
        recorder.close()
    assert run.error is None, run.message
    assert run.previews, "drawn scale by scale"
    pictures = [picture for pictures in run.pictures.values() for picture in pictures]
    assert pictures and all(len(picture.getcolors(2**24) or ()) > 100 for picture in pictures)


def test_the_page_gets_all_that_it_asks_for(server: Server, installed: Path) -> None:
    for file in (installed / "web").rglob("*.*"):
        path = file.relative_to(installed / "web").as_posix()
        assert server.client.get(f"/extensions/echogen/{path}") == file.read_bytes()
    offered = server.client.get_json("/workflow_templates")["echogen"]
    assert set(offered) == {file.stem for file in (installed / "workflows").glob("*.json")}
    translated = server.client.get_json("/i18n")
    for file in (installed / "locales").rglob("*.json"):
        texts, language = json.loads(file.read_text(encoding="utf-8")), translated[file.parent.name]
        shown = language if file.stem == "main" else language[file.stem]
        assert {key: shown[key] for key in texts} == texts


def test_comfyui_logs_no_trouble_with_it(server: Server) -> None:
    log = server.log.read_text(encoding="utf-8", errors="replace").replace("\\", "/")
    about = [line for line in log.splitlines() if "custom_nodes/echogen" in line]
    assert about, "the seconds that its import took"
    # Of the files in a traceback, too; ComfyUI's own nodes have some where torchaudio is absent.
    assert not [line for line in about if "IMPORT FAILED" in line or line.lstrip().startswith("File ")]
