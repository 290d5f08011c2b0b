"""A picture of any size on the model's canvas, and back to where it came from.

Shape suffixes: B pictures, C channels, H W size of the picture, h w size of the canvas. Sizes in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor
from torch.nn import functional as F

Size = tuple[int, int]
"""Height and width."""


class Fit(str, Enum):
    """How a picture of other proportions gets onto the canvas.

    CROP: its middle, as much as fits. PAD: all of it, with its edges' pixels around. STRETCH: all of it, in
    other proportions.
    """

    CROP = "crop"
    PAD = "pad"
    STRETCH = "stretch"


@dataclass(frozen=True)
class Frame:
    """Which part of a picture the canvas shows.

    picture_hw, canvas_hw: their sizes. top, left, height, width: the part, in the picture's pixels; beyond
    its edges where the picture is padded.
    """

    picture_hw: Size
    canvas_hw: Size
    top: int
    left: int
    height: int
    width: int

    @classmethod
    def of(cls, picture_hw: Size, canvas_hw: Size, fit: Fit) -> Frame:
        """The frame of a picture that is fitted so. Raises ValueError for a size without pixels."""
        if min(*picture_hw, *canvas_hw) < 1:
            raise ValueError(f"Expected sizes of at least one pixel, got {picture_hw} and {canvas_hw}.")
        height, width = picture_hw
        if fit is not Fit.STRETCH:
            ratio = canvas_hw[0] / canvas_hw[1]
            too_tall = height / width > ratio
            if too_tall == (fit is Fit.CROP):  # the width decides
                height = max(1, round(width * ratio))
            else:
                width = max(1, round(height / ratio))
        top, left = (picture_hw[0] - height) // 2, (picture_hw[1] - width) // 2
        return cls(picture_hw, canvas_hw, top, left, height, width)

    @property
    def lost(self) -> float:
        """Share of the picture that the canvas does not show."""
        rows, columns = self._shown()
        return 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (
            self.picture_hw[0] * self.picture_hw[1]
        )

    def onto_canvas(self, pictures_BCHW: Tensor) -> Tensor:
        """[B, C, h, w]: the part that the canvas shows, antialiased; beyond the edges their last pixels."""
        self._check(pictures_BCHW, self.picture_hw, "picture")
        rows = torch.arange(self.top, self.top + self.height).clamp(0, self.picture_hw[0] - 1)
        columns = torch.arange(self.left, self.left + self.width).clamp(0, self.picture_hw[1] - 1)
        device = pictures_BCHW.device
        part = pictures_BCHW.index_select(2, rows.to(device)).index_select(3, columns.to(device))
        return _resized(part, self.canvas_hw)

    def mask_onto_canvas(self, masks_BHW: Tensor) -> Tensor:
        """[B, h, w]: the same for masks, 0 beyond the picture's edges: nothing changes there."""
        self._check(masks_BHW, self.picture_hw, "mask")
        rows, columns = self._shown()
        part = masks_BHW.new_zeros(len(masks_BHW), self.height, self.width)
        down, across = rows.start - self.top, columns.start - self.left
        shown = masks_BHW[:, rows, columns]
        part[:, down : down + shown.shape[1], across : across + shown.shape[2]] = shown
        return _resized(part[:, None].float(), self.canvas_hw, "bilinear")[:, 0]  # which doesn't overshoot

    def from_canvas(self, canvases_BChw: Tensor, pictures_BCHW: Tensor) -> Tensor:
        """[B, C, H, W]: the pictures with what the canvases show in their part, at the pictures' own size."""
        self._check(canvases_BChw, self.canvas_hw, "canvas")
        self._check(pictures_BCHW, self.picture_hw, "picture")
        rows, columns = self._shown()
        part = _resized(canvases_BChw, (self.height, self.width)).to(pictures_BCHW)
        part = part[..., rows.start - self.top : rows.stop - self.top, :]
        part = part[..., columns.start - self.left : columns.stop - self.left]
        placed = pictures_BCHW.expand(max(len(part), len(pictures_BCHW)), -1, -1, -1).clone()
        placed[..., rows, columns] = part
        return placed

    def _shown(self) -> tuple[slice, slice]:
        """Rows and columns of the picture that the canvas shows."""
        height, width = self.picture_hw
        return (
            slice(max(0, self.top), min(height, self.top + self.height)),
            slice(max(0, self.left), min(width, self.left + self.width)),
        )

    @staticmethod
    def _check(x: Tensor, size_hw: Size, what: str) -> None:
        if tuple(x.shape[-2:]) != size_hw:
            raise ValueError(
                f"The {what} is {x.shape[-1]}×{x.shape[-2]} px; this frame is for {size_hw[1]}×{size_hw[0]} "
                "px."
            )


def _resized(x_BCHW: Tensor, size_hw: Size, mode: str = "bicubic") -> Tensor:
    if tuple(x_BCHW.shape[-2:]) == size_hw:
        return x_BCHW
    return F.interpolate(x_BCHW, size_hw, mode=mode, antialias=True).clamp(0, 1)
