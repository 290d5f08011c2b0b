"""Command lines that are stopped by a signal: cleaned up, one line, the status of the signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from echogen_core.checkpoints import ASSETS
from echogen_core.checkpoints.read import read_weights
from echogen_core.commands import convert
from echogen_core.utils.stopping import until_stopped
from tests.core.stopped import POSIX, ROOT, Process

SHIPPED = ASSETS / "nano" / "tokenizer.safetensors"
WRITE_IN_POOL = "tests.core.utils.small_writers:write_in_pool"
COMMANDS = {
    "echogen_core": ["convert", "x", "--out", "y"],
    "echogen_core.training": ["--data", "x", "--out", "y"],
    "miniature": ["tokenizer", "--data", "x", "--out", "y"],
    "echogen_core.evaluation": ["latency", "--out", "y"],
}


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("package", COMMANDS)
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_command_says_one_line_also_while_it_still_imports(package: str, name: str, tmp_path: Path) -> None:
    """In the place of torch, whose import takes seconds, stands one that waits for the signal."""
    waits = "for _ in range(10_000):\n    time.sleep(0.01)\n"
    (tmp_path / "torch.py").write_text(f"import time\nprint('here', flush=True)\n{waits}")
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


# --- with processes of its own


@pytest.mark.parametrize("moment", ["started", "writing"])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("group", [True, False])
def test_a_command_ends_its_processes_and_nobody_else_speaks(
    group: bool, name: str, moment: str, tmp_path: Path
) -> None:
    """Ctrl+C in a terminal, and a scheduler's kill, go to all processes at once."""
    if not POSIX:  # ends them without asking
        return
    with Process("multiprocessing.pool.Pool.map", WRITE_IN_POOL, tmp_path) as process:
        process.arrive()
        if moment == "writing":
            process.leave()
            until(lambda: len([*tmp_path.glob(".*.partial")]) == 2)
        status, said = process.end(getattr(signal, name), group)
    assert (status, said) == ({"SIGINT": 130, "SIGTERM": 143}[name], f"write: stopped ({name}).\n")
    assert not [*tmp_path.iterdir()]


def test_what_goes_wrong_while_a_command_stops_is_of_no_account(capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> int:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            raise RuntimeError("a worker is gone")

    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a test before this one may have set its own
    try:
        assert until_stopped("write", run) == 143
        assert capsys.readouterr().err == "write: stopped (SIGTERM).\n"
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


def test_what_goes_wrong_otherwise_is_raised() -> None:
    def run() -> int:
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        until_stopped("write", run)


# --- every command's door


def test_no_module_has_a_command_line_beside_its_packages() -> None:
    """One that is run by its own name would not be stopped in one line."""
    found = [
        path
        for package in ("echogen_core", "miniature")
        for path in (ROOT / package).rglob("*.py")
        if '__name__ == "__main__"' in path.read_text("utf-8")
    ]
    assert {path.name for path in found} == {"__main__.py"} and len(found) == len(COMMANDS)
