"""Files that many runs in one process read alone are loaded once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Loaded = TypeVar("Loaded")


def loaded_once(load: Callable[..., Loaded]) -> Callable[..., Loaded]:
    """`load`, which for arguments that it was given before returns what it did then; told by their repr."""
    kept: dict[str, Loaded] = {}

    def load_once(*args: Any, **options: Any) -> Loaded:
        key = repr((args, options))
        if key not in kept:
            kept[key] = load(*args, **options)
        return kept[key]

    return load_once
