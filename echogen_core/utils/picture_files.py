"""Picture files of all kinds: what an unreadable file is, and pixels of any mode as 8 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

_SAVE_AS = "Save it as PNG or JPEG."
GET_AGAIN = "Get the file again."

_BRANDS = {  # of ISO's media files, which say in their first bytes what they hold
    b"avif": "an AVIF picture",
    b"avis": "an AVIF picture",
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"), "a HEIC picture"),
    b"crx ": "a camera's raw file",
    **dict.fromkeys((b"isom", b"iso2", b"mp41", b"mp42", b"avc1", b"M4V ", b"qt  "), "a video"),
}
_BEGINNINGS = {
    b"\xff\x0a": "a JPEG XL picture",
    b"\x00\x00\x00\x0cJXL ": "a JPEG XL picture",
    b"%PDF": "a PDF",
    b"\x1aE\xdf\xa3": "a video",
    b"PK\x03\x04": "a ZIP archive",
    b"<svg": "an SVG drawing",
    b"<?xml": "an XML file, perhaps an SVG drawing",
}
_PAGES = (b"<!doctype html", b"<html", b"<head", b"<body")
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8")
_LFS = b"version https://git-lfs"
_WHITES = (255.0, 65535.0, 2.0**32 - 1)
_BRIGHT = 2.0  # largest value of floating-point pictures, in which 1 is white


def what_it_is(content: bytes) -> tuple[str, str]:
    """What a file is whose format Pillow doesn't know, and what to do."""
    start = content[:512].removeprefix(b"\xef\xbb\xbf").lstrip()
    if not content:
        return "the file is empty", GET_AGAIN
    if start.lower().startswith(_PAGES):
        return "it is a web page", "Get the picture itself, not the page that shows it."
    if start.startswith(_LFS):
        return "it only points to a file in Git LFS", "Run: git lfs pull"
    if content[4:8] == b"ftyp":
        size = min(max(16, int.from_bytes(content[:4], "big")), 256)
        brands = [content[8:12], *(content[at : at + 4] for at in range(16, size, 4))]
        found = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
        if found:
            # a file of the general kind (mif1) names its own further back
            kind = next((name for name in found if "AVIF" in name), found[0])
            return f"it is {kind}, which can't be read here", _SAVE_AS
    for beginning, kind in _BEGINNINGS.items():
        if start.startswith(beginning) or content.startswith(beginning):
            return f"it is {kind}, which can't be read here", _SAVE_AS
    if start.startswith(_PICTURES) or content[8:12] == b"WEBP":
        return "damaged or incomplete", GET_AGAIN
    return "no format that is known", "Use PNG, JPEG or WebP."


def as_rgb(image: Image.Image, kind: str | None) -> Image.Image:
    """A picture of any mode as RGB or, with transparency, RGBA: 8 bits each.

    Grey of more bits keeps its range: 16-bit values are divided by 257. Of 32-bit values, which have no white
    of their own, the smallest usual one that holds the largest value is taken (1, 255, 65535, 2^32 - 1).
    kind: the file's format, as Pillow names it. Raises ValueError where a mode can't be converted, or values
    are negative or not finite.
    """
    if image.mode[0] in "IF":
        image = _eight_bits(image, kind)
    if image.mode in ("La", "RGBa"):
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _eight_bits(image: Image.Image, kind: str | None) -> Image.Image:
    """A picture in mode I, I;16 or F as L, or LA where one grey value is transparent."""
    values: Any = np.asarray(image)
    smallest, largest = float(values.min()), float(values.max())
    if not (np.isfinite(values).all() and smallest >= 0 and largest <= _WHITES[-1]):
        raise ValueError(f"values from {smallest:g} to {largest:g}, expected 0 or more")
    white = next(white for white in _WHITES if largest <= white)
    if image.mode.startswith("I;16") or kind in ("PNG", "PPM"):
        white = _WHITES[1]
    elif image.mode == "F" and largest <= _BRIGHT:
        white = 1.0
    grey = Image.fromarray((values.astype(np.float32) * (255 / white)).round().clip(0, 255).astype(np.uint8))
    transparent = image.info.get("transparency")
    if not isinstance(transparent, int):
        return grey
    grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey
