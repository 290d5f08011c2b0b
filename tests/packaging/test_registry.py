"""The registry's own checks, and two of other people's: on the pack as it would be published."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import comfy_server
from runner.server import Server

from .conftest import ComfyCli

FILES = "invalid-enum"  # of a list of files: those of the published models are not there


def test_comfy_cli_finds_nothing_to_say(comfy_cli: ComfyCli) -> None:
    said = comfy_cli("node", "validate")
    assert "All validation checks passed" in said and "arning" not in said


def test_every_workflow_is_clean_for_comfy_lint(server: Server, installed: Path, tmp_path: Path) -> None:
    """comfy-lint: links, types, inputs and options of API workflows, against a server's own schema."""
    schema = tmp_path / "object_info.json"
    workflows = sorted((installed / "workflows" / "api").glob("*.json"))
    schema.write_bytes(server.client.get("/object_info"))
    command = [sys.executable, "-m", "comfy_lint.cli", "--schema-cache", str(schema), "--strict", "--json"]
    done = subprocess.run([*command, *map(str, workflows)], capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    assert len(report["files"]) == len(workflows) > 0 and not report["unreadable"]
    found = [diagnostic for file in report["files"] for diagnostic in file["diagnostics"]]
    assert not [each for each in found if each["rule"] != FILES], found
    for each in found:
        assert each["class_type"].startswith("EchoGenLoad") or each["field"] in ("model", "detector"), each


def test_every_name_taken_from_comfyui_is_there_for_comfy_import_guard(
    installed: Path, tmp_path: Path
) -> None:
    """comfy-import-guard: names and signatures of `comfy`, read from a git repository of ComfyUI's source."""
    repository = tmp_path / "cache" / "ComfyUI"
    shutil.copytree(
        comfy_server.comfyui_path() / "comfy", repository / "comfy", ignore=shutil.ignore_patterns("*.pyc")
    )
    author = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "-q"], ["add", "-A"], [*author, "commit", "-q", "-m", "source"]):
        subprocess.run(["git", *command], cwd=repository, check=True)
    command = ["check", "--comfy-dir", str(installed.parents[1]), "--cache-dir", str(repository.parent)]
    options = ["--offline", "--target", "HEAD", "--json", "--pack", installed.name]
    guard = "import sys; from comfy_import_guard.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", guard, *command, *options],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    (report,) = json.loads(done.stdout)["packs"]
    assert report["references"] > 20 and not report["unparseable"]
    breaking: list[dict[str, Any]] = report["breaking"]
    assert not [each for each in breaking if not has_default(installed / each["file"], each["line"])]


def has_default(file: Path, line: int) -> bool:
    """Whether the line asks with getattr and a third argument, which the guard takes for a bare attribute."""
    calls = [
        node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)
    ]
    return any(
        call.lineno == line
        and isinstance(call.func, ast.Name)
        and call.func.id == "getattr"
        and len(call.args) == 3
        for call in calls
    )
