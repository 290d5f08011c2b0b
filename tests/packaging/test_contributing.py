"""The lines with which CONTRIBUTING.md runs one test file, as they are printed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from comfy_server import comfyui_path
from tests.repository.documented import Command, documented_commands

ROOT = Path(__file__).resolve().parents[2]
BROUGHT = ".comfy/ComfyUI"
"""The ComfyUI of the page, relative like the one that takes its place here."""
LINES = [line for line in documented_commands("CONTRIBUTING.md") if line.words[0] == ".venv/bin/pytest"]
(SERVED,) = [line for line in LINES if "tests/e2e/test_api.py" in line.words]
OTHERS = [line for line in LINES if line is not SERVED]
WITH_A_SERVER = ["-k", "test_the_quickstart_is_offered_among_the_templates"]


def run_printed(line: Command, *options: str) -> str:
    """What pytest says, in the repository's folder and with the line's environment."""
    here = os.path.relpath(comfyui_path(), ROOT)
    environ = {name: value.replace(BROUGHT, here) for name, value in line.environment.items()}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *line.words[1:], *options],
        cwd=ROOT,
        env={**os.environ, "ECHOGEN_COMFYUI": "", "PYTHONPATH": "", **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("line", OTHERS, ids=lambda line: line.words[1])
def test_the_printed_line_finds_its_tests(line: Command) -> None:
    assert f"{line.words[1]}::" in run_printed(line, "--collect-only")


def test_a_server_starts_with_the_comfyui_of_the_line() -> None:
    """Its working folder is another one."""
    assert "1 passed" in run_printed(SERVED, *WITH_A_SERVER)
