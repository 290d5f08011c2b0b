"""A box as people write it: left, top, width, height in pixels, and the size of the picture it belongs to."""

from __future__ import annotations

import re
from typing import NamedTuple

from ..utils.number_list import parse_number
from ..utils.printable import printable
from .regions import Box

_OF = re.compile(r"(.*?)\s*\bof\s*(\d{1,6})\s*[x×]\s*(\d{1,6})\s*", re.DOTALL)


class DrawnBox(NamedTuple):
    """box_xywh: left, top, width, height; size_wh: the picture's that it was drawn on, None if not said."""

    box_xywh: Box
    size_wh: tuple[int, int] | None = None

    @property
    def box_xyxy(self) -> Box:
        """Left, top, right, bottom."""
        x, y, width, height = self.box_xywh
        return x, y, x + width, y + height


def read_box(text: str) -> DrawnBox:
    """'40, 20, 300, 280', or '40, 20, 300, 280 of 640x480'.

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
    return DrawnBox((x, y, width, height), (int(found[2]), int(found[3])) if found else None)
