"""DINOv2 as EchoGen uses it: class and patch tokens of a square reference picture.

Shape suffixes: B pictures (V as views of one subject), P patches, C channels, H and W pixels.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..features import SemanticFeatures
from ..pictures import imagenet_normalized
from .reference import reference_picture
from .sizes import SemanticEncoderConfig


class SemanticTokens(NamedTuple):
    """Tokens after the final norm: class [B, C] and patches [B, P, C], row-major."""

    cls_BC: Tensor
    patches_BPC: Tensor


def resample_position_embedding(positions_1PC: Tensor, grid: int) -> Tensor:
    """Position table [1, 1 + n*n, C] (class token first) for another grid: [1, 1 + grid*grid, C].

    Bicubic with antialiasing in float32, the way timm's `resample_abs_pos_embed` does it, which is what
    the official features were made with; transformers' own resampling has no antialiasing.
    """
    shape = list(positions_1PC.shape)
    side = math.isqrt(max(0, shape[1] - 1)) if len(shape) == 3 else 0
    if not side or shape != [1, 1 + side * side, shape[2]] or not positions_1PC.is_floating_point():
        raise ValueError(
            "Expected a square grid of positions after the class token, got a table of shape "
            f"{shape} and type {positions_1PC.dtype}. Is this a DINOv2 file?"
        )
    cls_11C, patches_1PC = positions_1PC[:, :1], positions_1PC[:, 1:]
    if side == grid:
        return positions_1PC
    width = positions_1PC.shape[2]
    table_1CHW = patches_1PC.float().reshape(1, side, side, width).permute(0, 3, 1, 2)
    table_1CHW = F.interpolate(table_1CHW, size=(grid, grid), mode="bicubic", antialias=True)
    patches_1PC = table_1CHW.permute(0, 2, 3, 1).reshape(1, grid * grid, width).to(positions_1PC.dtype)
    return torch.cat((cls_11C, patches_1PC), dim=1)


class SemanticEncoder(nn.Module):
    """transformers' Dinov2Model at one fixed picture size, so that its position table is never resampled."""

    def __init__(
        self,
        config: SemanticEncoderConfig,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        # Takes seconds: with the first encoder, not with every start of ComfyUI.
        from transformers import Dinov2Config, Dinov2Model

        super().__init__()
        self.config = config
        dino_config = Dinov2Config(
            image_size=config.image_size,
            patch_size=config.patch,
            hidden_size=config.width,
            num_hidden_layers=config.depth,
            num_attention_heads=config.heads,
            mlp_ratio=config.mlp_ratio,
        )
        with torch.device(device or "cpu"):
            dino: nn.Module = Dinov2Model(dino_config)
        self.dino: Any = dino.eval()
        if dtype is not None:
            dino.to(dtype)

    def preprocess(self, images_B3HW: Tensor) -> Tensor:
        """ImageNet normalisation, then bicubic without antialiasing to the encoder's picture size.

        The order is the official one; bicubic overshoot is therefore never clamped to 0..1.
        """
        normal_B3HW = imagenet_normalized(images_B3HW)
        size = (self.config.image_size, self.config.image_size)
        if normal_B3HW.shape[-2:] == size:
            return normal_B3HW
        return F.interpolate(normal_B3HW, size=size, mode="bicubic", align_corners=False)

    def forward(self, images_B3HW: Tensor, device: torch.device | str | None = None) -> SemanticTokens:
        """Tokens of square pictures [B, 3, H, W] in 0..1: class [B, C], patches [B, P, C], differentiable.

        They are prepared where they are, and encoded on `device` (None: there as well).
        """
        pixels_B3HW = self.preprocess(images_B3HW)
        pixels_B3HW = pixels_B3HW.to(device or images_B3HW.device, self.dino.embeddings.cls_token.dtype)
        tokens_BLC = self.dino(pixel_values=pixels_B3HW).last_hidden_state
        return SemanticTokens(tokens_BLC[:, 0], tokens_BLC[:, 1:])

    @torch.no_grad()
    def encode(self, images_B3HW: Tensor, device: torch.device | str | None = None) -> SemanticFeatures:
        """Float32 features of pictures of one subject, any size; ValueError as `check_pictures`.

        device: where to compute (None: where the weights are, which must then all be there).
        """
        pictures_B3HW = reference_picture(images_B3HW, self.config.reference_size)
        tokens = self(pictures_B3HW, device or self.dino.embeddings.cls_token.device)
        return SemanticFeatures(tokens.cls_BC.float(), tokens.patches_BPC.float())
