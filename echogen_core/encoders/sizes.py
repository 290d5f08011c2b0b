"""Sizes of the three encoders, and which of them belong to which preset."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import check_groups, check_sizes

MAX_PATCHES = 256
"""Per side: the position table is resampled to that many when a file is loaded."""


@dataclass(frozen=True)
class TextEncoderConfig:
    """A T5 encoder; the defaults are google/flan-t5-xl."""

    vocabulary: int = 32128
    width: int = 2048
    depth: int = 24
    heads: int = 32
    head_width: int = 64
    hidden: int = 5120
    max_tokens: int = 512  # longer prompts are cut; the closing token counts

    def __post_init__(self) -> None:
        check_sizes(self)


@dataclass(frozen=True)
class SemanticEncoderConfig:
    """A DINOv2 vision transformer; the defaults are ViT-B/14 at 448 px, as EchoGen-2B uses it."""

    image_size: int = 448  # side of the square picture that the transformer sees, in pixels
    patch: int = 14
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: int = 4
    reference_size: int = 512  # side of the reference picture before it is resized to image_size

    def __post_init__(self) -> None:
        check_sizes(self)
        if self.grid > MAX_PATCHES:
            raise ValueError(
                f"expected at most {MAX_PATCHES} patches a side, got image_size {self.image_size} and patch "
                f"{self.patch}."
            )
        if self.image_size % self.patch or self.width % self.heads:
            raise ValueError(
                f"image_size must be a multiple of patch and width of heads, got image_size "
                f"{self.image_size}, patch {self.patch}, width {self.width}, heads {self.heads}."
            )

    @property
    def grid(self) -> int:
        """Patches per side."""
        return self.image_size // self.patch


@dataclass(frozen=True)
class ContentEncoderConfig:
    """Encoder half of an LDM-type VAE; the defaults are the FLUX.1 one."""

    base_channels: int = 128
    channel_multipliers: tuple[int, ...] = (1, 2, 4, 4)
    res_blocks: int = 2  # per level
    latent_channels: int = 16
    norm_groups: int = 32
    reference_size: int = 512  # side of the square reference picture in pixels

    def __post_init__(self) -> None:
        check_sizes(self)
        check_groups(self)
        if self.reference_size % self.factor:
            raise ValueError(
                f"reference_size must be a multiple of {self.factor} pixels, got {self.reference_size}."
            )

    @property
    def factor(self) -> int:
        """Pixels per latent cell side."""
        return int(2 ** (len(self.channel_multipliers) - 1))

    @property
    def grid(self) -> int:
        """Latent cells per side of the reference picture."""
        return self.reference_size // self.factor


@dataclass(frozen=True)
class EncoderConfigs:
    """The encoders of one preset."""

    text: TextEncoderConfig
    semantic: SemanticEncoderConfig
    content: ContentEncoderConfig


ENCODERS: dict[str, EncoderConfigs] = {
    "nano": EncoderConfigs(
        # The vocabulary is the tokenizer's; a bundle on disk says what it really is.
        TextEncoderConfig(
            vocabulary=1024, width=128, depth=2, heads=4, head_width=32, hidden=384, max_tokens=64
        ),
        SemanticEncoderConfig(image_size=112, patch=14, width=192, depth=4, heads=3, reference_size=112),
        ContentEncoderConfig(
            base_channels=24, res_blocks=1, latent_channels=32, norm_groups=8, reference_size=112
        ),
    ),
    "echogen-0.1b": EncoderConfigs(
        TextEncoderConfig(),
        SemanticEncoderConfig(image_size=224, reference_size=256),
        ContentEncoderConfig(reference_size=256),
    ),
    "echogen-2b": EncoderConfigs(TextEncoderConfig(), SemanticEncoderConfig(), ContentEncoderConfig()),
}


CANDIDATES: dict[str, EncoderConfigs] = {
    "nano-fine": EncoderConfigs(
        ENCODERS["nano"].text,
        SemanticEncoderConfig(image_size=112, patch=8, width=192, depth=4, heads=3, reference_size=112),
        ENCODERS["nano"].content,
    ),
    "nano-256": EncoderConfigs(
        ENCODERS["nano"].text,
        SemanticEncoderConfig(image_size=224, patch=14, width=192, depth=4, heads=3, reference_size=224),
        ContentEncoderConfig(
            base_channels=24, res_blocks=1, latent_channels=32, norm_groups=8, reference_size=224
        ),
    ),
}
"""Encoders of the presets in config.CANDIDATES."""


def find_encoders(name: str) -> EncoderConfigs:
    """A preset's encoders by its name, candidates included. Raises KeyError for any other."""
    return ENCODERS.get(name) or CANDIDATES[name]
