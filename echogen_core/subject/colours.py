"""Coarse masks made to follow the picture: by the colours of subject and ground, and by the picture's edges.

Shape suffixes: C channels, H height, W width, N pixels, K bins of each colour channel. Values 0..1.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_BINS = 20
_BLUR = (0.05, 0.24, 0.42, 0.24, 0.05)  # over neighbouring bins: a few thousand pixels fill few of 8000 bins
_RARE = 5e-6  # share of a colour that counts as never seen
_ROUNDS = 3
_CERTAINTY = 4.0  # the most that the first guess and the colours weigh each, as logits
_EDGES = 3.0  # weight of the neighbours on this side of the nearest edge
_REACH, _CONTRAST = 2, 1e-4  # of the guided filter: pixels, and the variance that counts as an edge
_DOUBTFUL = 0.3  # weight of ground inside a box against that outside, which is certain


def follow_colours(edges: GuidedFilter, guess_HW: Tensor, ground_HW: Tensor) -> Tensor:
    """[H, W]: how surely each pixel of the filter's picture is the subject's, from a first guess.

    Colours of subject and ground are counted by the guess; each pixel is judged by them, by its own guess and
    by its neighbours on this side of an edge; then again, by the better guess.
    ground_HW: bool, what is surely ground (outside a box; nothing without one).
    """
    own_HW = torch.logit(guess_HW.clamp(0.01, 0.99)).clamp(-_CERTAINTY, _CERTAINTY)
    certain_HW = ground_HW.float()
    subject_HW = own_HW.sigmoid() * (1 - certain_HW)
    for _ in range(_ROUNDS):
        unsure_HW = (1 - subject_HW) ** 1.5 * (1 - certain_HW) * _DOUBTFUL
        ratio_HW = _log_share(edges.image_13HW[0], subject_HW**1.5)
        ratio_HW = ratio_HW - _log_share(edges.image_13HW[0], unsure_HW + certain_HW)
        logit_HW = own_HW + ratio_HW.clamp(-_CERTAINTY, _CERTAINTY)
        around_HW = edges(logit_HW.sigmoid() * (1 - certain_HW))
        subject_HW = (logit_HW + _EDGES * (2 * around_HW - 1)).sigmoid() * (1 - certain_HW)
    return subject_HW


class GuidedFilter:
    """He et al. 2010, "Guided image filtering": local linear models of a mask in a picture's colours."""

    def __init__(self, image_3HW: Tensor, reach: int = _REACH, contrast: float = _CONTRAST) -> None:
        """reach: half the window's side in pixels. contrast: variance below which colours count as even."""
        self.reach = reach
        self.image_13HW = image_3HW[None]
        self.mean_13HW = self._mean(self.image_13HW)
        products = (self.image_13HW[:, :, None] * self.image_13HW[:, None]).flatten(1, 2)
        variance_133HW = self._mean(products).unflatten(1, (3, 3))
        variance_133HW = variance_133HW - self.mean_13HW[:, :, None] * self.mean_13HW[:, None]
        first, second, third = (variance_133HW[0] + contrast * torch.eye(3)[:, :, None, None]).unbind()
        # In closed form, by cross products: torch.linalg.inv is slow on many small matrices.
        rows = [
            torch.linalg.cross(*pair, dim=0) for pair in ((second, third), (third, first), (first, second))
        ]
        self.inverse_33HW = torch.stack(rows) / (first * rows[0]).sum(0)

    def __call__(self, mask_HW: Tensor) -> Tensor:
        """The mask in 0..1, smooth where the colours are and sharp at their edges."""
        return self._apply(self._models(mask_HW), self.image_13HW)

    def enlarge(self, mask_hw: Tensor, image_3HW: Tensor) -> Tensor:
        """[H, W]: the mask of this reduced picture at the size of the large one, with the edges of that."""
        return self._apply(self._models(mask_hw), image_3HW[None])

    def _models(self, mask_HW: Tensor) -> Tensor:
        """[1, 4, H, W]: weights of the three colours and an offset, for each pixel."""
        mask_11HW = mask_HW[None, None]
        mean_11HW = self._mean(mask_11HW)
        joint_13HW = self._mean(self.image_13HW * mask_11HW) - self.mean_13HW * mean_11HW
        weights_13HW = (self.inverse_33HW * joint_13HW[0]).sum(1)[None]
        offset_11HW = mean_11HW - (weights_13HW * self.mean_13HW).sum(1, keepdim=True)
        return self._mean(torch.cat((weights_13HW, offset_11HW), dim=1))

    @staticmethod
    def _apply(models_14HW: Tensor, image_13HW: Tensor) -> Tensor:
        """[H, W]: the models, enlarged to the size of that picture, in its colours."""
        size = image_13HW.shape[-2:]
        if models_14HW.shape[-2:] != size:
            models_14HW = F.interpolate(models_14HW, size, mode="bilinear")
        return ((models_14HW[:, :3] * image_13HW).sum(1) + models_14HW[:, 3])[0].clamp(0, 1)

    def _mean(self, x_1CHW: Tensor) -> Tensor:
        """Over the window; beyond the border its pixels go on. Sums of shifts: far faster than pooling."""
        window = 2 * self.reach + 1
        sums_1CHW = F.pad(x_1CHW, (self.reach,) * 4, mode="replicate")
        for axis in (2, 3):
            parts = [sums_1CHW.narrow(axis, shift, x_1CHW.shape[axis]) for shift in range(window)]
            sums_1CHW = sum(parts[1:], parts[0])
        return sums_1CHW / window**2


def _log_share(image_3HW: Tensor, weight_HW: Tensor) -> Tensor:
    """[H, W]: logarithm of each pixel's colour's share in the weighted pixels."""
    bins_3N = (image_3HW.flatten(1) * (_BINS - 1)).round().long().clamp(0, _BINS - 1)
    index_N = (bins_3N[0] * _BINS + bins_3N[1]) * _BINS + bins_3N[2]
    counts = torch.zeros(_BINS**3).index_add_(0, index_N, weight_HW.flatten())
    shares_11KKK = counts.view(1, 1, _BINS, _BINS, _BINS)
    kernel = torch.tensor(_BLUR)
    for axis in range(3):
        shape, padding = [1] * 5, [0] * 3
        shape[2 + axis], padding[axis] = len(_BLUR), len(_BLUR) // 2
        shares_11KKK = F.conv3d(shares_11KKK, kernel.view(shape), padding=padding)
    shares_11KKK = shares_11KKK / shares_11KKK.sum().clamp_min(1e-9)
    # between the bins, so that a slope of colour shows no steps; the last axis of the grid comes first
    where_111HW3 = (image_3HW * 2 - 1).flip(0).permute(1, 2, 0)[None, None]
    share_HW = F.grid_sample(shares_11KKK, where_111HW3, align_corners=True)[0, 0, 0]
    return (share_HW + _RARE).log()
