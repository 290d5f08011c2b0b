"""Our own file format: one safetensors file a part, its configuration as JSON in the metadata.

Metadata keys: format ("echogen"), version ("1"), kind (a key of KINDS), config (JSON of the dataclass); and,
in files that `convert` made, source_sha256 (JSON, file name -> sha256 of what it was made from), tokenizer
(text encoders: the content of tokenizer.json), base_sha256 and base_name (subject parameters alone: what they
belong to, see adapter.py) and weights ("fp8": see quantised.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from typing import Any

from ..config import TokenizerConfig, TransformerConfig
from ..encoders import ContentEncoderConfig, SemanticEncoderConfig, TextEncoderConfig
from ..utils.json_text import parse_json
from ..utils.printable import printable
from .mismatches import join_names

FORMAT = "echogen"
VERSION = "1"

SOURCE_SHA256, TOKENIZER, WEIGHTS = "source_sha256", "tokenizer", "weights"
BASE_SHA256, BASE_NAME = "base_sha256", "base_name"

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

EXAMPLES: dict[str, str] = {
    "transformer": "echogen_2b.pth, or infinity_2b_reg.pth for text to image",
    "tokenizer": "infinity_vae_d32reg.pth; infinity_vae_d16.pth for the 0.1B model",
    "text": "google/flan-t5-xl",
    "semantic": "facebook/dinov2-base or dinov2_vitb14_pretrain.pth",
    "content": "FLUX.1's ae.safetensors: 16 channels, factor 8",
}
"""The published files of the parts."""


_COUNTS = ("depth", "res_blocks", "channel_multipliers")
"""Settings that say how many layers there are."""

_STORED = {"unshuffle": "fold"}
"""Setting -> its name in files, where that is another one: files of all versions stay readable by all."""

_LATER = ("super_resolution",)
"""Settings that earlier versions don't know: left out at their default, so that these read the file."""


def write_metadata(kind: str, config: Any) -> dict[str, str]:
    """Metadata of a file of this kind."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "kind": kind,
        "config": json.dumps(
            {_STORED.get(name, name): value for name, value in _settings(config).items()}, sort_keys=True
        ),
    }


def _settings(config: Any) -> dict[str, Any]:
    defaults = {entry.name: entry.default for entry in fields(config)}
    return {
        name: value for name, value in asdict(config).items() if name not in _LATER or value != defaults[name]
    }


def is_ours(metadata: Mapping[str, str]) -> bool:
    """Whether the file was written by this project."""
    return metadata.get("format") == FORMAT


def read_config(metadata: Mapping[str, str], tensors: int) -> Any:
    """The configuration in the metadata of a file whose kind is one of KINDS.

    tensors: how many the file holds; of nothing that a model is built from there can be more.
    Raises:
        ValueError: the file is of a later version, or its configuration cannot be read or is of no model.
    """
    if metadata.get("version") != VERSION:
        raise ValueError(
            f"expected file version {VERSION}, got {printable(metadata.get('version'))}. "
            "Update this pack to read it."
        )
    config_class = KINDS[metadata["kind"]]
    known = {_STORED.get(field.name, field.name): field.name for field in fields(config_class)}
    try:
        values = parse_json(metadata.get("config", "null"))
        if not isinstance(values, dict):
            raise ValueError("expected a JSON object")
        if unknown := sorted({*values} - {*known}):
            raise ValueError(f"unknown settings {join_names(unknown)}")
        if missing := sorted(_needed(config_class) - {*values}):
            raise ValueError(f"missing settings {join_names(missing)}")
        config = config_class(
            **{known[key]: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        )
        _check_counts(config, tensors)
    except ValueError as error:
        raise ValueError(
            f"can't read its configuration ({printable(error)}). Update this pack, or create the file again."
        ) from error
    return config


def _needed(config_class: type[Any]) -> set[str]:
    return {entry.name for entry in fields(config_class) if entry.default is MISSING}


def _check_counts(config: Any, tensors: int) -> None:
    """ValueError where there would be more layers than tensors."""
    for name, value in asdict(config).items():
        count = len(value) if isinstance(value, tuple) else value
        if name in _COUNTS and count > tensors:
            raise ValueError(f"{name} is {count}, but the file has only {tensors} tensors")
