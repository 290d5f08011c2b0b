"""A Chromium for the browser check: one that is there, else playwright's own, else the system's package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from .environment import Environment
from .say import say

VARIABLE = "PLAYWRIGHT_CHROMIUM"
PROGRAMS = (
    "chromium-headless-shell",  # the same engine without a window's parts: a tenth less work
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
    "chrome",
    "microsoft-edge-stable",
    "microsoft-edge",
    "msedge",
)
INSTALL_SECONDS = 600
NOT_AVAILABLE = (
    "No Chromium was found and none could be installed, so the browser check cannot run. Install Chromium "
    f"or Chrome, or set {VARIABLE} to the program, then run this again."
)


def find(environ: Mapping[str, str]) -> Path | None:
    """A Chromium that is installed: the one the variable names, on PATH, or in the usual places."""
    if named := environ.get(VARIABLE):
        return Path(named)
    places = [Path(found) for program in PROGRAMS if (found := shutil.which(program))]
    if sys.platform == "darwin":
        applications = Path("/Applications")
        places += [
            applications / "Google Chrome.app/Contents/MacOS/Google Chrome",
            applications / "Chromium.app/Contents/MacOS/Chromium",
        ]
    if os.name == "nt":
        roots = [environ.get(name) for name in ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")]
        programs = ("Google/Chrome/Application/chrome.exe", "Microsoft/Edge/Application/msedge.exe")
        places += [Path(root) / program for root in roots if root for program in programs]
    return next((place for place in places if starts(place)), None)


def starts(program: Path) -> bool:
    """Whether the program is there and runs: some systems have a stub that only complains."""
    if not program.is_file():
        return False
    if os.name == "nt":  # there --version opens a window
        return True
    try:
        answer = subprocess.run([str(program), "--version"], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0


def install(environment: Environment, log: Path) -> Path | None:
    """A Chromium, installed when there is none; None when none can be had. Details go to `log`."""
    if found := find(os.environ):
        return found
    say("No Chromium found; installing playwright's own ...")
    attempt([str(environment.python), "-m", "playwright", "install", "chromium"], log)
    if (own := playwrights_own(environment)) and starts(own):
        return own
    if shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        say("That did not work; installing the system's package of Chromium ...")
        attempt(["apt-get", "update"], log)
        for package in ("chromium-headless-shell", "chromium"):  # not every system has the first
            packages = (package, "fonts-liberation")
            attempt(["apt-get", "install", "--yes", "--no-install-recommends", *packages], log)
            if found := find(os.environ):
                return found
    return None


def playwrights_own(environment: Environment) -> Path | None:
    """The browser that playwright downloads, when it is there."""
    code = (
        "from playwright.sync_api import sync_playwright as s\n"
        "with s() as p: print(p.chromium.executable_path)"
    )
    answer = subprocess.run(
        [str(environment.python), "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    path = Path(answer.stdout.strip() or "nowhere")
    return path if path.is_file() else None


def attempt(command: list[str], log: Path) -> bool:
    """Runs an installer with its output in `log`; False when it fails or takes too long."""
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with log.open("a", encoding="utf-8") as out:
        out.write(f"$ {' '.join(command)}\n")
        out.flush()
        try:
            done = subprocess.run(
                command,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=environ,
                timeout=INSTALL_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            out.write(f"{error}\n")
            return False
    return done.returncode == 0
