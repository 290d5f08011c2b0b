"""`python run.py` on the user's own ComfyUI: which Python it is started with."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import pytest

from runner import cards, comfyui, pythons, session
from runner.say import Problem

from .users_comfyui import TAKES, make_environment, start, users_comfyui


@pytest.fixture(autouse=True)
def nothing_active(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own Python has what ComfyUI needs: it must not be found unless a test asks for it."""
    monkeypatch.setattr(sys, "executable", sys.executable)
    monkeypatch.setattr(cards, "find", lambda: None)
    for name in pythons.ACTIVE_ENVIRONMENTS:
        monkeypatch.delenv(name, raising=False)


def choose(
    comfy: comfyui.ComfyUI, named: str | None = None, environ: Mapping[str, str] | None = None
) -> Path | None:
    return pythons.choose(comfy.path, named, environ or {}, comfy.path.parent / "state" / ".venv")


@pytest.fixture
def comfy(tmp_path: Path) -> comfyui.ComfyUI:
    """A ComfyUI without a Python beside it."""
    return users_comfyui(tmp_path / "comfy", TAKES.format("cuda"), own_python=False)


# --- what is found, in which order -----------------------------------------------------------------------


def test_the_first_that_is_complete_is_taken(
    comfy: comfyui.ComfyUI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conda, active, runs = (make_environment(tmp_path / name) for name in ("conda", "active", "runs"))
    environ = {"CONDA_PREFIX": str(tmp_path / "conda")}
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    assert choose(comfy, environ=environ) == conda
    environ["VIRTUAL_ENV"] = str(tmp_path / "active")
    assert choose(comfy, environ=environ) == active
    monkeypatch.setattr(sys, "executable", str(runs))
    assert choose(comfy, environ=environ) == runs
    beside = make_environment(comfy.path / "venv")
    assert choose(comfy, environ=environ) == beside
    assert choose(comfy, str(conda), environ) == conda
    assert choose(comfy, str(tmp_path / "conda"), environ) == conda, "an environment's folder will do"


@pytest.mark.parametrize("fault", ["empty", "cut off", "not executable", "leads nowhere"])
def test_one_that_does_not_fit_is_passed_over(fault: str, comfy: comfyui.ComfyUI) -> None:
    first = pythons.in_environment(comfy.path / ".venv")
    if fault == "empty":
        make_environment(comfy.path / ".venv", complete=False)
    elif fault == "leads nowhere":
        comfyui.make_link(comfy.path / ".venv", comfy.path / "nowhere")
    else:
        first.parent.mkdir(parents=True)
        first.write_bytes(b"\x7fELF" if fault == "cut off" else b"")
        first.chmod(0o755 if fault == "cut off" else 0o644)
    assert choose(comfy) == Path(sys.executable), "it runs this, and is complete"
    complete = make_environment(comfy.path / "venv")
    assert choose(comfy) == complete


def test_our_own_environment_is_not_the_users(
    comfy: comfyui.ComfyUI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = make_environment(tmp_path / "state" / ".venv")
    monkeypatch.setattr(sys, "executable", str(ours))
    assert choose(comfy, environ={"VIRTUAL_ENV": str(tmp_path / "state" / ".venv")}) is None


# --- none fits -------------------------------------------------------------------------------------------


def test_without_any_it_is_said_what_happens_instead(
    comfy: comfyui.ComfyUI,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bare = make_environment(tmp_path / "bare", complete=False)
    monkeypatch.setattr(sys, "executable", str(bare))
    assert choose(comfy) is None
    said = capsys.readouterr().out
    assert f"{bare} (it runs run.py): it lacks torch, " in said
    assert str(tmp_path / "state" / ".venv") in said and "--python PATH" in said


def test_an_incomplete_one_beside_it_is_told_with_the_command(
    comfy: comfyui.ComfyUI, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = make_environment(comfy.path / ".venv", complete=False)
    monkeypatch.setattr(sys, "executable", str(beside))
    with pytest.raises(Problem, match=r"(?s)it lacks torch, .*--python PATH") as told:
        choose(comfy)
    assert str(told.value).endswith(f"{beside} -m pip install -r {comfy.path / 'requirements.txt'}")


def test_the_one_that_lacks_least_is_to_be_completed(
    comfy: comfyui.ComfyUI, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare, nearer = (make_environment(comfy.path / name, complete=False) for name in (".venv", "venv"))
    packages = sysconfig.get_path("purelib", vars={"base": str(comfy.path / "venv")})
    (Path(packages) / "aiohttp.py").touch()
    monkeypatch.setattr(sys, "executable", str(bare))
    with pytest.raises(Problem) as told:
        choose(comfy)
    assert f"{nearer} -m pip install" in str(told.value)


def test_one_beside_it_that_does_not_run_is_told(
    comfy: comfyui.ComfyUI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "")
    program = pythons.in_environment(comfy.path / "venv")
    program.parent.mkdir(parents=True)
    program.write_bytes(b"\x7fELF")
    program.chmod(0o755)
    with pytest.raises(Problem, match="it does not run: ") as told:
        choose(comfy)
    assert "pip install" not in str(told.value)


def test_the_named_one_must_fit(comfy: comfyui.ComfyUI, tmp_path: Path) -> None:
    with pytest.raises(Problem, match="--python is nosuch, which is no Python"):
        choose(comfy, "nosuch")
    bare = make_environment(tmp_path / "bare", complete=False)
    with pytest.raises(Problem, match=r"\(--python\): it lacks torch, "):
        choose(comfy, str(bare))


def test_an_answer_takes_no_longer_than_it_may(tmp_path: Path) -> None:
    with pytest.raises(pythons.ProbeFailed, match="no answer in"):
        pythons.probe(Path(sys.executable), "import time; time.sleep(60)", folder=tmp_path, seconds=0.3)
    with pytest.raises(pythons.ProbeFailed, match="status 3"):
        pythons.probe(Path(sys.executable), "import os; os._exit(3)", folder=tmp_path)


# --- what it is started as -------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["this", "option"])
def test_it_is_started_as_its_user_starts_it(
    by: str, comfy: comfyui.ComfyUI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = str(make_environment(tmp_path / "named")) if by == "option" else None
    arguments, _ = start(comfy, tmp_path, monkeypatch, named)
    assert arguments[0] == "--port" and len(arguments) == 2
    assert not (tmp_path / "state" / ".venv").exists(), "nothing is installed"


def test_the_one_that_we_brought_keeps_our_environment(
    tmp_path: Path, comfy: comfyui.ComfyUI, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought = comfyui.ComfyUI(comfy.path, users_own=False, found_by="a test")
    setting = session.Setting(tmp_path / "pack", tmp_path / "state")
    monkeypatch.setattr(session, "own_setup", lambda *given: given)
    assert session.setup(setting, brought) == (setting, brought)
