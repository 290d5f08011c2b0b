"""Encoders of the conditions: prompt (Flan-T5), subject meaning (DINOv2), subject detail (FLUX VAE)."""

from .content import ContentEncoder
from .reference import reference_picture
from .semantic import SemanticEncoder, resample_position_embedding
from .sizes import (
    ENCODERS,
    ContentEncoderConfig,
    EncoderConfigs,
    SemanticEncoderConfig,
    TextEncoderConfig,
)
from .text import (
    TOKENIZER_FILE,
    TextEncoder,
    build_tokenizer,
    parse_tokenizer,
    read_tokenizer,
    wrap_tokenizer,
)

__all__ = [
    "ENCODERS",
    "TOKENIZER_FILE",
    "ContentEncoder",
    "ContentEncoderConfig",
    "EncoderConfigs",
    "SemanticEncoder",
    "SemanticEncoderConfig",
    "TextEncoder",
    "TextEncoderConfig",
    "build_tokenizer",
    "parse_tokenizer",
    "read_tokenizer",
    "reference_picture",
    "resample_position_embedding",
    "wrap_tokenizer",
]
