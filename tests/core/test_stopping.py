"""Command lines that are stopped by a signal: cleaned up, one line, the status of the signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from echogen_core.checkpoints import ASSETS
from echogen_core.checkpoints.read import read_weights
from echogen_core.commands import convert

from .stopped import POSIX, ROOT, Process

SHIPPED = ASSETS / "nano" / "tokenizer.safetensors"
COMMANDS = {
    "echogen_core": ["convert", "x", "--out", "y"],
    "echogen_core.training": ["tokenizer", "--data", "x", "--out", "y"],
    "echogen_core.evaluation": ["latency", "--out", "y"],
}


@pytest.mark.parametrize("package", COMMANDS)
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_command_says_one_line_also_while_it_still_imports(package: str, name: str, tmp_path: Path) -> None:
    """In the place of torch, whose import takes seconds, stands one that waits for the signal."""
    (tmp_path / "torch.py").write_text("import time\nprint('here', flush=True)\ntime.sleep(100)\n")
    with subprocess.Popen(
        [sys.executable, "-m", package, *COMMANDS[package]],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "here\n"
        if not POSIX:
            process.kill()
            return
        process.send_signal(getattr(signal, name))
        _, said = process.communicate(timeout=300)
    assert process.returncode == {"SIGINT": 130, "SIGTERM": 143}[name]
    assert said.startswith(f"python -m {package}") and said.endswith(f": stopped ({name}).\n")
    assert said.count("\n") == 1


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_a_conversion_that_is_stopped(name: str, tmp_path: Path) -> None:
    """When the whole file is written, and does not count yet: what is left goes, and the same works again."""
    out = tmp_path / "out.safetensors"
    out.write_bytes(b"earlier")
    arguments = ["convert", str(SHIPPED), "--out", str(out)]
    with Process("os.fsync", "echogen_core.__main__:main", *arguments) as process:
        number = getattr(signal, name, signal.SIGTERM)
        status, said = process.arrive().end(number)
    left = [path for path in tmp_path.iterdir() if path != out]
    assert out.read_bytes() == b"earlier"
    if POSIX and name == "SIGTERM":
        assert (status, said) == (143, "python -m echogen_core: stopped (SIGTERM).\n") and not left
    else:
        assert len(left) == 1 and left[0].stat().st_size > 1000
        if not POSIX:
            os.utime(left[0], (time.time() - 3600,) * 2)
    convert.convert(SHIPPED, out, convert.Conversion(), lambda *_: None)
    assert [*tmp_path.iterdir()] == [out] and read_weights(out).tensors
