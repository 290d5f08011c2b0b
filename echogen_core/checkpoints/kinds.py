"""Tells published weight files apart by the names of their tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import keymap_content, keymap_semantic, keymap_text
from .keymap_tokenizer import NESTS as TOKENIZER_NESTS
from .keymap_transformer import unnest

TRANSFORMER_MARKS = ("cfg_uncond", "word_embed.weight")
TOKENIZER_MARKS = (
    ("encoder.conv_in.conv.weight", "decoder.conv_out.conv.weight"),
    ("encoder.conv_in.weight", "decoder.conv_out.weight"),
)

OTHERS: tuple[tuple[str, str], ...] = (
    # prefix of a name -> what such a file is
    ("model.diffusion_model.", "Stable Diffusion checkpoint"),
    ("double_blocks.", "FLUX diffusion model"),
    ("text_model.", "CLIP"),
    ("vision_model.", "CLIP vision"),
    ("lora_", "LoRA"),
    ("diffusion_model.", "diffusion model"),
)


def recognise(tree: Mapping[str, Any]) -> str | None:
    """The kind of a published file (a key of format.KINDS), a description of another one, or None."""
    state = unnest(tree)
    if all(mark in state for mark in TRANSFORMER_MARKS):
        return "transformer"
    for nest in TOKENIZER_NESTS:
        if isinstance(state.get(nest), Mapping):
            state = state[nest]
            break
    if all(mark in state for mark in keymap_content.MARKS):
        return "content"
    if any(all(mark in state for mark in marks) for marks in TOKENIZER_MARKS):
        return "tokenizer"
    if all(mark in state for mark in keymap_text.MARKS):
        return "text"
    if any(mark in state or f"dinov2.{mark}" in state for mark in keymap_semantic.MARKS):
        return "semantic"
    return next((title for prefix, title in OTHERS if any(key.startswith(prefix) for key in state)), None)
