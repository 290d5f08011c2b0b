"""ComfyUI's model folders, without ComfyUI: its own below `models`, and those of extra_model_paths.yaml."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

FOLDER_NAMES: dict[str, tuple[str, ...]] = {
    "diffusion_models": ("diffusion_models", "unet"),
    "vae": ("vae",),
    "text_encoders": ("text_encoders", "clip"),
    "clip_vision": ("clip_vision",),
    "echogen": ("echogen",),
    "grounding-dino": ("grounding-dino",),
    "sams": ("sams",),
}
"""Kind of model -> names of its folders below `models`, the current name first."""

LEGACY_KINDS = {"unet": "diffusion_models", "clip": "text_encoders"}
"""Legacy name of a kind, which extra_model_paths.yaml may still use -> its current name."""

EXTRA_PATHS = "extra_model_paths.yaml"


def find_comfyui(option: str | None, environ: Mapping[str, str], pack: Path) -> Path:
    """ComfyUI's base folder, the one with `models`: the option, COMFYUI_PATH, or where the pack is installed.

    Raises ValueError when there is none, or the named folder has no `models`.
    """
    for source, value in (("--comfyui", option), ("COMFYUI_PATH", environ.get("COMFYUI_PATH"))):
        if value:
            path = Path(value).expanduser().absolute()
            if not (path / "models").is_dir():
                raise ValueError(
                    f"{source} is {path}, which has no folder 'models'. Pass ComfyUI's folder, or the one it "
                    "is "
                    "started with as --base-directory."
                )
            return path
    # As the shell reached it, not resolved: a pack is often linked into custom_nodes.
    for place in (Path(environ.get("PWD", pack)), pack):
        if place.parent.name == "custom_nodes":
            return place.parent.parent
    ours = pack / ".comfy" / "base"
    if ours.is_dir():  # what `python run.py` started
        return ours
    raise ValueError(
        "No ComfyUI found around this pack. Pass its folder (the one with 'models') as --comfyui PATH, set "
        "COMFYUI_PATH, or, to `generate`, pass the folders of the model's files as --weights."
    )


def model_folders(base: Path, extra_paths: Sequence[Path] = ()) -> dict[str, list[Path]]:
    """Kind -> folders in the order in which ComfyUI searches them; the first is where new files go.

    Args:
        base: ComfyUI's folder. Its extra_model_paths.yaml is read as well.
        extra_paths: further files of that form.
    Raises:
        ValueError: such a file cannot be read.
    """
    folders = {kind: [base / "models" / name for name in names] for kind, names in FOLDER_NAMES.items()}
    usual = base / EXTRA_PATHS
    for file in (*([usual] if usual.is_file() else []), *extra_paths):
        for kind, path, is_default in _extra(file):
            known = folders[kind]
            if path in known:
                if not is_default:
                    continue
                known.remove(path)
            known.insert(0 if is_default else len(known), path)
    return folders


def _extra(file: Path) -> list[tuple[str, Path, bool]]:
    """(kind, folder, comes first) of every entry that concerns us, read as ComfyUI does."""
    found = []
    for section in _read_yaml(file).values():
        if not isinstance(section, Mapping):
            continue
        base = Path(os.path.expandvars(os.path.expanduser(str(section.get("base_path") or ""))))
        for name, lines in section.items():
            kind = LEGACY_KINDS.get(name, name)
            if kind not in FOLDER_NAMES or not isinstance(lines, str):
                continue
            for line in filter(None, (line.strip() for line in lines.split("\n"))):
                path = Path(os.path.normpath(file.absolute().parent / base / line))
                found.append((kind, path, bool(section.get("is_default"))))
    return found


def _read_yaml(file: Path) -> Mapping[str, Any]:
    try:
        import yaml  # comes with ComfyUI
    except ImportError:
        logger.warning("%s is ignored: reading it needs PyYAML (pip install pyyaml).", file)
        return {}
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"Can't read {file} ({error}). Fix it, or leave it out.") from error
    return content if isinstance(content, Mapping) else {}
