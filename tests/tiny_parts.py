"""A small part of each kind with random weights, and where the golden files are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from echogen_core.checkpoints import load_part
from echogen_core.encoders import (
    ContentEncoder,
    ContentEncoderConfig,
    SemanticEncoder,
    SemanticEncoderConfig,
    TextEncoder,
    TextEncoderConfig,
    build_tokenizer,
    wrap_tokenizer,
)

GOLDEN = Path(__file__).parent / "golden"
PROMPTS = ["a cat in a city street", "a toy car in the forest"]
TINY_FILES = {"transformer": "echogen_tiny_weights", "tokenizer": "vae_tiny_d16_weights"}


def golden_file(kind: str) -> Path:
    """The weights of the transformer or the tokenizer."""
    return GOLDEN / f"{TINY_FILES[kind]}.safetensors"


def tiny_part(kind: str) -> Any:
    """A module; the encoders' weights come from torch's generator as it stands."""
    if kind in TINY_FILES:
        return load_part(golden_file(kind), kind)
    if kind == "semantic":
        return SemanticEncoder(SemanticEncoderConfig(28, 14, 64, 2, 1, reference_size=32))
    if kind == "content":
        return ContentEncoder(ContentEncoderConfig(8, (1, 2, 2, 2), 1, 16, 4, reference_size=32))
    words = wrap_tokenizer(build_tokenizer(PROMPTS, vocabulary=300))
    return TextEncoder(TextEncoderConfig(len(words), 32, 2, 2, 16, 48, max_tokens=20), words)


def write_vocabulary(folder: Path) -> None:
    """The text encoder's tokenizer.json."""
    build_tokenizer(PROMPTS, vocabulary=300).save(str(folder / "tokenizer.json"))
