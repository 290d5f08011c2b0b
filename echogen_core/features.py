"""What the encoders hand to the transformer: small records of tensors, immutable by contract.

Each has a `key` for caches, over every field: tensors by identity (and, where torch counts them, in-place
changes), everything else by value. A key holds its tensors: it stays valid when the features are gone.

Shape suffixes: L prompt tokens, P patches, V views of one subject, C channels, H and W latent grid.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from torch import Tensor


class TextFeatures(NamedTuple):
    """Text encoder output of one prompt: unpadded tokens [L, text_width], float32, closing token included."""

    tokens_LC: Tensor

    @property
    def key(self) -> Hashable:
        """For caches: over all fields."""
        return _key(self)


class SemanticFeatures(NamedTuple):
    """DINOv2 features of V views of one subject.

    cls_VC: [V, semantic_width]; patches_VPC: [V, P, semantic_width], after the final norm, row-major.
    strength: 0 (as if absent) to 1 (as trained); above 1 exaggerates.
    """

    cls_VC: Tensor
    patches_VPC: Tensor
    strength: float = 1.0

    @property
    def key(self) -> Hashable:
        """For caches: over all fields."""
        return _key(self)


class ContentFeatures(NamedTuple):
    """FLUX VAE latents of V views of one subject: [V, content_width, H, W], unscaled posterior mode.

    strength: 0 (as if absent) to 1 (as trained); above 1 exaggerates.
    """

    latents_VCHW: Tensor
    strength: float = 1.0

    @property
    def key(self) -> Hashable:
        """For caches: over all fields."""
        return _key(self)


class Subject(NamedTuple):
    """A reference picture's features; None where a path is off."""

    semantic: SemanticFeatures | None = None
    content: ContentFeatures | None = None

    @property
    def key(self) -> Hashable:
        """For caches: over all fields."""
        return _key(self)


class _Identity:
    """A tensor and its version, compared by identity; holds the tensor, so that no other takes its place."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        # tensors made in inference mode, as in ComfyUI, do not count their changes
        self.version = None if tensor.is_inference() else tensor._version

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.tensor is other.tensor and self.version == other.version

    def __hash__(self) -> int:
        return hash((id(self.tensor), self.version))


def _key(fields: tuple[object, ...]) -> Hashable:
    return type(fields), *map(_field_key, fields)


def _field_key(value: object) -> Hashable:
    if isinstance(value, Tensor):
        return _Identity(value)
    return _key(value) if isinstance(value, tuple) else value
