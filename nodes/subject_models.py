"""The subject path's models: found by content among ComfyUI's folders, loaded when a node asks for them.

One of each kind is kept until ComfyUI unloads it: pictures are described, found and cut again and again while
an artist tunes, and the large ones must not stay in memory once something else needs it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import nn

from echogen_core.checkpoints.installed import candidates, look
from echogen_core.checkpoints.read import read_weights
from echogen_core.checkpoints.subject import (
    Backend,
    load_describer,
    load_detector,
    load_salient,
    load_segmenter,
)

from . import catalogue, runtime

AUTO, NONE = "auto", "none"
"""What each drop-down begins with: the first file that is found, and no model at all."""

_VOCABULARY = "bert-base-uncased"
"""Folder of the tokenizer that GroundingDINO's .pth files lack, where other packs keep it as well."""


@dataclass(frozen=True)
class Kind:
    """A model of the subject path.

    folders: ComfyUI's kinds of model where such files are kept, by us or by well-known packs; the first is
    where a new one belongs. model_type: what the config.json of a folder says. marks: tensors that a single
    file must have; strangers: tensors of relatives that are something else. fetch: what to get, from where.
    """

    title: str
    folders: tuple[str, ...]
    model_type: str
    fetch: str
    load: Callable[[Path, Backend], Any] = field(repr=False)
    marks: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()


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
    ("transformer.level_embed", "bert.embeddings.word_embeddings.weight"),
)
SEGMENTER = Kind(
    "SAM",
    ("sams", runtime.FOLDER),
    "sam",
    "sam_vit_b_01ec64.pth (0.4 GB) from Segment Anything's page, or the folder facebook/sam-vit-base",
    load_segmenter,
    ("image_encoder.blocks.0.attn.qkv.weight", "mask_decoder.iou_token.weight"),
    ("mask_decoder.hf_token.weight",),
)
_SALIENT = "U²-Netp"
_GONE = object()

_shelf: dict[str, tuple[Any, runtime.ManagedTool]] = {}


def choices(kind: Kind) -> list[str]:
    """What a node's drop-down lists."""
    return [AUTO, NONE, *sorted(_known(kind))]


def chosen(kind: Kind, name: str) -> Path | None:
    """The file of a drop-down's entry; None: there is none, or none is wanted.

    Raises FileNotFoundError (what to fetch, from where, into which folder) for a name that is not there.
    """
    known = _known(kind)
    if name == NONE or (name == AUTO and not known):
        return None
    if name == AUTO:
        return known[min(known)]
    if name not in known:
        there = f" There are: {', '.join(sorted(known))}." if known else ""
        raise FileNotFoundError(f"No {kind.title} is called {name}.{there} {wanted(kind)}")
    return known[name]


def wanted(kind: Kind) -> str:
    """What to fetch and where to put it. Without the user's own paths: it is written into pictures."""
    return f"Put {kind.fetch}, into models/{kind.folders[0]}; no restart is needed."


def identity(kind: Kind, name: str) -> str:
    """Changes when another file would be taken, or the file changes. '' where there is none."""
    path = chosen(kind, name)
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
        for path in _likely(kind, folder):
            if _is_a(kind, path):
                known.setdefault(path.relative_to(folder).as_posix(), path)
    return known


def _likely(kind: Kind, folder: Path) -> Iterator[Path]:
    return (path for path in candidates([folder]) if path.is_dir() or kind.marks)


def _is_a(kind: Kind, path: Path) -> bool:
    if path.is_dir():
        return _model_type(path) == kind.model_type
    stat = path.stat()
    names = _names(path, stat.st_size, stat.st_mtime_ns)
    return all(any(name.endswith(mark) for name in names) for mark in kind.marks) and not any(
        name.endswith(stranger) for name in names for stranger in kind.strangers
    )


def _model_type(folder: Path) -> str:
    try:
        return str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type"))
    except (OSError, ValueError, AttributeError):
        return ""


@lru_cache(maxsize=256)
def _names(path: Path, size: int, changed: int) -> frozenset[str]:
    """Names of the tensors in a file, also of those one level down; none where it cannot be read."""
    if isinstance(look(path), str):
        return frozenset()
    tree = read_weights(path, shapes_only=True).tree
    inner = [name for value in tree.values() if isinstance(value, dict) for name in value]
    return frozenset([*tree, *inner])
