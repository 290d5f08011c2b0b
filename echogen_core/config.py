"""Sizes of the models. Architecture lives elsewhere; these are the numbers it is built from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from .utils.printable import printable

LARGEST_SIZE = 1 << 24
"""Of any count of channels, words or tokens: beyond every real model, small enough to multiply."""

LIMITS: Mapping[str, int] = {
    "depth": 256,
    "heads": 4096,
    "base_channels": 1 << 14,
    "res_blocks": 64,
    "channel_multipliers": 16,  # how many, and each of them 1024
    "unshuffle": 64,
    "super_resolution": 4,
    "patch": 256,
    "mlp_ratio": 1024,
    "levels": 4096,
    "max_tokens": 1 << 16,
    "image_size": 8192,
    "reference_size": 8192,
}
"""Setting -> its largest value, where building or using a model takes time or memory that grows with it."""


def check_sizes(config: Any) -> None:
    """ValueError unless every setting of a model's sizes is of its type, positive, and not too large.

    config: a dataclass of int, float, bool and tuple[int, ...]; a float may be a whole number.
    """
    for entry in fields(config):
        name, kind, value = entry.name, str(entry.type), getattr(config, entry.name)
        most = LIMITS.get(name, LARGEST_SIZE)
        if kind == "bool":
            fits = isinstance(value, bool)
        elif kind.startswith("tuple"):
            fits = isinstance(value, tuple) and 0 < len(value) <= most
            fits = fits and all(type(item) is int and 0 < item <= 1024 for item in value)
        else:
            number = type(value) is int or (kind == "float" and type(value) is float and math.isfinite(value))
            fits = number and 0 < value <= most
        if not fits:
            raise ValueError(
                f"{name}: expected {kind}, each above 0 and at most {most}, got {printable(repr(value), 80)}."
            )


def check_groups(config: Any) -> None:
    """ValueError unless the norms' groups are of equal size."""
    if config.base_channels % config.norm_groups:
        raise ValueError(
            f"base_channels must be a multiple of norm_groups, got {config.base_channels} and "
            f"{config.norm_groups}."
        )


@dataclass(frozen=True)
class TransformerConfig:
    """EchoGen transformer (an Infinity transformer when `subject` is false)."""

    depth: int
    width: int
    heads: int
    bits: int  # d: bits per token of the tokenizer
    text_width: int  # channels of the text encoder
    text_length: int  # longest prompt in tokens (the length of the learned null prompt)
    semantic_width: int = 768
    semantic_length: int = 1025  # class token + patches
    content_width: int = 16
    content_length: int = 4096
    mlp_ratio: float = 4.0
    levels: int = 15  # rows of the level embedding
    pool_head_width: int = 128  # text channels per head of the attentive pool
    subject: bool = True

    def __post_init__(self) -> None:
        check_sizes(self)
        if self.width % self.heads or (self.width // self.heads) % 4:
            raise ValueError(
                f"width must be heads times a multiple of 4, got width {self.width} and {self.heads} heads."
            )
        if self.text_width < self.pool_head_width or self.width % self.pool_heads:
            raise ValueError(
                f"text_width {self.text_width} must hold at least one pooling head of {self.pool_head_width} "
                f"channels, and width {self.width} must divide into those heads."
            )

    @property
    def head_width(self) -> int:
        """Channels per attention head."""
        return self.width // self.heads

    @property
    def hidden(self) -> int:
        """Width of the feed-forward layers."""
        return round(self.width * self.mlp_ratio)

    @property
    def pool_heads(self) -> int:
        """Heads of the attentive text pool; the official code ties them to the text width."""
        return self.text_width // self.pool_head_width


@dataclass(frozen=True)
class TokenizerConfig:
    """BSQ tokenizer: convolutional encoder and decoder around a bit quantiser."""

    bits: int
    base_channels: int = 128
    channel_multipliers: tuple[int, ...] = (1, 2, 4, 4, 4)
    res_blocks: int = 2  # per level of the encoder; the decoder has one more
    unshuffle: int = 1  # factor of the pixel unshuffle before the first convolution (published files: none)
    norm_groups: int = 32  # few channels need fewer: one channel a group would erase a picture's colours
    super_resolution: int = 1  # how many times larger than encoded a picture is drawn (published files: 1)

    def __post_init__(self) -> None:
        check_sizes(self)
        check_groups(self)

    @property
    def patch(self) -> int:
        """Pixels per token side of a picture to encode."""
        return int(self.unshuffle * 2 ** (len(self.channel_multipliers) - 1))

    @property
    def drawn_patch(self) -> int:
        """Pixels per token side of a decoded picture."""
        return self.patch * self.super_resolution

    def drawn_hw(self, grid: tuple[int, int]) -> tuple[int, int]:
        """Height and width in pixels of a picture that is decoded from so many tokens down and across."""
        height, width = grid
        return height * self.drawn_patch, width * self.drawn_patch


@dataclass(frozen=True)
class Preset:
    """A set of models that belong together, with the settings that suit them."""

    name: str
    transformer: TransformerConfig
    tokenizer: TokenizerConfig
    budget: str  # pixel budget of scales.find_schedule
    reference_size: int  # side of the square reference picture in pixels
    gamma_t: float = 2.5
    gamma_i: float = 2.5
    tau: float = 2.0
    top_p: float = 0.97


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "nano",
            TransformerConfig(
                depth=6, width=256, heads=4, bits=32, text_width=128, text_length=64,
                semantic_width=192, semantic_length=65, content_width=32, content_length=196,
                mlp_ratio=2.0, levels=5,
            ),
            TokenizerConfig(
                bits=32, base_channels=128, channel_multipliers=(1, 1), res_blocks=1, unshuffle=4,
                norm_groups=8, super_resolution=2,
            ),
            budget="nano",
            reference_size=112,
            tau=0.5,
        ),
        Preset(
            "echogen-0.1b",
            TransformerConfig(
                depth=12, width=768, heads=8, bits=16, text_width=2048, text_length=512,
                semantic_length=257, content_length=1024,
            ),
            TokenizerConfig(bits=16),
            budget="0.06M",
            reference_size=256,
        ),
        Preset(
            "echogen-2b",
            TransformerConfig(
                depth=32, width=2048, heads=16, bits=32, text_width=2048, text_length=512
            ),
            TokenizerConfig(bits=32),
            budget="1M",
            reference_size=512,
        ),
    )
}  # fmt: skip
"""What can be chosen: models whose weights come with the pack or are published."""

TITLES = {
    "nano": "nano",
    "echogen-0.1b": "EchoGen-0.1B",
    "echogen-2b": "EchoGen-2B",
    "infinity-2b": "Infinity-2B",
}
"""Name of a model -> how its authors write it."""

CANDIDATES: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "nano-fine",
            TransformerConfig(
                depth=6, width=320, heads=5, bits=32, text_width=128, text_length=64,
                semantic_width=192, semantic_length=197, content_width=32, content_length=196,
                mlp_ratio=2.0, levels=7,
            ),
            TokenizerConfig(
                bits=32, base_channels=160, channel_multipliers=(1, 1), res_blocks=1, unshuffle=4,
                norm_groups=8,
            ),
            budget="nano-fine",
            reference_size=112,
            tau=0.5,
        ),
        Preset(
            "nano-256",
            TransformerConfig(
                depth=8, width=512, heads=8, bits=32, text_width=128, text_length=64,
                semantic_width=192, semantic_length=257, content_width=32, content_length=784,
                mlp_ratio=2.0, levels=6,
            ),
            TokenizerConfig(
                bits=32, base_channels=160, channel_multipliers=(1, 1), res_blocks=1, unshuffle=4,
                norm_groups=8,
            ),
            budget="nano-256",
            reference_size=224,
            tau=0.5,
        ),
    )
}  # fmt: skip
"""What can be trained and measured but has no weights yet: no list that a user sees names them."""


def find_preset(name: str) -> Preset:
    """A preset by its name, candidates included. Raises ValueError, naming the choices, for any other."""
    if name not in PRESETS and name not in CANDIDATES:
        raise ValueError(f"Expected a model out of {', '.join(PRESETS)}, got {name!r}.")
    return PRESETS.get(name) or CANDIDATES[name]
