"""A picture of any size on the model's canvas, and back to where it came from.

Shape suffixes: B pictures, C channels, H W size of the picture, h w size of the canvas. Sizes in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor
from torch.nn import functional as F

from ..subject.masks import PRESENT
from ..subject.refine import SPECK_SHARE, remove_specks
from ..subject.regions import extent

Size = tuple[int, int]
"""Height and width."""

PixelBox = tuple[int, int, int, int]
"""Left, top, right, bottom; right and bottom are the first pixels outside."""


class Fit(str, Enum):
    """Which part of a picture of other proportions gets onto the canvas.

    AROUND: what may change, and something around it. CROP: its middle, as much as fits. PAD: all of it, with
    its edges' pixels around. STRETCH: all of it, in other proportions.
    """

    AROUND = "around the mask"
    CROP = "crop"
    PAD = "pad"
    STRETCH = "stretch"


CONTEXT = 1.5
"""Size of the part that AROUND shows, against the mask's box: the model sees what it has to fit into."""


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
        """The frame of a picture that is fitted so, AROUND its whole as CROP.

        Raises ValueError for a size without pixels.
        """
        if min(*picture_hw, *canvas_hw) < 1:
            raise ValueError(f"Expected sizes of at least one pixel, got {picture_hw} and {canvas_hw}.")
        height, width = picture_hw
        if fit is not Fit.STRETCH:
            height, width = _in_proportion(picture_hw, canvas_hw, larger=fit is Fit.PAD)
        top, left = (picture_hw[0] - height) // 2, (picture_hw[1] - width) // 2
        return cls(picture_hw, canvas_hw, top, left, height, width)

    @classmethod
    def around(cls, box: PixelBox, picture_hw: Size, canvas_hw: Size) -> Frame:
        """The frame that shows a box of the picture with something around it, within the picture if it fits.

        Raises ValueError for a size without pixels.
        """
        most = cls.of(picture_hw, canvas_hw, Fit.CROP)
        left, top, right, bottom = box
        least_hw = _in_proportion((bottom - top, right - left), canvas_hw, larger=True)
        height, width = (round(side * CONTEXT) for side in least_hw)
        if height > most.height:
            height, width = max((most.height, most.width), least_hw)
        return cls(
            picture_hw,
            canvas_hw,
            _within((top + bottom) // 2, height, picture_hw[0]),
            _within((left + right) // 2, width, picture_hw[1]),
            height,
            width,
        )

    @classmethod
    def bringing(cls, part: PixelBox, onto: PixelBox, picture_hw: Size, canvas_hw: Size) -> Frame:
        """The frame in which a part of the canvas lies in a box of the picture.

        It is as large as the box allows, in the middle between its sides, and stands on its lower edge. A
        part smaller than a quarter of the canvas is taken for a quarter: the frame would be vast.
        """
        across, down = part[2] - part[0], part[3] - part[1]
        scale = min(
            (onto[2] - onto[0]) / max(across, canvas_hw[1] / 4),
            (onto[3] - onto[1]) / max(down, canvas_hw[0] / 4),
        )
        height, width = (max(1, round(side * scale)) for side in canvas_hw)
        left = round((onto[0] + onto[2]) / 2 - scale * (part[0] + part[2]) / 2)
        top = round(onto[3] - scale * part[3])
        # In a mask of a pixel or two, rounding may move the frame out of the picture.
        top, left = min(max(top, 1 - height), picture_hw[0] - 1), min(max(left, 1 - width), picture_hw[1] - 1)
        return cls(picture_hw, canvas_hw, top, left, height, width)

    @property
    def lost(self) -> float:
        """Share of the picture that the canvas does not show."""
        rows, columns = self._shown()
        return 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (
            self.picture_hw[0] * self.picture_hw[1]
        )

    @property
    def shown_HW(self) -> Tensor:
        """[H, W] bool: the pixels of the picture that the canvas shows."""
        shown_HW = torch.zeros(self.picture_hw, dtype=torch.bool)
        shown_HW[self._shown()] = True
        return shown_HW

    def onto_canvas(self, pictures_BCHW: Tensor) -> Tensor:
        """[B, C, h, w]: the part that the canvas shows, antialiased; beyond the edges their last pixels."""
        self._check(pictures_BCHW, self.picture_hw, "picture")
        rows = torch.arange(self.top, self.top + self.height).clamp(0, self.picture_hw[0] - 1)
        columns = torch.arange(self.left, self.left + self.width).clamp(0, self.picture_hw[1] - 1)
        device = pictures_BCHW.device
        # One direction after the other: of a frame much larger than the picture, only a strip is held.
        strip = pictures_BCHW.index_select(2, rows.to(device))
        strip = _resized(strip, (self.canvas_hw[0], strip.shape[3])).index_select(3, columns.to(device))
        return _resized(strip, self.canvas_hw)

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
        """[B, C, H, W]: the pictures with what the canvases show in their part, at the pictures' own size.

        The canvases may have been enlarged since: proportions count.
        """
        self._check_proportions(canvases_BChw)
        self._check(pictures_BCHW, self.picture_hw, "picture")
        rows, columns = self._shown()
        part = _resized(canvases_BChw, (self.height, canvases_BChw.shape[3]))
        part = part[..., rows.start - self.top : rows.stop - self.top, :]
        part = _resized(part, (part.shape[2], self.width))
        part = part[..., columns.start - self.left : columns.stop - self.left].to(pictures_BCHW)
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

    def _check_proportions(self, canvases_BChw: Tensor) -> None:
        height, width = canvases_BChw.shape[-2:]
        down, across = self.canvas_hw
        if abs(height * across - width * down) > max(height, width, down, across):
            raise ValueError(
                f"The canvas is {width}×{height} px; this frame is for {across}×{down} px, or the same "
                "proportions."
            )

    @staticmethod
    def _check(x: Tensor, size_hw: Size, what: str) -> None:
        if tuple(x.shape[-2:]) != size_hw:
            raise ValueError(
                f"The {what} is {x.shape[-1]}×{x.shape[-2]} px; this frame is for {size_hw[1]}×{size_hw[0]} "
                "px."
            )


def marked_box(mask_HW: Tensor, largest: bool = False) -> PixelBox | None:
    """The smallest box around what a mask marks, specks and noise left out; None for an empty one.

    largest: around the largest piece alone.
    """
    inside_HW = mask_HW > PRESENT
    if not bool(inside_HW.any()):
        return None
    inside_HW = remove_specks(inside_HW, 1.0 if largest else SPECK_SHARE)
    return extent(inside_HW)


def _in_proportion(size_hw: Size, canvas_hw: Size, larger: bool) -> Size:
    """The smallest size of the canvas's proportions around a size, or the largest one within it."""
    height, width = size_hw
    ratio = canvas_hw[0] / canvas_hw[1]
    if (height / width > ratio) == larger:
        return height, max(1, round(height / ratio))
    return max(1, round(width * ratio)), width


def _within(middle: int, length: int, limit: int) -> int:
    """Where a part of that length begins: about the middle, but inside; centred if it is longer."""
    if length > limit:
        return (limit - length) // 2
    return min(max(0, middle - length // 2), limit - length)


def _resized(x_BCHW: Tensor, size_hw: Size, mode: str = "bicubic") -> Tensor:
    if tuple(x_BCHW.shape[-2:]) == size_hw:
        return x_BCHW
    return F.interpolate(x_BCHW, size_hw, mode=mode, antialias=True).clamp_(0, 1)
