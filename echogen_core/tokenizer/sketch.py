"""Quick small pictures of codes, for previews: a linear map that learns from decoded pictures.

Training-free, not in the paper: least squares over all tokens seen, from the codes of a token and its eight
neighbours to its pixels. The idea of a linear preview is ComfyUI's latent2rgb, whose numbers are fixed.

Shape suffixes: B pictures, D bits per token, H W size in tokens, h w size in pixels, N tokens, F features of
a token, P values of its pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_RIDGE = 2.0  # keeps the map steady while few tokens are known; a picture has hundreds


class Sketcher:
    """Draws sketches of one tokenizer's codes, the better the more pictures it has learnt from."""

    SCALE = 2
    """Pixels a side for each token."""

    def __init__(self) -> None:
        self._gram_FF: Tensor | None = None
        self._moments_FP: Tensor | None = None
        self._map_FP: Tensor | None = None

    def learn(self, codes_BDHW: Tensor, pictures_B3hw: Tensor) -> None:
        """Takes in pictures 0..1 and the codes that they are decoded from (or encoded to)."""
        features_NF = _features(codes_BDHW).double()
        size = [self.SCALE * side for side in codes_BDHW.shape[-2:]]
        small_B3hw = F.interpolate(pictures_B3hw.cpu().float(), size, mode="area")
        pixels_NP = F.pixel_unshuffle(small_B3hw, self.SCALE).movedim(1, -1).flatten(0, 2).double()
        gram_FF, moments_FP = features_NF.T @ features_NF, features_NF.T @ pixels_NP
        if self._gram_FF is not None and self._moments_FP is not None:
            gram_FF, moments_FP = gram_FF + self._gram_FF, moments_FP + self._moments_FP
        self._gram_FF, self._moments_FP, self._map_FP = gram_FF, moments_FP, None

    def draw(self, codes_BDHW: Tensor) -> Tensor:
        """[B, 3, SCALE*H, SCALE*W] in 0..1, on the CPU. It must have learnt before."""
        batch, _, height, width = codes_BDHW.shape
        pixels_NP = _features(codes_BDHW) @ self._solved()
        pixels_BPHW = pixels_NP.unflatten(0, (batch, height, width)).movedim(-1, 1)
        return F.pixel_shuffle(pixels_BPHW, self.SCALE).clamp(0, 1)

    def _solved(self) -> Tensor:
        if self._map_FP is None:
            assert self._gram_FF is not None and self._moments_FP is not None
            ridge_F = torch.full_like(self._gram_FF[0], _RIDGE)
            ridge_F[-1] = 0  # of the constant
            self._map_FP = torch.linalg.solve(self._gram_FF + ridge_F.diag(), self._moments_FP).float()
        return self._map_FP


def _features(codes_BDHW: Tensor) -> Tensor:
    """[N, 9 D + 1]: codes around every token, and 1."""
    padded = F.pad(codes_BDHW.cpu().float(), (1, 1, 1, 1), mode="replicate")
    around_NF = F.unfold(padded, 3).mT.flatten(0, 1)
    return F.pad(around_NF, (0, 1), value=1.0)
