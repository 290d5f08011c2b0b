"""The subject path's models: found by content among ComfyUI's folders, loaded when a node asks for them.

One of each kind is kept until ComfyUI unloads it: pictures are described, found and cut again and again while
an artist tunes, and the large ones must not stay in memory once something else needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from echogen_core.checkpoints.identify import TOOLS, Identity, model_type
from echogen_core.checkpoints.installed import MODELS, look, looked
from echogen_core.checkpoints.segmentation_models import (
    Backend,
    load_describer,
    load_detector,
    load_salient,
    load_segmenter,
)
from echogen_core.checkpoints.walk import Entry, entries, find
from echogen_core.printable import printable

from . import catalogue, runtime

AUTO, NONE = "auto", "none"
"""What each drop-down begins with: the first file that is found, and no model at all."""

_VOCABULARY = "bert-base-uncased"
"""Folder of the tokenizer that GroundingDINO's .pth files lack, where other packs keep it as well."""


@dataclass(frozen=True)
class Kind:
    """A model of the subject path.

    folders: ComfyUI's kinds of model where such files are kept, by us or by well-known packs; the first is
    where a new one belongs. model_type: what the config.json of a folder says, and a single file is told by
    (a key of TOOLS; another model comes as a folder alone). fetch: what to get, from where.
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
_GONE = object()

_shelf: dict[str, tuple[Any, runtime.ManagedTool]] = {}


def choices(kind: Kind) -> list[str]:
    """What a node's drop-down lists."""
    return [AUTO, NONE, *sorted(_known(kind))]


def chosen(kind: Kind, name: object) -> Path | None:
    """The file of a drop-down's entry; None: there is none, or none is wanted.

    Raises FileNotFoundError (what to fetch, from where, into which folder) for whatever is not there.
    """
    if name == NONE:
        return None
    if name == AUTO:
        known = _known(kind)
        return known[min(known)] if known else None
    for folder in runtime.any_folders(kind.folders):
        entry = find(folder, name, MODELS)
        if entry is not None and _is_a(kind, entry, look(entry.place, entry.stamp)):
            return Path(entry.place)
    known = _known(kind)
    there = f" {catalogue.named(known)}" if known else ""
    raise FileNotFoundError(f"No {kind.title} is called {printable(name)}.{there} {wanted(kind)}")


def wanted(kind: Kind) -> str:
    """What to fetch and where to put it. Without the user's own paths: it is written into pictures."""
    return f"Put {kind.fetch}, into models/{kind.folders[0]}; no restart is needed."


def identity(kind: Kind, name: object) -> str:
    """Changes when another file would be taken, or the file changes. '' where there is none. Never raises."""
    try:
        path = chosen(kind, name)
    except FileNotFoundError:
        return ""
    return "" if path is None else catalogue.identity([path])


def take(kind: Kind, name: str, backend: str = Backend.TRANSFORMERS.value) -> runtime.ManagedTool | None:
    """The model of a drop-down's entry, not yet on the compute device; None: there is none.

    Raises FileNotFoundError as `chosen`, ValueError for a damaged file, ImportError for a backend whose
    package is not installed.
    """
    path = chosen(kind, name)
    if path is None:
        return None
    key = (catalogue.identity([path]), backend)
    return _kept(kind.title, key, lambda: kind.load(path, Backend(backend)))


def salient() -> runtime.ManagedTool:
    """The built-in cut's model."""
    return _kept(_SALIENT, _SALIENT, load_salient)


def _kept(title: str, key: Any, load: Callable[[], nn.Module]) -> runtime.ManagedTool:
    if title in _shelf and _shelf[title][0] == key:
        return _shelf[title][1]
    _shelf.pop(title, None)  # before the next is read: two at once may not fit
    module = load()
    tool = runtime.manage_tool(module, lambda: _give_back(title, module))
    _shelf[title] = (key, tool)
    return tool


def _give_back(title: str, module: nn.Module) -> None:
    """Its weights' memory, when ComfyUI has unloaded it.

    The object stays until the next is taken: ComfyUI is at work on its list of models, from which an object
    that ends removes itself.
    """
    module.to("meta")
    if title in _shelf and _shelf[title][1].module is module:
        _shelf[title] = (_GONE, _shelf[title][1])


def _known(kind: Kind) -> dict[str, Path]:
    """Entry of the drop-down -> file or folder; the name is the path below its folder."""
    known: dict[str, Path] = {}
    for folder in runtime.any_folders(kind.folders):
        files = kind.model_type in TOOLS
        for entry, found in looked(folder) if files else ((entry, "") for entry in entries(folder, MODELS)):
            if _is_a(kind, entry, found):
                known.setdefault(entry.name, Path(entry.place))
    return known


def _is_a(kind: Kind, entry: Entry, found: Identity | str) -> bool:
    """found: what `look` says of it; what a folder is, is told by its config.json alone."""
    if entry.folder:
        return model_type(entry.place, entry.stamp) == kind.model_type
    return not isinstance(found, str) and found.tool == kind.model_type
