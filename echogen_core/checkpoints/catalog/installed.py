"""Finds a model's parts by what the files contain, whatever their names."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from ...config import PRESETS, Preset
from ..format import KINDS, TITLES
from ..identify import Identity, identify
from ..kinds import describe
from ..read import FOLDER_FILES
from .file_cache import TRANSIENT_ERROR_TTL, Failure, FileCache
from .folder_listing import Stamp, stamp_of
from .published_models import PUBLISHED, PublishedPart, expected_config
from .walk import Entry, Search, entries

ENDINGS = (".safetensors", ".sft", ".pth", ".pt", ".bin", ".ckpt")
MODELS = Search(ENDINGS, marker_files=FOLDER_FILES)
"""Weight files, and folders as the hub has them."""

SIZE_FIELDS: dict[str, tuple[str, ...]] = {
    "transformer": ("depth", "width", "bits", "subject"),
    "tokenizer": ("bits", "patch"),
    "text": ("depth", "width"),
    "semantic": ("depth", "width", "patch"),
    "content": ("base_channels", "channel_multipliers", "latent_channels"),
}
"""Kind -> configuration fields that distinguish one model's part from another's."""


INFINITY_SETTINGS: dict[str, Any] = {"gamma_t": 4.0, "gamma_i": 4.0, "tau": 0.5}
"""Infinity's own defaults (its cfg is γ_t), in place of EchoGen's."""


class _CachedScan(NamedTuple):
    """A folder's scan, what each entry is, and when errors among those are to be checked again."""

    found: tuple[Entry, ...]
    identities: tuple[tuple[Entry, Identity | str], ...]
    until: float


@dataclass(frozen=True)
class FoundParts:
    """paths: kind -> file or folder. unfit: files that have a part's name, and why they are not it."""

    paths: Mapping[str, Path]
    unfit: Mapping[Path, str] = field(default_factory=dict)


def find_parts(model: str, places: Mapping[str, Sequence[Path]]) -> FoundParts:
    """The parts of a model in `places`, in their order; a file by its proper name goes before others.

    Args:
        model: a preset, or a key of PUBLISHED.
        places: kind -> folders, which are searched with all below them.
    A model that is not published is found by the names of its files (<kind>.safetensors) alone.
    """
    parts = {part.kind: part for part in PUBLISHED.get(model, ())}
    paths: dict[str, Path] = {}
    unfit: dict[Path, str] = {}
    for kind in parts or KINDS:
        if kind not in parts:
            named = (folder / own_name(kind) for folder in places[kind])
            path = next((path for path in named if stamp_of(path) is not None), None)
        else:
            path = _fitting(model, parts[kind], places[kind], unfit)
        if path is not None:
            paths[kind] = path
    return FoundParts(paths, unfit)


def own_name(kind: str) -> str:
    """What our own bundles call the file of a kind."""
    return f"{kind}.safetensors"


def fits(model: str, kind: str, config: Any) -> bool:
    """Whether a part of these sizes belongs to a model."""
    expected = expected_config(model, kind)
    return all(getattr(config, name) == getattr(expected, name) for name in SIZE_FIELDS[kind])


def preset_for(kind: str, config: Any) -> Preset:
    """The preset that a part of these sizes belongs to; one of a plain Infinity transformer for its like.

    Raises ValueError when there is none.
    """
    base = kind == "transformer" and not config.subject
    sized = replace(config, subject=True) if base else config
    found = next((preset for name, preset in PRESETS.items() if fits(name, kind, sized)), None)
    if found is None:
        raise ValueError(
            f"{describe(kind, config)} does not belong to any known model: {', '.join(PRESETS)}."
        )
    if kind != "transformer":
        return found
    settings = INFINITY_SETTINGS if base else {}
    return replace(found, transformer=config, **settings)


def candidates(folders: Iterable[Path]) -> Iterator[Path]:
    """Weight files, and folders as the hub has them, below `folders`; sorted within each."""
    return (Path(entry.place) for top in folders for entry in entries(top, MODELS))


def identify_all(folder: str | Path) -> tuple[tuple[Entry, Identity | str], ...]:
    """Everything below a folder, with the result of `identify_or_error` for each entry."""
    found, now = entries(folder, MODELS), time.monotonic()
    before = _scans.get(os.fspath(folder))
    if before is not None and before.found is found and now < before.until:
        return before.identities
    identities = tuple((entry, identify_or_error(entry.place, entry.stamp)) for entry in found)
    _scans[os.fspath(folder)] = _CachedScan(found, identities, now + TRANSIENT_ERROR_TTL)
    return identities


def identify_or_error(path: str | Path, stamp: Stamp | None = None) -> Identity | str:
    """What a file or folder is, or the error message. Cached until it changes; never raises.

    stamp: as `folder_listing.stamp_of`, where the caller has just seen it.
    """
    found = _identities.of(path, stamp)
    return found.text if isinstance(found, Failure) else found


def _fitting(model: str, part: PublishedPart, folders: Sequence[Path], unfit: dict[Path, str]) -> Path | None:
    """The first candidate that is the part; those that only have its name go to `unfit`."""

    def is_proper(entry: Entry) -> bool:
        above, name = os.path.split(entry.place)
        return name == part.name or (name == own_name(part.kind) and os.path.basename(above) == model)

    found = (entry for folder in folders for entry in entries(folder, MODELS))
    for entry in sorted(found, key=lambda entry: not is_proper(entry)):
        identity = identify_or_error(entry.place, entry.stamp)
        if isinstance(identity, str):
            reason = identity
        elif identity.kind == part.kind and fits(model, part.kind, identity.config):
            return Path(entry.place)
        else:
            reason = f"{entry.place} is {identity.title}, not the {TITLES[part.kind]} of {model}."
        if is_proper(entry):
            unfit[Path(entry.place)] = reason
    return None


_identities = FileCache(identify)
_scans: dict[str, _CachedScan] = {}
