"""Front ends beside ComfyUI's own, for tests in the browser: the newest, and one that a variable names."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from . import pins
from .environment import Environment, pip
from .say import Problem, named_path

VARIABLE = "ECHOGEN_FRONTEND"


def given(environ: Mapping[str, str]) -> Path | None:
    """The front end that ECHOGEN_FRONTEND names. Raises Problem when there is none in that folder."""
    if not (named := environ.get(VARIABLE)):
        return None
    folder = named_path(named, VARIABLE)  # absolute: the server has another working folder
    if not (folder / "index.html").is_file():
        raise Problem(
            f"{VARIABLE} is {folder}, which is no front end: expected a folder with index.html, such as "
            f"comfyui_frontend_package/static. Give that, or leave {VARIABLE} out for ComfyUI's own."
        )
    return folder


def install(state: Path, environment: Environment) -> Path:
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
