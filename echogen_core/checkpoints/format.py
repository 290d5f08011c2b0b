"""Our own file format: one safetensors file a part, its configuration as JSON in the metadata.

Metadata keys: format ("echogen"), version ("1"), kind (a key of KINDS), config (JSON of the dataclass).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from ..config import TokenizerConfig, TransformerConfig
from ..encoders import ContentEncoderConfig, SemanticEncoderConfig, TextEncoderConfig

FORMAT = "echogen"
VERSION = "1"

KINDS: dict[str, type[Any]] = {
    "transformer": TransformerConfig,
    "tokenizer": TokenizerConfig,
    "text": TextEncoderConfig,
    "semantic": SemanticEncoderConfig,
    "content": ContentEncoderConfig,
}
"""Part of a bundle -> its configuration class."""

TITLES: dict[str, str] = {
    "transformer": "EchoGen or Infinity transformer",
    "tokenizer": "BSQ tokenizer",
    "text": "T5 text encoder",
    "semantic": "DINOv2 semantic encoder",
    "content": "FLUX VAE content encoder",
}
"""What the parts are called in messages."""


def write_metadata(kind: str, config: Any) -> dict[str, str]:
    """Metadata of a file of this kind."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "kind": kind,
        "config": json.dumps(asdict(config), sort_keys=True),
    }


def is_ours(metadata: Mapping[str, str]) -> bool:
    """Whether the file was written by this project."""
    return metadata.get("format") == FORMAT


def read_config(metadata: Mapping[str, str], kind: str) -> Any:
    """The configuration in the metadata.

    Raises:
        ValueError: the file is of another kind, of a later version, or its configuration cannot be read.
    """
    found = metadata.get("kind", "")
    if found != kind:
        raise ValueError(
            f"expected {_article(TITLES[kind])}, got {_article(TITLES.get(found, 'file of unknown kind'))}. "
            "Choose the file that belongs to this slot."
        )
    if metadata.get("version") != VERSION:
        raise ValueError(
            f"expected file version {VERSION}, got {metadata.get('version')}. Update this pack to read it."
        )
    config_class = KINDS[kind]
    known = {field.name for field in fields(config_class)}
    try:
        values = json.loads(metadata["config"])
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"unknown settings {', '.join(unknown)}")
        return config_class(**{key: tuple(v) if isinstance(v, list) else v for key, v in values.items()})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"its configuration cannot be read ({error}). Update this pack, or write the file again."
        ) from error


def _article(title: str) -> str:
    return f"{'an' if title[0] in 'AEIO' else 'a'} {title}"
