"""Quick small pictures of codes, for previews: a linear map that learns from decoded pictures.

Training-free, not in the paper: least squares over all tokens seen, from the codes of a token and its eight
neighbours to its pixels. The idea of a linear preview is ComfyUI's latent2rgb, whose numbers are fixed.

Shape suffixes: B pictures, D bits per token, H W size in tokens, h w size in pixels, N tokens, F features of
a token (codes of nine, and 1), P values of its pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_RIDGE = 2.0  # keeps the map steady while few tokens are known
_MOST_TOKENS = 1024  # to learn from at once, evenly spread: more take time and teach little


class Sketcher:
    """Draws sketches of one tokenizer's codes, the better the more pictures it has learnt from."""

    SCALE = 2
    """Pixels a side for each token."""

    def __init__(self) -> None:
        self._gram_FF: Tensor | None = None
        self._moments_FP: Tensor | None = None
        self._map_FP: Tensor | None = None

    def learn(self, codes_BDHW: Tensor, pictures_B3hw: Tensor) -> None:
        """Takes in pictures 0..1 and the codes that they are decoded from (or encoded to).

        Tokens with NaN or infinity, which float16 gives where it overflows, are passed over: one would spoil
        every later sketch.
        """
        size = [self.SCALE * side for side in codes_BDHW.shape[-2:]]
        small_B3hw = F.interpolate(pictures_B3hw.cpu().float(), size, mode="area")
        pixels_NP = F.pixel_unshuffle(small_B3hw, self.SCALE).movedim(1, -1).flatten(0, 2)
        around_NF = F.unfold(_padded(codes_BDHW), 3).mT.flatten(0, 1)
        every = -(-len(around_NF) // _MOST_TOKENS)
        features_NF = F.pad(around_NF[::every], (0, 1), value=1.0).double()
        pixels_NP = pixels_NP[::every].double()
        finite_N = features_NF.isfinite().all(1) & pixels_NP.isfinite().all(1)
        if not bool(finite_N.any()):
            return
        features_NF, pixels_NP = features_NF[finite_N], pixels_NP[finite_N]
        gram_FF, moments_FP = features_NF.T @ features_NF, features_NF.T @ pixels_NP
        if self._gram_FF is not None and self._moments_FP is not None:
            gram_FF, moments_FP = gram_FF + self._gram_FF, moments_FP + self._moments_FP
        self._gram_FF, self._moments_FP, self._map_FP = gram_FF, moments_FP, None

    def draw(self, codes_BDHW: Tensor) -> Tensor:
        """[B, 3, SCALE*H, SCALE*W] in 0..1, on the CPU; grey before it has learnt anything."""
        map_FP = self._solved()
        if map_FP is None:
            pictures, _, height, width = codes_BDHW.shape
            return torch.full((pictures, 3, self.SCALE * height, self.SCALE * width), 0.5)
        kernels_PD33 = map_FP[:-1].T.unflatten(1, (-1, 3, 3))
        pixels_BPHW = F.conv2d(_padded(codes_BDHW), kernels_PD33, map_FP[-1])
        return F.pixel_shuffle(pixels_BPHW, self.SCALE).clamp(0, 1)

    def _solved(self) -> Tensor | None:
        if self._map_FP is None and self._gram_FF is not None and self._moments_FP is not None:
            ridge_F = torch.full_like(self._gram_FF[0], _RIDGE)
            ridge_F[-1] = 0  # of the constant
            self._map_FP = torch.linalg.solve(self._gram_FF + ridge_F.diag(), self._moments_FP).float()
        return self._map_FP


def _padded(codes_BDHW: Tensor) -> Tensor:
    """[B, D, H+2, W+2] on the CPU: tokens at the border have themselves for neighbours."""
    return F.pad(codes_BDHW.cpu().float(), (1, 1, 1, 1), mode="replicate")
