"""A box as people write it: left, top, width, height in pixels, and which picture it belongs to.

Shape suffixes: C channels, H height, W width.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..utils.number_list import parse_number
from ..utils.printable import printable
from .regions import Box

CELLS = 4
"""Cells across and down whose mean colours tell pictures apart."""
_LEVELS = 16
_OF = re.compile(r"(.*?)\s*\bof\s*(\d{1,6})\s*[x×]\s*(\d{1,6})\s*(?:#([0-9a-f]{48}))?\s*", re.DOTALL)


class DrawnBox(NamedTuple):
    """box_xywh: left, top, width, height.

    size_wh: the picture's that it was drawn on, None if not said. look: that picture's `look_of`, '' if not
    said.
    """

    box_xywh: Box
    size_wh: tuple[int, int] | None = None
    look: str = ""

    @property
    def box_xyxy(self) -> Box:
        """Left, top, right, bottom."""
        x, y, width, height = self.box_xywh
        return x, y, x + width, y + height

    def belongs_to(self, image_CHW: Tensor, width: int, height: int) -> bool:
        """Whether it may have been drawn on that picture of that size; image_CHW: at any size, 0..1.

        Each mean colour may be a level off: browsers decode and reduce pictures a little differently.
        """
        if self.size_wh not in (None, (width, height)):
            return False
        pairs = zip(self.look, look_of(image_CHW) if self.look else "", strict=True)
        return all(abs(int(one, 16) - int(other, 16)) <= 1 for one, other in pairs)


def look_of(image_CHW: Tensor) -> str:
    """The mean colours of 4×4 cells of a picture in 0..1, by rows, a hexadecimal digit for R, G and B each.

    web/js/box_maths.js does the same.
    """
    means_3hw = F.adaptive_avg_pool2d(image_CHW[:3].cpu().float(), CELLS)
    levels_hw3 = (means_3hw * _LEVELS).clamp(0, _LEVELS - 1).to(torch.int64).permute(1, 2, 0)
    return "".join(f"{level:x}" for level in levels_hw3.flatten().tolist())


def read_box(text: str) -> DrawnBox:
    """'40, 20, 300, 280', or '40, 20, 300, 280 of 640x480', then perhaps '#' and the `look_of` the picture.

    Raises ValueError for other texts, and for a box without width or height.
    """
    found = _OF.fullmatch(text)
    numbers = found[1] if found else text
    try:
        x, y, width, height = (parse_number(part) for part in re.split(r"\s*,\s*|\s+", numbers.strip()))
    except ValueError:
        width = height = 0.0
    if not (width > 0 and height > 0):
        raise ValueError(
            "expected left, top, width and height in pixels, such as 40, 20, 300, 280, got "
            f"'{printable(text, 80)}'"
        )
    box = (x, y, width, height)
    return DrawnBox(box, (int(found[2]), int(found[3])), found[4] or "") if found else DrawnBox(box)
