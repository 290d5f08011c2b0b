"""What the two documented commands add beside ComfyUI's packages: the backends, and no more."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from echogen_core.subject.original.grounding_dino import INSTALL
from runner import comfyui, pins
from runner.environment import Environment

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("docs/segmentation.md", "web/docs/EchoGenDetectSubject.md")
OPTIONAL = {"segment-anything", "groundingdino-py", "timm", "addict", "yapf", "platformdirs"}
LIST = """
import importlib.metadata, json
found = importlib.metadata.distributions()
print(json.dumps({each.metadata["Name"].lower(): each.version for each in found}))
"""


def link(source: Path, target: Path) -> None:
    """`target` stands for `source`, without a copy of what is large."""
    if source.is_dir():
        comfyui.make_link(target, source)
    elif os.name == "nt":
        shutil.copyfile(source, target)
    else:
        target.symlink_to(source)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A new environment that sees the packages of this one, less what the two commands install."""
    folder = tmp_path_factory.mktemp("fresh")
    environment, seen = Environment(folder / "venv"), folder / "packages"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment.home)], check=True)
    seen.mkdir()
    here = Path(sysconfig.get_path("purelib"))
    left_out = {"pip", "setuptools", "_distutils_hack"}
    for package in importlib.metadata.distributions(path=[str(here)]):
        if package.metadata["Name"].lower() in OPTIONAL:
            left_out |= {file.parts[0] for file in package.files or ()}
    for entry in here.iterdir():
        if entry.name not in left_out and not re.match(r"(pip|setuptools)-", entry.name):
            link(entry, seen / entry.name)
    (site_packages(environment) / "seen.pth").write_text(f"{seen}\n", encoding="utf-8")
    return environment


def site_packages(environment: Environment) -> Path:
    """Where the environment's own packages are."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Path(subprocess.check_output([environment.python, "-c", code], text=True).strip())


def packages(environment: Environment) -> dict[str, str]:
    """Version of each package that the environment sees."""
    return dict(json.loads(subprocess.check_output([environment.python, "-c", LIST], text=True)))


def added(environment: Environment, command: list[str]) -> set[str]:
    """What a pip command adds; everything else has to stay as it was."""
    before = packages(environment)
    assert "torch" in before and "transformers" in before
    pip, *arguments = command
    own_pip = [sys.executable, "-m", pip, "--python", str(environment.python)]  # it comes with none
    environ = {**os.environ, "PIP_COMPILE": "0"}
    subprocess.run([*own_pip, *arguments, "--quiet"], cwd=ROOT, env=environ, check=True)
    after = packages(environment)
    assert before.items() <= after.items()
    return set(after) - set(before)


def test_the_commands_bring_both_backends_and_leave_the_rest_alone(environment: Environment) -> None:
    requirements = ["pip", "install", "-r", "requirements.txt"]
    assert added(environment, requirements) == {"segment-anything"}
    command = INSTALL.split()
    assert command[:3] == ["pip", "install", "--no-deps"]
    named = {word.split("==")[0] for word in command[3:]}
    assert added(environment, command) == named == OPTIONAL - {"segment-anything"}
    # Both hold ours to the authors' packages, the ones just installed.
    tests = ["tests/core/subject/test_backends.py", "-k", "both_detectors or both_segmenters"]
    done = subprocess.run(
        [environment.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_the_command_is_in_the_pages_as_it_is_run(page: str) -> None:
    assert INSTALL in (ROOT / page).read_text(encoding="utf-8")


def test_the_checks_have_the_packages_of_the_command() -> None:
    pinned = {line.split("==")[0] for line in pins.TEST_PACKAGES_ALONE}
    assert OPTIONAL - {"segment-anything"} <= pinned
