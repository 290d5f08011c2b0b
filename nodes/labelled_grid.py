"""A grid of pictures with labels, as γ Sweep outputs it."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

MAX_SIDE = 6144
"""Pixels of all cells along one side; larger pictures are reduced."""
MIN_CELL = 64  # a label such as "0.25" must fit above it
_GAP = 4
_INK, _PAPER, _EMPTY = "black", "white", "#dddddd"


class LabelledGrid:
    """Pictures in columns and rows under a title; cells without a picture stay grey.

    The built-in font has no Greek and no arrows: labels are words and numbers.
    """

    def __init__(
        self,
        cell_hw: tuple[int, int],
        columns: Sequence[str],
        rows: Sequence[str],
        title: str,
        axes: tuple[str, str],
    ) -> None:
        """cell_hw: pixels of one picture. axes: names of what varies along columns and rows."""
        height, width = cell_hw
        shrink = min(1.0, MAX_SIDE / (len(columns) * width), MAX_SIDE / (len(rows) * height))
        grow = max(1, -(-MIN_CELL // width))
        self._cell = (max(1, int(width * shrink * grow)), max(1, int(height * shrink * grow)))
        letters = max(12, min(48, self._cell[1] // 10))
        self._font = ImageFont.load_default(letters)
        line = int(letters * 1.5)
        self._left = line // 2 + int(max(self._font.getlength(text) for text in (*rows, axes[1])))
        self._top = 3 * line
        size = (
            self._left + len(columns) * (self._cell[0] + _GAP),
            self._top + len(rows) * (self._cell[1] + _GAP),
        )
        self.image = Image.new("RGB", size, _PAPER)
        pen = ImageDraw.Draw(self.image)
        pen.text((_GAP, line // 4), self._fitting(title, size[0]), _INK, self._font)
        pen.text((self._left, line + line // 4), f"{axes[0]}:", _INK, self._font)
        pen.text((_GAP, self._top - line // 2), f"{axes[1]}:", _INK, self._font, anchor="lm")
        for column, text in enumerate(columns):
            x = self._corner(0, column)[0] + self._cell[0] // 2
            pen.text((x, self._top - line // 2), text, _INK, self._font, anchor="mm")
        for row, text in enumerate(rows):
            y = self._corner(row, 0)[1] + self._cell[1] // 2
            pen.text((self._left - _GAP, y), text, _INK, self._font, anchor="rm")
            for column in range(len(columns)):
                x, y = self._corner(row, column)
                pen.rectangle((x, y, x + self._cell[0] - 1, y + self._cell[1] - 1), _EMPTY)

    def put(self, row: int, column: int, picture: Image.Image) -> None:
        """Pastes a picture into its cell."""
        if picture.size != self._cell:
            picture = picture.resize(self._cell, Image.Resampling.LANCZOS)
        self.image.paste(picture, self._corner(row, column))

    def _corner(self, row: int, column: int) -> tuple[int, int]:
        return self._left + column * (self._cell[0] + _GAP), self._top + row * (self._cell[1] + _GAP)

    def _fitting(self, text: str, width: int) -> str:
        """The text on one line, truncated to the width."""
        text = " ".join(text[: 2 * width].split())  # a letter takes more than half a pixel
        while text and self._font.getlength(text) > width - 2 * _GAP:
            text = text.removesuffix("...")[:-1] + "..." if len(text) > 4 else ""
        return text
