"""What a weight file is, from its names, shapes and types alone: no weight is read from the disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..utils.json_text import read_json
from ..utils.printable import printable
from .catalog.file_cache import Failure, FileCache
from .catalog.folder_listing import Stamp
from .format import BASE_SHA256, KINDS, is_ours, read_config
from .kinds import describe, describe_unknown, infer, recognise
from .mismatches import WrongModel
from .read import RawFile, read_weights


class KeySignature(NamedTuple):
    """Suffixes of tensor names that identify a model: its file has all of `own` and none of `excluded`."""

    own: tuple[str, ...]
    excluded: tuple[str, ...] = ()


SEGMENTATION_MODELS: dict[str, KeySignature] = {
    "grounding-dino": KeySignature(("transformer.level_embed", "bert.embeddings.word_embeddings.weight")),
    "sam": KeySignature(
        ("image_encoder.blocks.0.attn.qkv.weight", "mask_decoder.iou_token.weight"),
        ("mask_decoder.hf_token.weight",),
    ),
}
"""model_type in a hub folder's config.json -> what identifies the same model's single file."""

_SUFFIXES = tuple(suffix for own, excluded in SEGMENTATION_MODELS.values() for suffix in (*own, *excluded))
_MAX_TITLE_LENGTH = 500


@dataclass(frozen=True)
class Identity:
    """What a file or folder is.

    kind: the slot it belongs in (a key of format.KINDS); None: EchoGen has no use for it.
    title: what it is, in words, with its sizes, such as "a BSQ tokenizer of 32 bits (d32)".
    config: its configuration; an encoder's picture size and a prompt's length are not in published files and
        stand at EchoGen-2B's. None where kind is.
    dtype: the type that most weights are stored in.
    ours: written by this project. adapter: the subject parameters alone, to be used with a base file.
    segmentation_model: the one that a single file is (a key of SEGMENTATION_MODELS); '': none.
    """

    kind: str | None
    title: str
    config: Any
    dtype: torch.dtype
    ours: bool = False
    adapter: bool = False
    segmentation_model: str = ""


def identify(path: str | Path, stamp: Stamp | None = None) -> Identity:
    """What the file, or folder from the hub, holds. Cached until it changes, failures as well.

    stamp: as `folder_listing.stamp_of`, where the caller has just seen it.
    Raises FileNotFoundError, ValueError and OSError as `read_weights`: nothing there, damaged, wanting to run
    code, not to be mapped; ValueError for all else that reading it comes to.
    """
    found = _identities.of(path, stamp)
    if isinstance(found, Failure):
        raise found.error()
    return found


def model_type(folder: str | Path, stamp: Stamp | None = None) -> str:
    """What the config.json in a folder calls its model; '' where it does not say. Never raises."""
    found = _model_types.of(folder, stamp)
    return "" if isinstance(found, Failure) else found


def _identify(path: Path) -> Identity:
    raw = read_weights(path, shapes_only=True)
    try:
        found = classify(raw)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    title = printable(found.title, _MAX_TITLE_LENGTH)  # names in the file may be part of it
    model = _segmentation_model(raw.tree) if path.is_file() else ""
    return replace(found, title=title, segmentation_model=model)


def _segmentation_model(tree: Mapping[str, Any]) -> str:
    inner = (name for value in tree.values() if isinstance(value, Mapping) for name in value)
    names = [name for name in (*tree, *inner) if name.endswith(_SUFFIXES)]

    def has(suffix: str) -> bool:
        return any(name.endswith(suffix) for name in names)

    for model, (own, excluded) in SEGMENTATION_MODELS.items():
        if all(map(has, own)) and not any(map(has, excluded)):
            return model
    return ""


def _model_type(folder: Path) -> str:
    file = folder / "config.json"
    if not file.is_file():
        return ""
    config = read_json(file, reject_duplicate_keys=False, finite=False)
    return str(config.get("model_type")) if isinstance(config, Mapping) else ""


_identities = FileCache(_identify)
_model_types = FileCache(_model_type)


def classify(raw: RawFile) -> Identity:
    """As `identify`, of a file that is open. ValueError: our own file with metadata that cannot be read."""
    if is_ours(raw.metadata):
        kind = raw.metadata.get("kind", "")
        if kind not in KINDS:
            title = f"this pack's file of a {printable(kind, 80) or 'thing without a name'}"
            return Identity(None, title, None, raw.dtype, ours=True)
        config = read_config(raw.metadata, len(raw.tensors))
        adapter = BASE_SHA256 in raw.metadata
        title = describe(kind, config) + (", its subject parameters alone" if adapter else "")
        return Identity(kind, title, config, raw.dtype, ours=True, adapter=adapter)
    found = recognise(raw.tree)
    if found not in KINDS:
        return Identity(None, found or describe_unknown(raw.tree), None, raw.dtype)
    try:
        config = infer(found, raw.tree)
    except WrongModel as error:
        return Identity(None, str(error), None, raw.dtype)
    return Identity(found, describe(found, config), config, raw.dtype)
