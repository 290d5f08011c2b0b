"""Tokenizers that draw pictures of the size that they encode."""

from __future__ import annotations

from dataclasses import replace

from echogen_core.tokenizer import BitTokenizer

SUPER_RESOLUTION = "decoder.super_resolution."
"""Where the names of its weights begin."""


def without_super_resolution(tokenizer: BitTokenizer) -> BitTokenizer:
    """The tokenizer that draws pictures of the size that it encodes; the same one where it does already."""
    if tokenizer.config.super_resolution == 1:
        return tokenizer
    plain = BitTokenizer(replace(tokenizer.config, super_resolution=1))
    state = tokenizer.state_dict().items()
    plain.load_state_dict({name: t for name, t in state if not name.startswith(SUPER_RESOLUTION)})
    return plain.to(next(tokenizer.parameters()).device).eval()
