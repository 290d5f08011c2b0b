"""The pack's archive, built as the registry's own tool builds it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from comfy_server import serving
from runner.server import Server

ROOT = Path(__file__).resolve().parents[2]
ARCHIVE = "node.zip"  # comfy-cli's name for it

ComfyCli = Callable[..., str]


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working tree as git would commit it, in a repository of its own: git's files are what is packed."""
    folder = tmp_path_factory.mktemp("checkout")
    git = ["git", f"--git-dir={folder / '.git'}", f"--work-tree={ROOT}"]
    for command in (
        ["init", "--quiet"],
        ["add", "--all"],
        ["checkout-index", "--all", f"--prefix={folder}{os.sep}"],
    ):
        subprocess.run([*git, *command], cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def comfy_cli(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> ComfyCli:
    """Runs a command of comfy-cli in the checkout; returns what it prints."""
    home = str(tmp_path_factory.mktemp("home"))  # comfy-cli keeps its settings there
    environ = {**os.environ, "HOME": home, "USERPROFILE": home, "XDG_CONFIG_HOME": home, "PYTHONUTF8": "1"}
    environ |= {"DO_NOT_TRACK": "1", "COMFY_NO_UPDATE_CHECK": "1"}

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "comfy_cli", "--skip-prompt", "--no-enable-telemetry", *arguments]
        done = subprocess.run(
            command,
            cwd=checkout,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    return run


@pytest.fixture(scope="session")
def archive(comfy_cli: ComfyCli, checkout: Path) -> Path:
    """What `comfy node publish` would upload."""
    comfy_cli("node", "pack")
    return checkout / ARCHIVE


@pytest.fixture(scope="session")
def installed(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive in custom_nodes of an otherwise empty base folder, as ComfyUI-Manager unpacks it."""
    pack = tmp_path_factory.mktemp("base") / "custom_nodes" / "echogen"
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(pack)
    return pack


@pytest.fixture(scope="session")
def server(installed: Path) -> Iterator[Server]:
    """A server whose base folder holds the unpacked archive and nothing else."""
    with serving(installed.parents[1], installed, "install") as running:
        yield running
