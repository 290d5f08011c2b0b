"""What a weight file is, from its names, shapes and types alone: no weight is read from the disk.

One exception: torch's older stream format (before 1.6) can only be read whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from .faults import WrongModel
from .format import BASE_SHA256, KINDS, is_ours, read_config
from .kinds import describe, describe_unknown, infer, recognise
from .read import RawFile, read_weights


@dataclass(frozen=True)
class Identity:
    """What a file or folder is.

    kind: the slot it belongs in (a key of format.KINDS); None: EchoGen has no use for it.
    title: what it is, in words, with its sizes, such as "a BSQ tokenizer of 32 bits (d32)".
    config: its configuration; an encoder's picture size and a prompt's length are not in published files and
        stand at EchoGen-2B's. None where kind is.
    dtype: the type that most weights are stored in.
    ours: written by this project. adapter: the subject parameters alone, to be used with a base file.
    """

    kind: str | None
    title: str
    config: Any
    dtype: torch.dtype
    ours: bool = False
    adapter: bool = False


def identify(path: str | Path) -> Identity:
    """What the file, or folder from the hub, holds. Remembered until it changes.

    Raises FileNotFoundError and ValueError as `read_weights`: nothing there, damaged, or wanting to run code.
    """
    path = Path(path)
    members = sorted(path.iterdir()) if path.is_dir() else [path] if path.exists() else []
    stamps = tuple((member.name, (s := member.stat()).st_size, s.st_mtime_ns) for member in members)
    return _identify(path, stamps)


@lru_cache(maxsize=1024)
def _identify(path: Path, stamps: tuple[tuple[str, int, int], ...]) -> Identity:
    raw = read_weights(path, shapes_only=True)
    try:
        return classify(raw)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def classify(raw: RawFile) -> Identity:
    """As `identify`, of a file that is open. ValueError: our own file with metadata that cannot be read."""
    if is_ours(raw.metadata):
        kind = raw.metadata.get("kind", "")
        if kind not in KINDS:
            title = f"this pack's file of a {kind or 'thing without a name'}"
            return Identity(None, title, None, raw.dtype, ours=True)
        config = read_config(raw.metadata)
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
