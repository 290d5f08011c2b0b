"""`python run.py test`: which checks run, with which front end and browser, and how they are counted."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from runner import checks, chromium, comfyui, environment, frontend, session
from runner.say import Problem

ROOT = Path(__file__).resolve().parents[2]


def test_only_keeps_the_usual_order_and_names_the_choices() -> None:
    assert checks.chosen("unit, lint") == ["lint", "unit"]
    assert checks.chosen(None) == list(checks.NAMES)
    with pytest.raises(Problem, match=r"tastes.*choose from lint, types"):
        checks.chosen("lint,tastes")


def test_a_chromium_that_only_complains_is_not_taken(tmp_path: Path) -> None:
    stub, good = tmp_path / "stub", tmp_path / "good"
    stub.write_text("#!/bin/sh\nexit 1\n")
    good.write_text("#!/bin/sh\nexit 0\n")
    for program in (stub, good):
        program.chmod(0o755)
    # On Windows a program that is there counts: asking it would open a window.
    assert chromium.starts(stub) == (os.name == "nt")
    assert chromium.starts(good) and not chromium.starts(tmp_path / "none")
    assert chromium.find({chromium.VARIABLE: str(good)}) == good


@pytest.mark.skipif(os.name == "nt", reason="no apt-get there")
@pytest.mark.parametrize("has_shell", [True, False])
def test_the_systems_package_is_the_headless_shell_where_there_is_one(
    has_shell: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    lacking = "" if has_shell else "chromium-headless-shell"
    install = f"""for word; do
        [ "$word" = "{lacking}" ] && exit 100
        case $word in chromium*) /bin/cp -p "{programs}/good" "{programs}/$word";; esac
    done"""
    # The environment's python brings no browser of playwright's.
    for name, lines in (("python", "exit 1"), ("good", "exit 0"), ("apt-get", install)):
        (programs / name).write_text(f"#!/bin/sh\n{lines}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.delenv(chromium.VARIABLE, raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(sys, "platform", "linux")  # with Chrome among a Mac's applications none is needed
    found = chromium.install(environment.Environment(tmp_path), tmp_path / "log")
    assert found == programs / ("chromium-headless-shell" if has_shell else "chromium")


class TwoAtOnce(checks.Checks):
    """Checks of which two are programs that wait for each other."""

    def browser(self) -> bool:
        return self.meet("browser", "unit")

    def unit(self) -> bool:
        return self.meet("unit", "browser")

    def meet(self, own: str, other: str) -> bool:
        code = (
            "import os, pathlib, sys, time\n"
            "pathlib.Path(sys.argv[1]).touch()\n"
            "while not pathlib.Path(sys.argv[2]).exists(): time.sleep(0.01)\n"
            "print(sys.argv[1], 'was here with', os.environ['OMP_NUM_THREADS'])"
        )
        self.counts.passed += 1
        return self.call([sys.executable, "-c", code, own, other]) == 0


def test_long_checks_run_two_at_a_time_on_half_of_the_processor_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(chromium.VARIABLE, sys.executable)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    comfy = comfyui.ComfyUI(tmp_path, users_own=True, found_by="a test")
    both = TwoAtOnce(session.Setting(tmp_path, tmp_path), environment.Environment(tmp_path), comfy, tmp_path)
    outcomes = checks.side_by_side(both, ["unit", "browser"])
    assert [(outcome.name, outcome.passed) for outcome in outcomes] == [("unit", True), ("browser", True)]
    assert both.counts.passed == 2
    shown = capsys.readouterr().out
    assert "browser was here with 3" in shown and "unit was here with 3" in shown


class NotedChecks(checks.Checks):
    """Checks that keep what a command is given."""

    def call(self, command: Sequence[str | Path], environ: dict[str, str] | None = None) -> int:
        self.note = json.dumps(environ)
        return 0


class Lacking(checks.Checks):
    """A check that cannot have what it needs, and one that needs nothing."""

    def lint(self) -> bool:
        raise Problem("No network.\nConnect the machine.")

    def js(self) -> bool:
        return True


def test_what_one_check_lacks_stops_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    comfy = comfyui.ComfyUI(tmp_path, users_own=True, found_by="a test")
    both = Lacking(session.Setting(tmp_path, tmp_path), environment.Environment(tmp_path), comfy, tmp_path)
    lint, js = checks.side_by_side(both, ["lint", "js"])
    assert (lint.passed, lint.note, js.passed) == (False, "No network.", True)
    assert "Connect the machine." in capsys.readouterr().out


def test_a_named_front_end_is_shown_by_every_server_but_the_newests(tmp_path: Path) -> None:
    named = tmp_path / "static"
    named.mkdir()
    comfy = comfyui.ComfyUI(tmp_path, users_own=True, found_by="a test")
    setting, venv = session.Setting(ROOT, tmp_path), environment.Environment(tmp_path)
    noted = NotedChecks(setting, venv, comfy, tmp_path, own_frontend=named)
    noted.browser_program.set_result(Path("chromium"))
    noted.newest_frontend.set_result(tmp_path / "newest")
    shown = {}
    for name in ("e2e", "browser", "newest"):
        assert getattr(noted, name)()
        environ = json.loads(noted.note)
        assert environ["ECHOGEN_COMFYUI"] == str(tmp_path)
        shown[name] = environ["ECHOGEN_FRONTEND"]
    assert shown == {"e2e": str(named), "browser": str(named), "newest": str(tmp_path / "newest")}


def test_a_named_front_end_must_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert frontend.given({}) is None and frontend.given({"ECHOGEN_FRONTEND": ""}) is None
    with pytest.raises(Problem, match=r"ECHOGEN_FRONTEND is .*static, which is no front end"):
        frontend.given({"ECHOGEN_FRONTEND": "static"})
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "index.html").touch()
    assert frontend.given({"ECHOGEN_FRONTEND": "static"}) == tmp_path / "static"


def test_the_reports_numbers_are_added_up(tmp_path: Path) -> None:
    report = tmp_path / "unit.xml"
    report.write_text('<testsuites><testsuite tests="5" failures="1" errors="1" skipped="1"/></testsuites>')
    counts = checks.Counts()
    assert checks.add_counts(counts, report) == "2 passed, 2 failed, 1 skipped"
    assert (counts.passed, counts.failed, counts.skipped) == (2, 2, 1)
