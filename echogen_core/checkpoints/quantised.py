"""FP8 weights in files: matrices in float8_e4m3fn, each with one float32 factor beside it.

The factor of `X.weight` is the scalar `X.weight_scale`, and weight * weight_scale is the matrix. Norms,
embeddings, biases, AdaLN and the head stay as they are. The transformer computes with such matrices
(layers.linear); for the other parts they save space on the disk only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ..dtypes import FP8, FP8_MAX, saturating_cast

SCALE = "_scale"

MATRICES: dict[str, re.Pattern[str]] = {
    "text": re.compile(r"encoder\.block\..+\.(SelfAttention\.[qkvo]|DenseReluDense\.w\w+)\.weight"),
    "semantic": re.compile(r"encoder\.layer\..+\.(query|key|value|dense|fc\d)\.weight"),
}
"""Kind -> names, in our files, of the matrices that may be FP8. The transformer's layers tell its own."""


class Scaled(NamedTuple):
    """An FP8 matrix and the scalar that it is multiplied with."""

    weight: Tensor
    scale: Tensor


def quantise(weight: Tensor) -> Scaled:
    """The nearest FP8 matrix, the largest magnitude at FP8's largest. A matrix of zeros has the scale 1."""
    full = weight.float()
    largest = full.abs().amax()
    scale = torch.where(largest > 0, largest / FP8_MAX, torch.ones_like(largest))
    return Scaled(saturating_cast(full / scale, FP8), scale)


def dequantise(scaled: Scaled, dtype: torch.dtype) -> Tensor:
    """The matrix in a type to compute in."""
    return (scaled.weight.float() * scaled.scale.float()).to(dtype)


def match_scales(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` with its matrices in FP8 exactly where `wanted` (names -> what is to hold them) has a scale.

    What is of another shape than wanted, or no number of floating point, stays as it is: whoever fills a
    module with it names it.
    """
    matched: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name.endswith(SCALE) and state.get(name.removesuffix(SCALE)) is not None:
            continue
        scale = state.get(name + SCALE)
        if not _fits(tensor, scale, wanted.get(name)):
            matched |= {name: tensor} if scale is None else {name: tensor, name + SCALE: scale}
        elif name + SCALE in wanted:
            scaled = quantise(tensor) if scale is None else Scaled(tensor, scale)
            matched |= {name: scaled.weight, name + SCALE: scaled.scale}
        elif scale is not None:
            dtype = wanted[name].dtype if name in wanted else torch.float32
            matched[name] = dequantise(Scaled(tensor, scale), dtype)
        else:
            matched[name] = tensor
    return matched


def _fits(tensor: Tensor, scale: Tensor | None, wanted: Tensor | None) -> bool:
    """Whether a tensor can be what is wanted, with a scalar for its scale."""
    if wanted is not None and tensor.shape != wanted.shape:
        return False
    return tensor.is_floating_point() and (scale is None or (scale.ndim == 0 and scale.is_floating_point()))
