"""The subject path's models: recognised by content in ComfyUI's folders, loaded when a node needs them.

One of each kind is cached until ComfyUI unloads it: an artist describes, detects and segments again and again
while tuning, and the large ones must give up their memory when something else needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from echogen_core.checkpoints.catalog.installed import MODELS, identify_or_error
from echogen_core.checkpoints.catalog.subject_models import (
    DESCRIBER,
    DETECTOR,
    SEGMENTER,
    Kind,
    download_hint,
    first_installed,
    installed,
    is_a,
)
from echogen_core.checkpoints.catalog.walk import find
from echogen_core.checkpoints.segmentation_models import (
    Backend,
    load_describer,
    load_detector,
    load_salient,
    load_segmenter,
)
from echogen_core.utils.printable import printable

from . import linked_names, model_files, runtime

AUTO, NONE = "auto", "none"
"""The first two entries of each drop-down: the first installed model, and no model at all."""

_VOCABULARY = "bert-base-uncased"
"""Folder of the tokenizer that GroundingDINO's .pth files lack; other packs look there as well."""


def _load_detector(path: Path, backend: Backend) -> Any:
    folders = [folder for folder in runtime.any_folders([_VOCABULARY]) if folder.is_dir()]
    return load_detector(path, backend, folders[0] if folders and path.is_file() else None)


_LOADERS: dict[Kind, Callable[[Path, Backend], Any]] = {
    DESCRIBER: lambda path, _: load_describer(path, runtime.precision().compute),
    DETECTOR: _load_detector,
    SEGMENTER: load_segmenter,
}
_SALIENT = "U²-Netp"
_UNLOADED = object()

_loaded: dict[str, tuple[Any, runtime.ManagedSubjectModel]] = {}


def choices(kind: Kind) -> list[str]:
    """Entries of a node's drop-down."""
    return [AUTO, NONE, *sorted(_known(kind))]


def resolve(kind: Kind, name: object) -> Path | None:
    """The file or folder of a drop-down's entry; None for NONE, and for AUTO without an installed model.

    Raises FileNotFoundError for a model that is not installed: what to download, and into which folder.
    """
    if name == NONE:
        return None
    if name == AUTO:
        return first_installed(kind, runtime.any_folders(kind.folders))
    for folder in runtime.any_folders(kind.folders):
        entry = find(folder, name, MODELS)
        if entry is not None and is_a(kind, entry, identify_or_error(entry.place, entry.stamp)):
            return Path(entry.place)
    known = _known(kind)
    installed = f" {model_files.list_names(known)}" if known else ""
    raise FileNotFoundError(
        f"Found no {kind.title} model named '{printable(name)}'.{installed} {download_hint(kind)}"
    )


def fingerprint(kind: Kind, name: object) -> str:
    """Changes when the entry stands for another file, or the file changes. '' without one. Never raises."""
    try:
        path = resolve(kind, name)
    except FileNotFoundError:
        return ""
    return "" if path is None else model_files.fingerprint([path])


def managed(
    kind: Kind, name: str, backend: str = Backend.TRANSFORMERS.value
) -> runtime.ManagedSubjectModel | None:
    """The model of a drop-down's entry under the memory manager, not yet on the compute device.

    None as `resolve`. Raises FileNotFoundError as `resolve`, ValueError for a damaged file, ImportError for a
    backend whose package is not installed.
    """
    path = resolve(kind, name)
    stamp = "" if path is None else model_files.fingerprint([path])
    linked_names.note(kind.title, name, stamp)
    if path is None:
        return None
    return _cached(kind.title, (stamp, backend), lambda: _LOADERS[kind](path, Backend(backend)))


def salient() -> runtime.ManagedSubjectModel:
    """The built-in cut's model."""
    return _cached(_SALIENT, _SALIENT, load_salient)


def _cached(title: str, key: Any, load: Callable[[], nn.Module]) -> runtime.ManagedSubjectModel:
    if title in _loaded and _loaded[title][0] == key:
        return _loaded[title][1]
    _loaded.pop(title, None)  # before the next one is read: both at once may not fit
    module = load()
    managed_model = runtime.manage_subject_model(module, lambda: _release(title, module))
    _loaded[title] = (key, managed_model)
    return managed_model


def _release(title: str, module: nn.Module) -> None:
    """Frees its weights' memory when ComfyUI has unloaded it.

    The object itself lives until the next one is loaded: its finaliser would change ComfyUI's list of models
    while ComfyUI iterates over it.
    """
    module.to("meta")
    if title in _loaded and _loaded[title][1].module is module:
        _loaded[title] = (_UNLOADED, _loaded[title][1])


def _known(kind: Kind) -> dict[str, Path]:
    """Entry of the drop-down -> file or folder."""
    return installed(kind, runtime.any_folders(kind.folders))
