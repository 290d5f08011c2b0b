"""The subject path's models: recognised by content in ComfyUI's folders, loaded when a node needs them.

One of each kind is cached until ComfyUI unloads it: an artist describes, detects and segments again and again
while tuning, and the large ones must give up their memory when something else needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from echogen_core.checkpoints.catalog.installed import MODELS, identify_all, identify_or_error
from echogen_core.checkpoints.catalog.walk import Entry, entries, find
from echogen_core.checkpoints.identify import SEGMENTATION_MODELS, Identity, model_type
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


@dataclass(frozen=True)
class Kind:
    """A kind of model on the subject path.

    folders: names of ComfyUI's model folders to search, which well-known packs use too; new files go into the
    first. model_type: the one in a folder's config.json; if that is a key of SEGMENTATION_MODELS, the
    model's single files count as well. fetch: what to download, and from where.
    """

    title: str
    folders: tuple[str, ...]
    model_type: str
    fetch: str
    load: Callable[[Path, Backend], Any] = field(repr=False)


def _load_detector(path: Path, backend: Backend) -> Any:
    folders = [folder for folder in runtime.any_folders([_VOCABULARY]) if folder.is_dir()]
    return load_detector(path, backend, folders[0] if folders and path.is_file() else None)


DESCRIBER = Kind(
    "Qwen2.5-VL",
    ("LLM", "prompt_generator", "text_encoders", runtime.FOLDER),
    "qwen2_5_vl",
    "the folder Qwen/Qwen2.5-VL-3B-Instruct from the hub (7.5 GB)",
    lambda path, _: load_describer(path, runtime.precision().compute),
)
DETECTOR = Kind(
    "GroundingDINO",
    ("grounding-dino", runtime.FOLDER),
    "grounding-dino",
    "the folder IDEA-Research/grounding-dino-tiny from the hub (0.7 GB), or groundingdino_swint_ogc.pth",
    _load_detector,
)
SEGMENTER = Kind(
    "SAM",
    ("sams", runtime.FOLDER),
    "sam",
    "sam_vit_b_01ec64.pth (0.4 GB) from Segment Anything's page, or the folder facebook/sam-vit-base",
    load_segmenter,
)
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
        known = _known(kind)
        return known[min(known)] if known else None
    for folder in runtime.any_folders(kind.folders):
        entry = find(folder, name, MODELS)
        if entry is not None and _is_a(kind, entry, identify_or_error(entry.place, entry.stamp)):
            return Path(entry.place)
    known = _known(kind)
    installed = f" {model_files.list_names(known)}" if known else ""
    raise FileNotFoundError(
        f"Found no {kind.title} model named '{printable(name)}'.{installed} {download_hint(kind)}"
    )


def download_hint(kind: Kind) -> str:
    """What to download and where to put it, without the user's own paths: previews and history keep it."""
    return f"Put {kind.fetch}, into models/{kind.folders[0]}; no restart is needed."


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
    return _cached(kind.title, (stamp, backend), lambda: kind.load(path, Backend(backend)))


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
    """Entry of the drop-down (a path relative to its folder) -> file or folder."""
    known: dict[str, Path] = {}
    for folder in runtime.any_folders(kind.folders):
        files = kind.model_type in SEGMENTATION_MODELS
        for entry, found in (
            identify_all(folder) if files else ((entry, "") for entry in entries(folder, MODELS))
        ):
            if _is_a(kind, entry, found):
                known.setdefault(entry.name, Path(entry.place))
    return known


def _is_a(kind: Kind, entry: Entry, found: Identity | str) -> bool:
    """found: what `identify_or_error` says of a file; a folder is recognised by its config.json alone."""
    if entry.folder:
        return model_type(entry.place, entry.stamp) == kind.model_type
    return not isinstance(found, str) and found.segmentation_model == kind.model_type
