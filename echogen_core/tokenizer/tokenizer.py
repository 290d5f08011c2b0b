"""The BSQ tokenizer: picture to bits and bits to picture.

Shapes: B batch, D bits per token; H W in pixels for pictures, in tokens for latents and codes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..config import TokenizerConfig
from .autoencoder import Decoder, Encoder
from .bsq import Scale, quantize_multiscale


class EncodedBits(NamedTuple):
    """A picture as bits, with the latents before and after quantisation."""

    bits: list[Tensor]  # per scale uint8 [B, h, w, D], coarse to fine
    latent_BDHW: Tensor  # encoder output, fp32
    quantized_BDHW: Tensor  # sum of the codes, fp32: what decode() takes


class BitTokenizer(nn.Module):
    """Encoder, multi-scale binary spherical quantiser (without parameters) and decoder.

    Args:
        operations: namespace with Conv2d and GroupNorm; `torch.nn`, or a caller's casting variant of them.
        dtype, device: of the stored weights.

    Attributes:
        compute_dtype: type that pictures and codes are cast to; None means the weights' own. Set it when
            `operations` casts weights to their input.
    """

    def __init__(
        self,
        config: TokenizerConfig,
        operations: Any = nn,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.compute_dtype: torch.dtype | None = None
        self.encoder = Encoder(config, operations, dtype, device)
        self.decoder = Decoder(config, operations, dtype, device)

    def latent(self, images_B3HW: Tensor) -> Tensor:
        """Encoder output before quantisation, fp32 [B, D, H/patch, W/patch]; gradients flow.

        Raises:
            ValueError: not [B, 3, H, W], or a side is not a multiple of the patch.
        """
        shape = list(images_B3HW.shape)
        patch = self.config.patch
        if len(shape) != 4 or shape[1] != 3 or shape[2] % patch or shape[3] % patch or 0 in shape:
            raise ValueError(
                f"expected pictures [B, 3, H, W] with H and W multiples of {patch}, got {shape}; resize it."
            )
        x_B3HW = images_B3HW + images_B3HW - 1
        return self.encoder(self._prepare(x_B3HW)).float()

    @torch.no_grad()
    def encode(self, images_B3HW: Tensor, scales: Sequence[Scale]) -> EncodedBits:
        """Bits of pictures.

        Args:
            images_B3HW: RGB 0..1.
            scales: (h, w) of every scale, coarse to fine; the last one is the picture's size / patch.
        Raises:
            ValueError: wrong shape, or the last scale does not fit the picture.
        """
        latent_BDHW = self.latent(images_B3HW)
        quantized = quantize_multiscale(latent_BDHW, scales)
        return EncodedBits(quantized.bits, latent_BDHW, quantized.codes_BDHW)

    def reconstruct(self, codes_BDHW: Tensor) -> Tensor:
        """Decoder output in the pictures' range 0..1 but not clamped, fp32 [B, 3, H, W]; gradients flow.

        Raises:
            ValueError: not [B, D, H, W] with this tokenizer's D.
        """
        if codes_BDHW.ndim != 4 or codes_BDHW.shape[1] != self.config.bits:
            raise ValueError(
                f"expected codes [B, {self.config.bits}, H, W], got {list(codes_BDHW.shape)}; "
                "decode bits with the tokenizer that their model was trained on."
            )
        return (self.decoder(self._prepare(codes_BDHW)).float() + 1) / 2

    @torch.no_grad()
    def decode(self, codes_BDHW: Tensor) -> Tensor:
        """Pictures RGB 0..1 (clamped), fp32 [B, 3, H, W], of summed codes; partial sums give previews."""
        return self.reconstruct(codes_BDHW).clamp(0, 1)

    def latent_each(self, images_B3HW: Tensor) -> Iterator[Tensor]:
        """`latent` picture by picture, [1, D, H, W] each: the same whatever else is in the batch."""
        return (self.latent(image_13HW) for image_13HW in images_B3HW.split(1))

    def decode_each(self, codes_BDHW: Tensor) -> Iterator[Tensor]:
        """`decode` picture by picture, [1, 3, H, W] each: the same pixels whatever else is in the batch."""
        # Convolutions of several pictures together round differently.
        return (self.decode(code_1DHW) for code_1DHW in codes_BDHW.split(1))

    def _prepare(self, x_BCHW: Tensor) -> Tensor:
        """Casts to the compute type, channels last: convolutions are faster so, and no value changes."""
        dtype = self.compute_dtype or next(self.parameters()).dtype
        return x_BCHW.to(dtype=dtype, memory_format=torch.channels_last)
