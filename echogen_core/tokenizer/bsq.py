"""Multi-scale residual binary spherical quantisation (BSQ): latents to bits and back.

A latent is quantised from coarse to fine: each scale takes the residual of those before it, shrunk to its own
size, and keeps only the sign of every channel. The code of a bit is +-1/sqrt(D): a token's code lies on
the unit sphere. Source: Infinity, arXiv:2412.04431, section 3.2; BSQ, arXiv:2406.07548.

Shapes: B batch, D bits per token, H W latent size (that of the last scale), h w size of one scale, L tokens
(of all scales together, or of one).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Scale = tuple[int, int]
NumpyRng = np.random.Generator | np.random.RandomState


class Quantized(NamedTuple):
    """A latent and its bits, coarse to fine."""

    bits: list[Tensor]  # per scale uint8 [B, h, w, D]
    codes_BDHW: Tensor  # sum of the codes of all scales, fp32


class TeacherForcing(NamedTuple):
    """What the transformer learns from: labels, and the (possibly disturbed) inputs of the later scales."""

    labels_BLD: Tensor  # uint8, all scales
    inputs_BLD: Tensor  # fp32, scales 1 .. K-1
    margins_BLD: Tensor  # fp32 >= 0: how far each label's value is from 0, on the unit sphere


def bits_to_codes(bits_BhwD: Tensor) -> Tensor:
    """Codes of bits 0/1: -1/sqrt(D) and +1/sqrt(D).

    Args:
        bits_BhwD: [B, h, w, D], any integer, boolean or float type.
    Returns:
        fp32 [B, D, h, w].
    """
    signs_BDhw = bits_BhwD.movedim(-1, 1).to(torch.float32) * 2 - 1
    return signs_BDhw / math.sqrt(bits_BhwD.shape[-1])


def codes_to_bits(codes_BDhw: Tensor) -> Tensor:
    """Bits of codes: a value above 0 is bit 1, everything else (0 as well) is bit 0.

    Returns:
        uint8 [B, h, w, D].
    """
    return (codes_BDhw > 0).movedim(1, -1).to(torch.uint8)


def enlarge(codes_BDhw: Tensor, size: Scale) -> Tensor:
    """Linear interpolation to `size` (corners not aligned).

    Trilinear with a depth of one, not bilinear: the last binary digit differs, and residual bits hang on it.
    """
    if codes_BDhw.shape[-2:] == size:
        return codes_BDhw
    return _resample(codes_BDhw.unsqueeze(2), (1, *size), "trilinear").squeeze(2)


def add_scale(summed_BDHW: Tensor | None, bits_BhwD: Tensor, size: Scale) -> Tensor:
    """Adds one scale's codes, enlarged to the last scale's `size`, to the sum so far (None: nothing yet)."""
    codes_BDHW = enlarge(bits_to_codes(bits_BhwD), size)
    return codes_BDHW if summed_BDHW is None else summed_BDHW + codes_BDHW


def sum_codes(bits: Sequence[Tensor], scales: Sequence[Scale]) -> Tensor:
    """The decoder's input: codes of all scales, enlarged to the last scale and summed.

    Args:
        bits: per scale [B, h, w, D]; fewer than `scales` gives the picture as far as it is known.
        scales: (h, w) of every scale of the schedule.
    Returns:
        fp32 [B, D, H, W].
    Raises:
        ValueError: the bits do not fit the scales.
    """
    if not bits or len(bits) > len(scales):
        raise ValueError(f"expected bits of 1 to {len(scales)} scales, got {len(bits)}; check the schedule.")
    summed_BDHW: Tensor | None = None
    for index, (bits_BhwD, scale) in enumerate(zip(bits, scales, strict=False)):
        if bits_BhwD.ndim != 4 or bits_BhwD.shape[1:3] != tuple(scale):
            raise ValueError(
                f"bits of scale {index} must be [B, {scale[0]}, {scale[1]}, D], got {list(bits_BhwD.shape)}; "
                "pass their own schedule."
            )
        summed_BDHW = add_scale(summed_BDHW, bits_BhwD, scales[-1])
    assert summed_BDHW is not None
    return summed_BDHW


def next_scale_input(summed_BDHW: Tensor, size: Scale) -> Tensor:
    """The transformer's input for the next scale: the sum so far, resized to it, as row-major tokens.

    Returns:
        [B, h*w, D].
    """
    return enlarge(summed_BDHW, size).flatten(2).transpose(1, 2)


def quantize_once(residual_BDhw: Tensor) -> tuple[Tensor, Tensor]:
    """Projects onto the unit sphere and keeps the signs; gradients pass straight through the signs.

    Returns:
        codes fp32 [B, D, h, w] (within one rounding error of +-1/sqrt(D)) and bits uint8 [B, h, w, D].
    """
    unit_BhwD = F.normalize(residual_BDhw.movedim(1, -1).contiguous(), dim=-1)
    above_BhwD = unit_BhwD > 0
    codes_BhwD = (above_BhwD.to(unit_BhwD.dtype) * 2 - 1) / math.sqrt(unit_BhwD.shape[-1])
    straight_BhwD = unit_BhwD + (codes_BhwD - unit_BhwD).detach()
    return straight_BhwD.movedim(-1, 1), above_BhwD.to(torch.uint8)


def shrink(residual_BDHW: Tensor, size: Scale) -> Tensor:
    """Area average to `size`."""
    if residual_BDHW.shape[-2:] == size:
        return residual_BDHW
    return _resample(residual_BDHW, size, "area")


def _resample(x: Tensor, size: tuple[int, ...], mode: str) -> Tensor:
    """F.interpolate; for Apple's devices on the processor.

    They lack it for volumes before PyTorch 2.9, and for areas that do not divide evenly.
    """
    if x.device.type != "mps":
        return F.interpolate(x, size=size, mode=mode)
    return F.interpolate(x.cpu(), size=size, mode=mode).to(x.device)


def quantize_multiscale(latent_BDHW: Tensor, scales: Sequence[Scale]) -> Quantized:
    """Quantises a latent coarse to fine, in fp32; gradients pass straight through the signs of every scale.

    Raises:
        ValueError: the last scale is not the latent's size.
    """
    sizes = _check_scales(latent_BDHW, scales)
    bits: list[Tensor] = []
    with torch.autocast(latent_BDHW.device.type, enabled=False):
        residual_BDHW = latent_BDHW.float()
        summed_BDHW = torch.zeros_like(residual_BDHW)
        for size in sizes:
            codes_BDhw, bits_BhwD = quantize_once(shrink(residual_BDHW, size))
            codes_BDHW = enlarge(codes_BDhw, sizes[-1])
            residual_BDHW = residual_BDHW - codes_BDHW.detach()
            summed_BDHW = summed_BDHW + codes_BDHW
            bits.append(bits_BhwD)
    return Quantized(bits, summed_BDHW)


@torch.no_grad()
def quantize_with_bit_flips(
    latent_BDHW: Tensor,
    scales: Sequence[Scale],
    *,
    strength: float = 0.3,
    flip_scales: int = 13,
    numpy_rng: NumpyRng | None = None,
    generator: torch.Generator | None = None,
) -> TeacherForcing:
    """Bitwise self-correction (Infinity, section 3.4): inputs carry random bit errors, labels correct them.

    For each of the first `flip_scales` scales: draw a flip probability of 0 .. strength in steps of 0.01 from
    `numpy_rng`, then one uniform number per bit from `generator`. The labels of a scale are the true bits of
    the residual after the *disturbed* codes before it; they are never flipped themselves.

    Args:
        latent_BDHW: encoder output.
        strength: largest flip probability; 0 (or `flip_scales=0`) gives the clean sequence and draws nothing.
        numpy_rng, generator: both needed when bits are flipped; the caller owns and seeds them.
    Raises:
        ValueError: the last scale is not the latent's size, or a random generator is missing.
    """
    sizes = _check_scales(latent_BDHW, scales)
    margins: list[Tensor] = []
    flips = min(flip_scales, len(sizes)) if strength > 0 else 0
    labels: list[Tensor] = []
    inputs: list[Tensor] = []
    with torch.autocast(latent_BDHW.device.type, enabled=False):
        latent_BDHW = latent_BDHW.float()
        summed_BDHW = torch.zeros_like(latent_BDHW)
        for index, size in enumerate(sizes):
            left_BDhw = shrink(latent_BDHW - summed_BDHW, size)
            margins.append(F.normalize(left_BDhw, dim=1).abs().flatten(2).transpose(1, 2))
            codes_BDhw, bits_BhwD = quantize_once(left_BDhw)
            labels.append(bits_BhwD.flatten(1, 2))
            if index < flips:
                codes_BDhw = bits_to_codes(_flip(bits_BhwD, strength, numpy_rng, generator))
            summed_BDHW = summed_BDHW + enlarge(codes_BDhw, sizes[-1])
            if index + 1 < len(sizes):
                inputs.append(next_scale_input(summed_BDHW, sizes[index + 1]))
    if not inputs:
        inputs.append(latent_BDHW.new_zeros(latent_BDHW.shape[0], 0, latent_BDHW.shape[1]))
    return TeacherForcing(torch.cat(labels, 1), torch.cat(inputs, 1), torch.cat(margins, 1))


def _flip(
    bits_BhwD: Tensor, strength: float, rng: NumpyRng | None, generator: torch.Generator | None
) -> Tensor:
    """Flips each bit with one random probability; the order of the draws is the official one."""
    if rng is None or generator is None:
        raise ValueError("bit flips need numpy_rng and generator; pass both, or strength=0 for none.")
    steps = round(100 * strength) + 1
    step = rng.integers(0, steps) if isinstance(rng, np.random.Generator) else rng.randint(0, steps)
    uniform_BhwD = torch.rand(bits_BhwD.shape, generator=generator, device=generator.device)
    return bits_BhwD ^ (uniform_BhwD < int(step) * 0.01).to(bits_BhwD.device, torch.uint8)


def _check_scales(latent_BDHW: Tensor, scales: Sequence[Scale]) -> list[Scale]:
    """The scales as tuples; the residual can only be taken at the last one's size."""
    sizes = [(int(h), int(w)) for h, w in scales]
    if latent_BDHW.ndim != 4 or not sizes or latent_BDHW.shape[-2:] != sizes[-1]:
        raise ValueError(
            f"the latent must be [B, D, H, W] with H, W of the last scale {sizes[-1:]}, got "
            f"{list(latent_BDHW.shape)}; use the schedule of the picture's size."
        )
    return sizes
