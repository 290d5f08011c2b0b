"""The pictures that a row names: reading, squaring the reference, cutting the target to its size.

Shape suffixes: H and W pixels.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from ..pictures import from_pil
from ..utils.printable import printable
from .manifest import Fault, FaultyRow

EXTREME = 16
"""From this many times the target's area on, only the part that remains is scaled."""
LARGEST_SQUARE = 2048
"""Pixels. A longer reference is reduced before it is squared; the encoders see 512 px at most."""


def open_picture(content: bytes, path: Path, where: str) -> Image.Image:
    """A picture as RGB, on white where it is transparent. Raises FaultyRow if it can't be read."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.has_transparency_data:
                image = image.convert("RGBA")
                white = Image.new("RGBA", image.size, "white")
                return Image.alpha_composite(white, image).convert("RGB")
            return image.convert("RGB")
    # Pillow's readers raise many kinds of errors for damaged files
    except Exception as error:
        raise FaultyRow(Fault(where, "unreadable picture", f"{printable(path)}: {error}")) from error


def read_bytes(path: Path, where: str) -> bytes:
    """The content of a file. Raises FaultyRow if it can't be opened."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise FaultyRow(Fault(where, "missing picture", f"{printable(path)}: {error.strerror}")) from error
    # a NUL or a lone surrogate: no file can have that name
    except ValueError as error:
        raise FaultyRow(Fault(where, "missing picture", f"{printable(path)}: {error}")) from error


def square_on_white(image: Image.Image) -> Image.Image:
    """The picture in the middle of a white square, as Cut Out Subject makes one; a square one unchanged."""
    longest = max(image.size)
    side = min(longest, LARGEST_SQUARE)
    if image.width == image.height:
        return image
    if side < longest:
        width, height = (max(1, round(length * side / longest)) for length in image.size)
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    canvas = Image.new("RGB", (side, side), "white")
    canvas.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return canvas


def cover(image: Image.Image, size_hw: Sequence[int]) -> Tensor:
    """The picture scaled to cover `size_hw` (LANCZOS) and centre-cropped: [3, H, W] in 0..1."""
    height, width = size_hw
    scale = max(height / image.height, width / image.width)
    scaled_wh = (max(width, int(image.width * scale)), max(height, int(image.height * scale)))
    left, top = (scaled_wh[0] - width) // 2, (scaled_wh[1] - height) // 2
    box = (left, top, left + width, top + height)
    if scaled_wh[0] * scaled_wh[1] <= EXTREME * width * height:
        return from_pil(image.resize(scaled_wh, Image.Resampling.LANCZOS).crop(box))
    # an extreme strip would take gigabytes scaled whole
    source = (
        left * image.width / scaled_wh[0],
        top * image.height / scaled_wh[1],
        (left + width) * image.width / scaled_wh[0],
        (top + height) * image.height / scaled_wh[1],
    )
    return from_pil(image.resize((width, height), Image.Resampling.LANCZOS, box=source))
