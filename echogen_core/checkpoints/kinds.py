"""Recognises weight files by the names and shapes of their tensors, and describes them in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from ..utils.printable import printable
from . import keymap_content, keymap_semantic, keymap_text
from .format import TITLES
from .keymap_tokenizer import WRAPPER_KEYS as TOKENIZER_WRAPPER_KEYS
from .keymap_tokenizer import infer_tokenizer
from .keymap_transformer import infer_config, unnest
from .mismatches import WrongModel

TRANSFORMER_SIGNATURE = ("cfg_uncond", "word_embed.weight")
TOKENIZER_SIGNATURES = (
    ("encoder.conv_in.conv.weight", "decoder.conv_out.conv.weight"),
    ("encoder.conv_in.weight", "decoder.conv_out.weight"),
)

INFER: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "transformer": infer_config,
    "tokenizer": infer_tokenizer,
    "text": keymap_text.infer_text,
    "semantic": keymap_semantic.infer_semantic,
    "content": keymap_content.infer_content,
}
"""Kind -> what reads a published file's configuration from its shapes."""

FOREIGN_MODELS: tuple[tuple[str, str], ...] = (
    # part of a tensor's name -> what such a file is; the first match counts
    ("lora_", "a LoRA"),
    ("control_model.", "a ControlNet"),
    ("controlnet_", "a ControlNet"),
    ("model.diffusion_model.", "a Stable Diffusion checkpoint"),
    ("double_blocks.", "a FLUX diffusion model"),
    ("joint_blocks.", "a Stable Diffusion 3 diffusion model"),
    ("diffusion_model.", "a diffusion model"),
    ("input_blocks.", "a Stable Diffusion diffusion model"),
    ("vision_model.", "a CLIP vision encoder"),
    ("text_model.", "a CLIP text encoder"),
    ("transformer.resblocks.", "a CLIP encoder"),
    ("mask_decoder.", "a SAM segmentation model"),
    ("transformer.decoder.layers.", "a detection model"),
    ("model.layers.", "a language model"),
    ("decoder.block.", "the decoder of a T5"),
)

_MALFORMED_ERRORS = (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RuntimeError)
"""What unpacking a shape or looking up a tensor raises in a malformed file."""

T5_SIZES = {512: "small", 768: "base", 1024: "large", 2048: "XL", 4096: "XXL"}
DINO_SIZES = {384: "S", 768: "B", 1024: "L", 1536: "g"}


def recognise(tree: Mapping[str, Any]) -> str | None:
    """The kind of a published file (a key of format.KINDS), a description of another one, or None."""
    state = unnest(tree)
    if all(key in state for key in TRANSFORMER_SIGNATURE):
        return "transformer"
    for wrapper in TOKENIZER_WRAPPER_KEYS:
        if isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
            break
    if any(key in state for key in keymap_content.SIGNATURE_KEYS):
        return "content"
    if any(all(key in state for key in signature) for signature in TOKENIZER_SIGNATURES):
        return "tokenizer"
    if all(key in state for key in keymap_text.SIGNATURE_KEYS):
        return "text"
    if any(key in state or f"dinov2.{key}" in state for key in keymap_semantic.SIGNATURE_KEYS):
        return "semantic"
    return next((title for part, title in FOREIGN_MODELS if any(part in key for key in state)), None)


def infer(kind: str, tree: Mapping[str, Any]) -> Any:
    """The configuration of a published file of a kind; WrongModel says what it is instead."""
    try:
        return INFER[kind](tree)
    except WrongModel:
        raise
    except _MALFORMED_ERRORS as error:
        title = TITLES[kind]
        raise WrongModel(
            f"a damaged or partial {title} ({printable(error)} is missing or strange)"
        ) from error


def describe(kind: str, config: Any) -> str:
    """What a part is, with its sizes: 'an Infinity base transformer (depth 32, width 2048, 32 bits)'."""
    if kind == "transformer":
        family = "an EchoGen" if config.subject else "an Infinity base"
        return f"{family} transformer (depth {config.depth}, width {config.width}, {config.bits} bits)"
    if kind == "tokenizer":
        return f"a BSQ tokenizer of {config.bits} bits (d{config.bits})"
    if kind == "text":
        size = T5_SIZES.get(config.width)
        return f"a T5{f' {size}' if size else ''} text encoder ({config.width} channels)"
    if kind == "semantic":
        size = DINO_SIZES.get(config.width)
        name = f" ViT-{size}/{config.patch}" if size else ""
        return f"a DINOv2{name} semantic encoder ({config.width} channels, patch {config.patch})"
    return f"a VAE content encoder ({config.latent_channels} channels, factor {config.factor})"


def describe_unknown(tree: Mapping[str, Any]) -> str:
    """What a file of none of the known kinds holds, by its first names."""
    names = [printable(key) for key, value in unnest(tree).items() if isinstance(value, Tensor)]
    return f"a file of an unknown kind (its first tensors: {', '.join(names[:3]) or 'none at all'})"
