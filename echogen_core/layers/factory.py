"""How every model makes its layers: from the caller's classes, at one type and device."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn

from ..dtypes import FP8, HALVES
from .fp8 import scaled_linear
from .half import half_convolution, half_linear

NORM_EPS = 1e-6


class LayerFactory(NamedTuple):
    """Makes the layers of one model.

    operations: namespace of layer classes: torch.nn, or ComfyUI's `comfy.ops`, whose layers its memory
    manager can stream and cast. dtype: of matrices, convolutions and group norms (None: torch's default);
    layer norms, embeddings and bare parameters are float32 always. device: where the parameters are made.
    norm_groups: of group norms.
    """

    operations: Any = nn
    dtype: torch.dtype | None = torch.float32
    device: torch.device | str | None = None
    norm_groups: int = 32

    def linear(self, inputs: int, outputs: int, bias: bool = True) -> nn.Linear:
        """[..., inputs] to [..., outputs]; with a scale where the type is FP8."""
        kind = self.operations.Linear
        if self.dtype == FP8:
            kind = scaled_linear(self.operations)
        elif self.dtype in HALVES:
            kind = half_linear(kind)
        return kind(inputs, outputs, bias=bias, dtype=self.dtype, device=self.device)

    def convolution(self, inputs: int, outputs: int, size: int = 3, **options: int) -> nn.Conv2d:
        """[B, inputs, H, W] to [B, outputs, H, W]; padded to keep the size unless `options` say otherwise."""
        options.setdefault("padding", size // 2)
        kind = self.operations.Conv2d
        if self.dtype in HALVES:
            kind = half_convolution(kind)
        return kind(inputs, outputs, size, **options, dtype=self.dtype, device=self.device)

    def group_norm(self, channels: int) -> nn.GroupNorm:
        """Norm of [B, channels, H, W] over groups of channels."""
        return self.operations.GroupNorm(
            self.norm_groups, channels, eps=NORM_EPS, dtype=self.dtype, device=self.device
        )

    def layer_norm(self, width: int) -> nn.LayerNorm:
        """Norm over the last axis, float32."""
        return self.operations.LayerNorm(width, eps=NORM_EPS, dtype=torch.float32, device=self.device)

    def embedding(self, rows: int, width: int) -> nn.Embedding:
        """Table [rows, width], float32."""
        return self.operations.Embedding(rows, width, dtype=torch.float32, device=self.device)

    def parameter(self, *shape: int) -> nn.Parameter:
        """Zeros, float32."""
        return nn.Parameter(torch.zeros(shape, dtype=torch.float32, device=self.device))

    def mlp(self, inputs: int, width: int) -> nn.Sequential:
        """Two layers with GELU between, [..., inputs] to [..., width]."""
        return nn.Sequential(self.linear(inputs, width), nn.GELU("tanh"), self.linear(width, width))
