"""The workflows under .github: well-formed, limited, and with commands that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

import run
from runner import checks

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = r"[\w.-]+/[\w.-]+@(v\d+|[0-9a-f]{40})"


def workflow(file: Path) -> dict[Any, Any]:
    """The parsed file; YAML 1.1 takes the key `on` for true."""
    return dict(yaml.safe_load(file.read_text(encoding="utf-8")))


def steps(file: Path) -> list[dict[str, Any]]:
    """Of all jobs but those that call another workflow."""
    return [step for job in workflow(file)["jobs"].values() for step in job.get("steps", ())]


def test_there_are_checks_and_a_way_to_publish() -> None:
    assert [file.stem for file in FILES] == ["checks", "publish"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_job_may_write_or_run_without_end(file: Path) -> None:
    parsed = workflow(file)
    assert parsed["permissions"] == {"contents": "read"}
    assert parsed[True] and parsed["concurrency"]["group"]
    for job in parsed["jobs"].values():
        assert "permissions" not in job
        if "uses" in job:  # its own file has the limits
            assert (ROOT / job["uses"]).is_file()
        else:
            assert 0 < job["timeout-minutes"] <= 60


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_actions_are_pinned_and_commands_are_there(file: Path) -> None:
    for step in steps(file):
        assert ("uses" in step) != ("run" in step)
        if "uses" in step:
            assert re.fullmatch(PINNED, step["uses"]), step["uses"]
            continue
        for line in step["run"].splitlines():
            program, script, *arguments = shlex.split(line)
            assert program in ("python", "python3") and (ROOT / script).is_file(), line
            if script == "run.py":
                options = run.parse(arguments)
                assert checks.chosen(options.only)


def test_every_check_runs_on_linux_and_a_start_up_on_the_others() -> None:
    jobs = workflow(ROOT / ".github" / "workflows" / "checks.yml")["jobs"]
    assert "python run.py test" in [step.get("run") for step in jobs["linux"]["steps"]]
    other = jobs["start-up"]
    assert other["strategy"]["matrix"]["system"] == ["windows-latest", "macos-latest"]
    assert other["runs-on"] == "${{ matrix.system }}"
    assert any(step.get("run", "").startswith("python run.py demo") for step in other["steps"])


def test_a_token_reaches_the_publishing_action_alone() -> None:
    for file in FILES:
        for step in steps(file):
            if "secrets." in str(step):
                assert step["uses"].startswith("Comfy-Org/publish-node-action@")
                assert set(workflow(file)[True]) == {"workflow_dispatch"}, "by hand"


def test_nothing_is_published_before_every_check_has_passed() -> None:
    jobs = workflow(ROOT / ".github" / "workflows" / "publish.yml")["jobs"]
    (called,) = [name for name, job in jobs.items() if "uses" in job]
    assert jobs[called]["uses"] == "./.github/workflows/checks.yml"
    assert all(job["needs"] == called for name, job in jobs.items() if name != called)
    assert "workflow_call" in workflow(ROOT / ".github" / "workflows" / "checks.yml")[True]
