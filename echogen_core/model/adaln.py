"""AdaLN: norms whose scale and shift come from a global vector (the pooled prompt and the class token).

The signals of all blocks come from one layer each for prompt and class token; each block adds its own table.
Shape suffixes: N pictures of all branches, L tokens, C width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..layers import LayerFactory, match
from ..layers.factory import NORM_EPS


class Modulation(NamedTuple):
    """The six AdaLN signals of a block, each [N, 1, C], in the order of the checkpoint.

    Residual weights (gamma), factors (one plus the scale) and shifts of self-attention (1) and of the
    feed-forward layer (2).
    """

    gamma1: Tensor
    gamma2: Tensor
    factor1: Tensor
    factor2: Tensor
    shift1: Tensor
    shift2: Tensor


def signal_layer(make: LayerFactory, width: int, signals: int) -> nn.Sequential:
    """From a global vector [N, C] to its AdaLN signals [N, signals * C]."""
    return nn.Sequential(nn.SiLU(), make.linear(width, signals * width))


def block_modulation(signals_N6C: Tensor, own_6C: Tensor) -> Modulation:
    """The model's shared signals plus the block's own, float32."""
    signals = signals_N6C + match(own_6C, signals_N6C)
    gamma1, gamma2, scale1, scale2, shift1, shift2 = signals[:, :, None].unbind(1)
    return Modulation(gamma1, gamma2, 1 + scale1, 1 + scale2, shift1, shift2)


def modulate(x_NLC: Tensor, factor_N1C: Tensor, shift_N1C: Tensor, dtype: torch.dtype) -> Tensor:
    """Layer norm without affine in float32, then factor and shift: [N, L, C] in `dtype`."""
    normed = F.layer_norm(x_NLC.float(), x_NLC.shape[-1:], eps=NORM_EPS)
    return normed.mul_(factor_N1C).add_(shift_N1C).to(dtype)
