"""The pictures that a row names: reading them, and squaring the reference."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from ..pictures import LARGEST_WORKING_SIDE, open_rgb
from ..utils.printable import printable
from .manifest import Fault, FaultyRow


def row_picture(content: bytes, path: Path, where: str) -> Image.Image:
    """As `pictures.open_rgb`, of a file's bytes. Raises FaultyRow if they are no readable picture."""
    try:
        return open_rgb(path, content)
    except ValueError as error:
        raise FaultyRow(Fault(where, "unreadable picture", str(error))) from error


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
    """The picture in the middle of a white square, as Cut Out Subject makes one; a square one unchanged.

    Larger ones are reduced: the encoders see 512 px at most.
    """
    longest = max(image.size)
    side = min(longest, LARGEST_WORKING_SIDE)
    if image.width == image.height:
        return image
    if side < longest:
        width, height = (max(1, round(length * side / longest)) for length in image.size)
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    canvas = Image.new("RGB", (side, side), "white")
    canvas.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return canvas
