"""3x3 convolutions by Winograd's minimal filtering, for the decoder on a processor.

4x4 outputs of one channel take 36 products instead of 144, and 25 where the input is doubled first. The sums
are taken in another order, so the last digits differ: by about 1e-5 of the picture's range in float32.
Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, arXiv:1509.09308, F(4x4, 3x3).

Shape suffixes: B pictures, C and K channels before and after, H W size, h w size of a strip of the input,
P points of a transform, Q their pairs, v cells of a tile's input a side, D A tiles down and across, T tiles,
N anything.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

_TILE = 4  # outputs a side


class _Transform(NamedTuple):
    """Of one row or column of a tile, whose input starts `step` cells after that of the tile before."""

    input_Pv: Tensor
    kernel_P3: Tensor
    output_4P: Tensor
    step: int


# At the points 0, 1, -1, 2, -2 and infinity.
_PLAIN = _Transform(
    torch.tensor(
        [
            [4.0, 0, -5, 0, 1, 0],
            [0, -4, -4, 1, 1, 0],
            [0, 4, -4, -1, 1, 0],
            [0, -2, -1, 2, 1, 0],
            [0, 2, -1, -2, 1, 0],
            [0, 4, 0, -5, 0, 1],
        ]
    ),
    torch.tensor([[6.0, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24,
    torch.tensor([[1.0, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]),
    step=4,
)


def _doubled() -> _Transform:
    """The same for a row that is doubled first: four of its cells make the six of a tile.

    At the point -1 equal neighbours cancel out, and the product is always 0.
    """
    left = [0, 1, 3, 4, 5]
    doubling_6v = torch.eye(4)[[0, 1, 1, 2, 2, 3]]
    return _Transform(
        _PLAIN.input_Pv[left] @ doubling_6v, _PLAIN.kernel_P3[left], _PLAIN.output_4P[:, left], step=2
    )


_DOUBLED = _doubled()


def convolve(x_BCHW: Tensor, weight_KC33: Tensor, bias_K: Tensor, doubled: bool = False) -> Tensor:
    """A 3x3 convolution padded by 1, in float32; doubled: of the input at twice its size (nearest).

    Returns:
        [B, K, H, W], or [B, K, 2H, 2W] if doubled; channels last.
    """
    transform = _DOUBLED if doubled else _PLAIN
    squared_Q9 = torch.kron(transform.kernel_P3, transform.kernel_P3)
    kernels_QKC = (squared_Q9 @ weight_KC33.reshape(-1, 9).T).unflatten(1, weight_KC33.shape[:2])
    pictures_BHWC = x_BCHW.permute(0, 2, 3, 1)
    convolved = [_convolve_one(x_HWC, kernels_QKC.mT, bias_K, transform) for x_HWC in pictures_BHWC]
    y_BHWK = torch.stack(convolved) if len(convolved) > 1 else convolved[0][None]
    return y_BHWK.permute(0, 3, 1, 2)


def _convolve_one(x_HWC: Tensor, kernels_QCK: Tensor, bias_K: Tensor, transform: _Transform) -> Tensor:
    """[H, W, K] (or doubled) of one picture, in strips that stay in the processor's cache."""
    step, window = transform.step, transform.input_Pv.shape[1]
    height, width, channels = x_HWC.shape
    down, across = -(-height // step), -(-width // step)
    y_HWK = x_HWC.new_empty(down * _TILE, across * _TILE, kernels_QCK.shape[-1])
    y_DyAxK = y_HWK.view(down, _TILE, across, _TILE, -1)
    rows = max(1, max(128, channels // 2) // across)
    for top in range(0, down, rows):
        bottom = min(top + rows, down)
        first, last = top * step - 1, (bottom - 1) * step - 1 + window
        inside_hwC = x_HWC[max(0, first) : last]
        above, below = max(0, -first), max(0, last - height)
        right = (across - 1) * step + window - 1 - width
        strip_hwC = F.pad(inside_hwC, (0, 0, 1, right, above, below))
        tiles = _tiles(strip_hwC, kernels_QCK, transform)
        torch.add(tiles, bias_K, out=y_DyAxK[top:bottom])
    return y_HWK[: height * _TILE // step, : width * _TILE // step]


def _tiles(strip_hwC: Tensor, kernels_QCK: Tensor, transform: _Transform) -> Tensor:
    """[D, 4, A, 4, K]: the tiles of a padded strip, without the bias."""
    input_Pv, _, output_4P, step = transform
    points, window = input_Pv.shape
    rows_DvN = strip_hwC.flatten(1).unfold(0, window, step).mT
    rows_DPwC = (input_Pv @ rows_DvN).unflatten(-1, strip_hwC.shape[1:])
    windows = rows_DPwC.unfold(2, window, step)  # [D, P, A, C, v]
    down, _, across, channels, _ = windows.shape
    windows_PvN = windows.permute(1, 4, 0, 2, 3).reshape(points, window, -1)
    inputs_QTC = (input_Pv @ windows_PvN).view(points**2, -1, channels)
    products_QTK = torch.bmm(inputs_QTC, kernels_QCK)
    columns_4PN = (output_4P @ products_QTK.view(points, -1)).view(_TILE, points, -1)
    tiles_44N = output_4P @ columns_4PN
    return tiles_44N.view(_TILE, _TILE, down, across, -1).permute(2, 0, 3, 1, 4)
