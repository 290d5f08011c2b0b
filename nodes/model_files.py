"""Model files in ComfyUI's folders: which there are, and what to download where one is missing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from echogen_core.checkpoints.bundle import ASSETS
from echogen_core.checkpoints.catalog.folder_listing import FileStamp, shown, stamp_of
from echogen_core.checkpoints.catalog.installed import (
    MODELS,
    find_parts,
    identify_all,
    identify_or_error,
    preset_for,
)
from echogen_core.checkpoints.catalog.missing_files import missing_model_message, missing_part_message
from echogen_core.checkpoints.catalog.published_models import FOLDERS, PUBLISHED
from echogen_core.checkpoints.catalog.walk import find
from echogen_core.checkpoints.format import KINDS, TITLES
from echogen_core.checkpoints.identify import identify
from echogen_core.checkpoints.mismatches import join_names
from echogen_core.config import Preset
from echogen_core.utils.printable import printable

from . import runtime


def search_folders(model: str) -> dict[str, list[Path]]:
    """Part -> folders to search: the model's own below models/echogen, then ComfyUI's, or the pack's."""
    own = [folder / model for folder in runtime.folders(runtime.FOLDER)]
    if model not in PUBLISHED:
        return {kind: [*own, ASSETS / model] for kind in KINDS}
    return {kind: list(dict.fromkeys([*own, *folders(kind)])) for kind in KINDS}


def bundle_parts(model: str, alternative: str = "") -> dict[str, Path]:
    """Part -> its file or folder, for every part.

    alternative: a line about what works without a download. Raises FileNotFoundError: what to download.
    """
    found = find_parts(model, search_folders(model))
    if model in PUBLISHED:
        targets = {kind: _download_folder(kind) for kind in KINDS}
        if text := missing_model_message(model, found, targets, alternative):
            raise FileNotFoundError(text)
    return dict(found.paths)


def choices(kind: str) -> list[str]:
    """Entries of a loader's drop-down: the files, and the hub's folders, that hold such a part.

    Without any, the published names, so that running the node says where to get them.
    """
    return sorted(_known(kind)) or _published_names(kind)


def resolve(kind: str, name: object) -> Path:
    """The file or folder of a drop-down's entry; opens no other file.

    Raises FileNotFoundError for any other value: what is installed, or where to download it.
    """
    reasons: list[str] = []
    for folder in folders(kind):
        entry = find(folder, name, MODELS)
        if entry is not None:
            found = identify_or_error(entry.place, entry.stamp)
            if not isinstance(found, str) and found.kind == kind:
                return Path(entry.place)
            reasons.append(found if isinstance(found, str) else f"{shown(entry.place)} is {found.title}.")
    raise FileNotFoundError("\n".join([_missing_message(kind, name), *reasons]))


def list_names(names: Iterable[str]) -> str:
    """'Installed: a, b.', the first few in alphabetical order."""
    return f"Installed: {join_names([printable(name) for name in sorted(names)])}."


def _missing_message(kind: str, name: object) -> str:
    if published := missing_part_message(kind, name, _download_folder(kind)):
        return published
    where = ", ".join(str(folder) for folder in folders(kind))
    known = _known(kind)
    installed = list_names(known) if known else "None is installed."
    return f"Found no {TITLES[kind]} named '{printable(name)}' in {where}. {installed}"


def preset_of(kind: str, path: Path) -> Preset:
    """The preset that a part belongs to, by the sizes in its file. Raises ValueError for another part."""
    found = identify(path)
    if found.kind != kind:
        raise ValueError(f"Expected {TITLES[kind]}, got {found.title}: {path}. Choose another file.")
    return preset_for(kind, found.config)


def fingerprint_bundle(model: str) -> str:
    """`fingerprint` of all installed parts."""
    return fingerprint(find_parts(model, search_folders(model)).paths.values())


def folders(kind: str) -> list[Path]:
    """ComfyUI's folders for parts of this kind."""
    return [*runtime.folders(FOLDERS[kind]), *runtime.folders(runtime.FOLDER)]


def fingerprint(paths: Iterable[Path]) -> str:
    """A digest over path, size and time of files and folders: changes when one changes or disappears.

    Hashed, because ComfyUI writes it into pictures, and the paths of those who share them are private.
    """
    stamps = [(str(path), _last_written(path)) for path in paths]
    return hashlib.sha256(repr(stamps).encode("utf-8", "backslashreplace")).hexdigest()


def _last_written(path: Path) -> object:
    """Size and modification time, without the change time, which backups touch."""
    stamp = stamp_of(path)
    if stamp is None or isinstance(stamp, FileStamp):
        return stamp and (stamp.size, stamp.written)
    return [(name, each.size, each.written) for name, each in stamp]


def _known(kind: str) -> dict[str, Path]:
    """Entry of the drop-down (a path relative to its folder) -> file or folder."""
    known: dict[str, Path] = {}
    for folder in folders(kind):
        for entry, found in identify_all(folder):
            if not isinstance(found, str) and found.kind == kind:
                known.setdefault(entry.name, Path(entry.place))
    return known


def _download_folder(kind: str) -> Path:
    """Where to put a new file of this kind."""
    known = runtime.folders(FOLDERS[kind])
    # ComfyUI lists the old folder of diffusion models (unet) before the current one.
    current = [
        folder for folder in known if folder.name == FOLDERS[kind] and folder.parent == known[0].parent
    ]
    return (current or known)[0]


def _published_names(kind: str) -> list[str]:
    names = [
        part.name for published in PUBLISHED.values() for part in published if part.kind == kind and part.hub
    ]
    return list(dict.fromkeys(names))
