"""Masks made fit for cutting: holes filled, specks removed, edges softened.

Shape suffixes: H height, W width. Masks are bool, or float 0..1 where softened.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

HOLE_SHARE = 0.02
"""Of the subject's area: a larger hole is taken for a real one (a handle, the inside of a ring)."""
SPECK_SHARE = 0.02
"""Of the largest piece's area: a smaller piece is no part of the subject."""
LARGEST_SOFTNESS = 64.0
"""Pixels."""

Labels = npt.NDArray[np.intp]


def pieces(mask_HW: Tensor) -> tuple[Labels, npt.NDArray[np.intp]]:
    """The 4-connected pieces of a bool mask: labels [H, W] (0 outside, 1 the first), and areas by label.

    areas[0] is 0, so that the largest piece is `areas.argmax()`, or 0 when there is none.
    """
    marked_HW = mask_HW.cpu().numpy()
    height, width = marked_HW.shape
    # Runs along rows are the nodes; runs that touch in neighbouring rows are joined (union-find).
    starts_HW = _run_starts(marked_HW)
    runs_HW = np.where(marked_HW, np.cumsum(starts_HW).reshape(height, width), 0)
    touch_hW = _run_starts(marked_HW[1:] & marked_HW[:-1])
    pairs = np.stack([runs_HW[:-1][touch_hW], runs_HW[1:][touch_hW]])
    roots = _join(int(starts_HW.sum()) + 1, pairs)
    _, labels = np.unique(roots, return_inverse=True)
    labels_HW: Labels = labels[runs_HW]
    areas = np.bincount(labels_HW.ravel(), minlength=1)
    areas[0] = 0
    return labels_HW, areas


def _run_starts(marked_HW: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The first pixel of each unbroken run in a row."""
    return marked_HW & ~np.pad(marked_HW, ((0, 0), (1, 0)))[:, :-1]


def _join(count: int, pairs: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """The smallest member of each node's group, when the pairs are joined."""
    roots = np.arange(count)
    while True:
        first, second = roots[pairs[0]], roots[pairs[1]]
        low, high = np.minimum(first, second), np.maximum(first, second)
        if bool((low == high).all()):
            return roots
        np.minimum.at(roots, high, low)
        while not np.array_equal(roots, roots[roots]):
            roots = roots[roots]


def fill_holes(mask_HW: Tensor, share: float = HOLE_SHARE) -> Tensor:
    """The mask with enclosed holes filled that are smaller than `share` of its area."""
    labels_HW, areas = pieces(~mask_HW)
    edge = np.concatenate([labels_HW[0], labels_HW[-1], labels_HW[:, 0], labels_HW[:, -1]])
    small = areas < share * int(mask_HW.sum())
    small[edge] = False  # open to the outside
    small[0] = False
    return mask_HW | torch.from_numpy(small[labels_HW]).to(mask_HW.device)


def remove_specks(mask_HW: Tensor, share: float = SPECK_SHARE) -> Tensor:
    """The mask without pieces smaller than `share` of the largest one."""
    labels_HW, areas = pieces(mask_HW)
    kept = areas >= max(share * int(areas.max()), 1)
    return torch.from_numpy(kept[labels_HW]).to(mask_HW.device)


def soften(mask_HW: Tensor, pixels: float) -> Tensor:
    """Float mask 0..1 whose edge is blurred by about `pixels` to each side (Gaussian). 0 leaves it as it is.

    Raises ValueError for a softness out of range.
    """
    if not (math.isfinite(pixels) and 0 <= pixels <= LARGEST_SOFTNESS):
        raise ValueError(f"The softness must be 0 to {LARGEST_SOFTNESS:g} pixels, got {pixels}.")
    mask_HW = mask_HW.float()
    if pixels == 0:
        return mask_HW
    reach = math.ceil(1.5 * pixels)
    steps_K = torch.arange(-reach, reach + 1, device=mask_HW.device)
    kernel_K = torch.exp(-0.5 * (steps_K / (pixels / 2)) ** 2)
    kernel_K = kernel_K / kernel_K.sum()
    # Replicated: a subject that leaves the picture stays solid at its edge.
    padded_11HW = F.pad(mask_HW[None, None], (reach,) * 4, mode="replicate")
    rows_11HW = F.conv2d(padded_11HW, kernel_K.view(1, 1, 1, -1))
    return F.conv2d(rows_11HW, kernel_K.view(1, 1, -1, 1))[0, 0].clamp(0, 1)
