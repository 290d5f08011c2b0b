"""The newest ComfyUI front end, beside the one that ComfyUI brings, for tests in the browser."""

from __future__ import annotations

import shutil
from pathlib import Path

from . import pins
from .environment import Environment, pip


def bring(state: Path, environment: Environment) -> Path:
    """The folder that a server takes as --front-end-root, installed once under `state`.

    Raises Problem when it cannot be installed.
    """
    home = state / f"frontend-{pins.NEWEST_FRONTEND.partition('==')[2]}"
    if not home.is_dir():
        unfinished = home.with_suffix(".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        arguments = ["install", "--no-deps", "--target", str(unfinished), pins.NEWEST_FRONTEND]
        pip(environment, arguments, "the newest front end")
        unfinished.rename(home)
    return home / "comfyui_frontend_package" / "static"
