"""The Python of a user's ComfyUI: which one it is, and what it answers. Nothing is installed here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .say import Problem, command_line, say

# What a ComfyUI of any version and the pack import at once.
NEEDED = (
    *("torch", "torchsde", "transformers", "safetensors", "einops", "PIL", "numpy", "scipy"),
    *("aiohttp", "yaml", "psutil", "tqdm"),
)
PORTABLE_PYTHON = "python_embeded"  # of the portable Windows build; its own spelling
ACTIVE_ENVIRONMENTS = ("VIRTUAL_ENV", "CONDA_PREFIX")
FIND_MODULES = "import importlib.util as u; answer = [n for n in sys.argv[2:] if u.find_spec(n) is None]"
# Into a file: start-up hooks and packages print what they like.
PROBE_TEMPLATE = (
    "import json, sys\n{}\nwith open(sys.argv[1], 'w', encoding='utf-8') as file: json.dump(answer, file)"
)
PROBE_SECONDS = 120
MISSING_PREFIX = "it lacks "


class ProbeFailed(Exception):
    """A Python did not answer; the text says why."""


@dataclass(frozen=True)
class Candidate:
    """A Python that may be the ComfyUI's, why it is one, and whether the ComfyUI's own folder shows it."""

    python: Path
    found_by: str
    beside: bool = False


def probe(python: Path, code: str, *arguments: str, folder: Path, seconds: float = PROBE_SECONDS) -> Any:
    """What `code`, run by `python` in `folder`, leaves in its variable `answer`, through JSON.

    arguments: in its sys.argv from the third on. Raises ProbeFailed when it fails or takes too long.
    """
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "answer.json"
        try:
            done = subprocess.run(
                [str(python), "-c", PROBE_TEMPLATE.format(code), str(file), *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ProbeFailed(f"no answer in {seconds:.0f} s") from None
        except OSError as error:  # no program, one cut off in the middle, or one of another machine
            raise ProbeFailed(str(error)) from error
        answer = file.read_text(encoding="utf-8") if file.exists() else ""
    try:
        return json.loads(answer)
    except ValueError:
        said = done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"]
        raise ProbeFailed(said[-1]) from None


def choose(folder: Path, named: str | None, environ: Mapping[str, str], ours: Path) -> Path | None:
    """The Python to run the ComfyUI in `folder` with: the first that has what ComfyUI needs.

    named: by --python; then no other is looked at. ours: our own environment, never taken for the user's.
    None, after saying so, when the folder shows no Python of its own and none that is active fits.
    Raises Problem when the named one, or every one beside the ComfyUI, does not fit.
    """
    tried: list[tuple[Candidate, str]] = []
    for candidate in [by_option(named)] if named else candidates(folder, environ, ours):
        fault = unfit_reason(candidate.python, folder)
        if not fault:
            say(f"ComfyUI's Python: {candidate.python} ({candidate.found_by})")
            return candidate.python
        tried.append((candidate, fault))
    faults = "".join(f"\n  {candidate.python} ({candidate.found_by}): {fault}" for candidate, fault in tried)
    if own := [(candidate, fault) for candidate, fault in tried if candidate.beside or named]:
        raise Problem(
            f"No Python was found that has what ComfyUI needs; nothing was installed.{faults}\n"
            f"Name the one that you start ComfyUI with: --python PATH.{how_to_complete(own, folder)}"
        )
    say(
        f"No Python with what ComfyUI needs was found for {folder}:{faults or ' none is beside it.'}\n"
        f"ComfyUI will run in a separate environment in {ours}, without your models, settings, other packs "
        "and API nodes.\nTo use your own setup, stop this and run it with ComfyUI's Python, or name that "
        "Python: --python PATH."
    )
    return None


def how_to_complete(tried: Sequence[tuple[Candidate, str]], folder: Path) -> str:
    """The command that completes the Python that lacks least; empty when none of them runs."""
    incomplete = [
        (fault.count(","), candidate) for candidate, fault in tried if fault.startswith(MISSING_PREFIX)
    ]
    if not incomplete:
        return ""
    _, nearest = min(incomplete, key=lambda pair: pair[0])
    requirements = str(folder / "requirements.txt")
    install = command_line([str(nearest.python), "-m", "pip", "install", "-r", requirements])
    return f" Or install what is missing:\n  {install}"


def candidates(folder: Path, environ: Mapping[str, str], ours: Path) -> list[Candidate]:
    """The Pythons beside the ComfyUI in `folder`, the one that runs this, those of active environments."""
    beside = [in_environment(folder / name) for name in (".venv", "venv")]
    beside.append(folder.parent / PORTABLE_PYTHON / "python.exe")
    active = [Candidate(Path(sys.executable), "it runs run.py")]
    active += [Candidate(in_environment(Path(environ[n])), n) for n in ACTIVE_ENVIRONMENTS if environ.get(n)]
    active = [candidate for candidate in active if candidate.python.parent.parent.resolve() != ours.resolve()]
    found: dict[Path, Candidate] = {}
    for candidate in (*(Candidate(python, "beside ComfyUI", beside=True) for python in beside), *active):
        # os.path: a folder that may not be entered holds none for us.
        if os.path.isfile(candidate.python):
            found.setdefault(candidate.python, candidate)
    return list(found.values())


def in_environment(home: Path) -> Path:
    """The Python of a virtual or conda environment, on any system."""
    if os.name != "nt":
        return home / "bin" / "python"
    program = home / "Scripts" / "python.exe"
    return program if program.is_file() else home / "python.exe"


def by_option(named: str) -> Candidate:
    """The Python that --python names: a program, by path or name, or an environment's folder."""
    text = os.path.expanduser(named)
    program = str(in_environment(Path(text))) if os.path.isdir(text) else shutil.which(text)
    if not program or not os.path.isfile(program):
        raise Problem(
            f"--python is {named}, which is no Python: expected the program that you start ComfyUI with, or "
            "its environment's folder."
        )
    return Candidate(Path(program).absolute(), "--python")


def unfit_reason(python: Path, folder: Path) -> str:
    """Why `python` cannot run the ComfyUI in `folder`; empty when it can."""
    try:
        missing = probe(python, FIND_MODULES, *NEEDED, folder=folder)
    except ProbeFailed as reason:
        return f"it does not run: {reason}"
    return MISSING_PREFIX + ", ".join(missing) if missing else ""


def is_portable(python: Path) -> bool:
    """Whether `python` is the one that the portable Windows build carries."""
    return python.parent.name == PORTABLE_PYTHON
