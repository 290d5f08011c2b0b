"""Where each model's files are among ComfyUI's folders, and what to fetch when some are not there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from echogen_core.checkpoints.bundle import ASSETS
from echogen_core.checkpoints.format import KINDS, TITLES
from echogen_core.checkpoints.identify import identify
from echogen_core.checkpoints.installed import (
    MODELS,
    find_parts,
    look,
    looked,
    preset_for,
    request,
    requests,
)
from echogen_core.checkpoints.mismatches import some
from echogen_core.checkpoints.published_models import FOLDERS, PUBLISHED
from echogen_core.checkpoints.walk import FileStamp, find, shown, stamp_of
from echogen_core.config import Preset
from echogen_core.printable import printable

from . import runtime


def places(model: str) -> dict[str, list[Path]]:
    """Part -> folders to search: the model's own in models/echogen, then ComfyUI's, or the pack's."""
    own = [folder / model for folder in runtime.folders(runtime.FOLDER)]
    if model not in PUBLISHED:
        return {kind: [*own, ASSETS / model] for kind in KINDS}
    return {kind: list(dict.fromkeys([*own, *folders(kind)])) for kind in KINDS}


def parts(model: str) -> dict[str, Path]:
    """Part -> its file or folder, for every part. FileNotFoundError says what to fetch."""
    found = find_parts(model, places(model))
    if model in PUBLISHED and (text := requests(model, found, {kind: _home(kind) for kind in KINDS})):
        raise FileNotFoundError(text)
    return dict(found.paths)


def choices(kind: str) -> list[str]:
    """What a loader's drop-down lists: the files (and the hub's folders) that hold such a part.

    With none there, the published names, so that a run can say where to get them.
    """
    return sorted(_known(kind)) or _published_names(kind)


def chosen(kind: str, name: object) -> Path:
    """The file of a drop-down's entry; no other file is looked into.

    Raises FileNotFoundError, for whatever else: what there is instead, or from where to fetch it.
    """
    faults: list[str] = []
    for folder in folders(kind):
        entry = find(folder, name, MODELS)
        if entry is not None:
            found = look(entry.place, entry.stamp)
            if not isinstance(found, str) and found.kind == kind:
                return Path(entry.place)
            faults.append(found if isinstance(found, str) else f"{shown(entry.place)} is {found.title}.")
    raise FileNotFoundError("\n".join([_absent(kind, name), *faults]))


def named(names: Iterable[str]) -> str:
    """'There are: a, b.', the first few in the order of the alphabet."""
    return f"There are: {some([printable(name) for name in sorted(names)])}."


def _absent(kind: str, name: object) -> str:
    wanted = [part for published in PUBLISHED.values() for part in published if part.name == name]
    if wanted:
        return (
            f"{name} is missing. Fetch it (or let `python -m echogen_core models download` do it), then run "
            f"again; no restart is needed.\n{request(wanted[0], _home(kind))}"
        )
    where = ", ".join(str(folder) for folder in folders(kind))
    known = _known(kind)
    there = named(known) if known else "There is none."
    return f"No {TITLES[kind]} is called {printable(name)} in {where}. {there}"


def preset_of(kind: str, path: Path) -> Preset:
    """The preset that a part belongs to, by the sizes in its file. ValueError: it is no such part."""
    found = identify(path)
    if found.kind != kind:
        raise ValueError(f"{path} is {found.title}; expected {TITLES[kind]}.")
    return preset_for(kind, found.config)


def bundle_identity(model: str) -> str:
    """`identity` of all parts that are there."""
    return identity(find_parts(model, places(model)).paths.values())


def identity_of_all(kind: str) -> str:
    """`identity` of every file of this kind: any of them may come over a link."""
    return identity(sorted(_known(kind).values()))


def folders(kind: str) -> list[Path]:
    """ComfyUI's folders for parts of this kind."""
    return [*runtime.folders(FOLDERS[kind]), *runtime.folders(runtime.FOLDER)]


def identity(paths: Iterable[Path]) -> str:
    """A digest over path, size and time of files and folders: changes when one of them does, or goes.

    A digest, because ComfyUI writes it into the pictures that people share, and their paths are their own.
    """
    stamps = [(str(path), _written(path)) for path in paths]
    return hashlib.sha256(repr(stamps).encode("utf-8", "backslashreplace")).hexdigest()


def _written(path: Path) -> object:
    """Size and time of writing: not when a file was last touched otherwise, as a backup does."""
    stamp = stamp_of(path)
    if stamp is None or isinstance(stamp, FileStamp):
        return stamp and (stamp.size, stamp.written)
    return [(name, each.size, each.written) for name, each in stamp]


def _known(kind: str) -> dict[str, Path]:
    """Entry of the drop-down -> file or folder; the name is the path below its folder, as ComfyUI has it."""
    known: dict[str, Path] = {}
    for folder in folders(kind):
        for entry, found in looked(folder):
            if not isinstance(found, str) and found.kind == kind:
                known.setdefault(entry.name, Path(entry.place))
    return known


def _home(kind: str) -> Path:
    """Where a new file of this kind belongs."""
    known = runtime.folders(FOLDERS[kind])
    # ComfyUI lists the former folder of diffusion models (unet) before the present one.
    present = [
        folder for folder in known if folder.name == FOLDERS[kind] and folder.parent == known[0].parent
    ]
    return (present or known)[0]


def _published_names(kind: str) -> list[str]:
    names = [
        part.name for published in PUBLISHED.values() for part in published if part.kind == kind and part.hub
    ]
    return list(dict.fromkeys(names))
