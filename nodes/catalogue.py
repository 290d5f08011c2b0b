"""Where each model's files are among ComfyUI's folders, and what to fetch when some are not there."""

from __future__ import annotations

import hashlib
from pathlib import Path

from echogen_core.checkpoints.bundle import ASSETS, PUBLISHED, PublishedFile
from echogen_core.checkpoints.format import KINDS

from . import runtime

FOLDERS: dict[str, str] = {
    "transformer": "diffusion_models",
    "tokenizer": "vae",
    "text": "text_encoders",
    "semantic": "clip_vision",
    "content": "vae",
}
"""Part of a model -> ComfyUI's folder for it. models/echogen/<preset> may hold any of them as well."""


def places(preset: str) -> list[Path]:
    """Folders to search for a preset's files, in order: its own, ComfyUI's, and what comes with the pack."""
    own = [folder / preset for folder in runtime.folders(runtime.FOLDER)]
    shared = [] if preset == "nano" else [f for kind in KINDS for f in runtime.folders(FOLDERS[kind])]
    return list(dict.fromkeys([*own, *shared, ASSETS / preset]))


def missing(preset: str) -> str | None:
    """What to download for a published model, from where and into which folder; None: all is there."""
    files = PUBLISHED.get(preset, ())
    absent = [file for file in files if not _is_there(file, preset)]
    if not absent:
        return None
    lines = "\n".join(_request(file) for file in absent)
    return (
        f"is not complete: {len(absent)} of its {len(files)} parts are missing. Download them, then run "
        f"again; no restart is needed.\n{lines}"
    )


def identity(preset: str) -> str:
    """A digest over path, size and time of every file of a preset: changes when one of them does.

    A digest, because ComfyUI writes it into the pictures that people share, and their paths are their own.
    """
    names = {f"{kind}.safetensors" for kind in KINDS} | {file.name for file in PUBLISHED.get(preset, ())}
    found = [path for place in places(preset) for name in sorted(names) if (path := place / name).exists()]
    stamps = [(str(path), (stat := path.stat()).st_size, stat.st_mtime_ns) for path in found]
    return hashlib.sha256(repr(stamps).encode()).hexdigest()


def _is_there(file: PublishedFile, preset: str) -> bool:
    names = (f"{file.kind}.safetensors", file.name)
    return any((place / name).exists() for place in places(preset) for name in names)


def _request(file: PublishedFile) -> str:
    kind = FOLDERS[file.kind]
    folders = runtime.folders(kind)
    # ComfyUI lists some kinds' former folder first (unet before diffusion_models).
    folder = next((folder for folder in folders if folder.name == kind), folders[0])
    source = f"https://huggingface.co/{file.hub}" if file.hub.count("/") == 1 else file.hub
    return f"- {file.name} ({file.size})\n  from {source}\n  into {folder}"
