"""Every command line ends the same way when its input is at fault."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from echogen_core.utils.optional_packages import MissingPackageError
from echogen_core.utils.program import INPUT_ERROR, run_program
from tests.core import warm_process

ROOT = Path(__file__).resolve().parents[3]
ABSENT = {
    "echogen_core": ("convert", "{absent}", "--out", "{out}/x.safetensors"),
    "echogen_core.training": ("--data", "{absent}", "--out", "{out}"),
    "echogen_core.evaluation": ("dreambench", "--data", "{absent}", "--out", "{out}"),
    "miniature": ("evaluate", "--data", "{absent}", "--out", "{out}"),
}
"""Module -> arguments that name a file or folder that is absent."""


@pytest.mark.parametrize(
    "error", [ValueError, OSError, FileNotFoundError, MissingPackageError, ModuleNotFoundError]
)
def test_an_error_of_the_input_is_one_line(
    error: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> int:
        raise error("x is missing")

    assert run_program("python -m x", fail) == INPUT_ERROR == 2
    assert capsys.readouterr() == ("", "python -m x: x is missing\n")
    assert run_program("python -m x", lambda: 3) == 3


def test_a_defect_propagates() -> None:
    with pytest.raises(ZeroDivisionError):
        run_program("python -m x", lambda: 1 // 0)


@pytest.mark.parametrize("module", list(ABSENT))
def test_every_command_ends_so(module: str, tmp_path: Path) -> None:
    """One of them as a shell starts it."""
    places = {"absent": tmp_path / "absent", "out": tmp_path / "out"}
    arguments = [argument.format(**places) for argument in ABSENT[module]]
    if module == "echogen_core":
        command = [sys.executable, "-m", module, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)
        status, said = done.returncode, done.stderr
    else:
        process = warm_process.start(f"{module}.__main__:main", arguments, {}, tmp_path / "said")
        status, said = warm_process.status(process), (tmp_path / "said").read_text("utf-8")
    assert status == INPUT_ERROR and "Traceback" not in said, said
    last = said.splitlines()[-1]
    assert last.startswith(f"python -m {module}") and str(places["absent"]) in last, said
