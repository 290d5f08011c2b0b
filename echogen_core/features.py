"""What the encoders hand to the transformer: small immutable records of tensors.

Shape suffixes: L prompt tokens, P patches, V views of one subject, C channels, H and W latent grid.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class TextFeatures(NamedTuple):
    """Text encoder output of one prompt: unpadded tokens [L, text_width], float32, closing token included."""

    tokens_LC: Tensor


class SemanticFeatures(NamedTuple):
    """DINOv2 features of V views of one subject.

    cls_VC: [V, semantic_width]; patches_VPC: [V, P, semantic_width], after the final norm, row-major.
    strength: 0 (as if absent) to 1 (as trained); above 1 exaggerates.
    """

    cls_VC: Tensor
    patches_VPC: Tensor
    strength: float = 1.0


class ContentFeatures(NamedTuple):
    """FLUX VAE latents of V views of one subject: [V, content_width, H, W], unscaled posterior mode.

    strength: 0 (as if absent) to 1 (as trained); above 1 exaggerates.
    """

    latents_VCHW: Tensor
    strength: float = 1.0


class Subject(NamedTuple):
    """A reference picture's features; None where a path is off."""

    semantic: SemanticFeatures | None = None
    content: ContentFeatures | None = None
