"""Picture files of all kinds: what an unreadable file is, and pixels of any mode as 8 bits."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from PIL import Image, features

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
    b"v/1\x01": "an OpenEXR picture",
    b"#?RADIANCE": "a Radiance HDR picture",
    b"PF\n": "a PFM in colour",
    b"gimp xcf": "a GIMP file",
    b"%PDF": "a PDF",
    b"\x1aE\xdf\xa3": "a video",
    b"PK\x03\x04": "a ZIP archive",
    b"<svg": "an SVG drawing",
    b"<!DOCTYPE svg": "an SVG drawing",
    b"<?xml": "an XML file, perhaps an SVG drawing",
}
_PAGES = (b"<!doctype html", b"<html", b"<head", b"<body", b"<script", b"<!--")
_PREAMBLE = re.compile(rb"((<!--.*?-->|<\?.*?\?>)\s*)+", re.DOTALL)
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8")
_PARTLY_READ = {  # formats with kinds that Pillow can't read
    b"8BPS": "a Photoshop file",
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"BM": "a BMP",
    b"DDS ": "a DDS texture",
}
_LFS = b"version https://git-lfs"
_WHITES = (255.0, 65535.0, 2.0**31 - 1)
_BRIGHT = 2.0  # floating-point pictures in which most of the values exceed it aren't in 0..1


class UnusableValues(ValueError):
    """The file is whole, but its values are no picture's."""


def what_it_is(content: bytes) -> tuple[str, str]:
    """What a file is that Pillow can't identify, and what to do."""
    if not content:
        return "the file is empty", GET_AGAIN
    start = _text(content)
    if start.lower().startswith(_PAGES):
        return "it is a web page", "Get the picture itself, not the page that shows it."
    if start.startswith(_LFS):
        return "it only points to a file in Git LFS", "Run: git lfs pull"
    kind = _media_kind(content)
    if kind == "an AVIF picture" and "AVIF" in Image.OPEN and features.check("avif"):
        return "damaged or incomplete", GET_AGAIN
    for beginning, name in _BEGINNINGS.items():
        if not kind and (start.startswith(beginning) or content.startswith(beginning)):
            kind = name
    if kind:
        return f"it is {kind}, which can't be read here", _SAVE_AS
    if content.startswith(_PICTURES) or content[8:12] == b"WEBP":
        return "damaged or incomplete", GET_AGAIN
    for beginning, name in _PARTLY_READ.items():
        if content.startswith(beginning):
            return f"it is {name} that is damaged or of a kind that can't be read here", _SAVE_AS
    return "it is not a picture, or in a format that can't be read here", "Use PNG, JPEG or WebP."


def _text(content: bytes) -> bytes:
    """The beginning of a text without byte order mark, comments and XML declaration; UTF-16 as ASCII."""
    start = content[:4096]
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) or start[1:4:2] == b"\0\0" or start[:3:2] == b"\0\0":
        start = start.removeprefix(b"\xff\xfe").removeprefix(b"\xfe\xff").replace(b"\0", b"")
    start = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    preamble = _PREAMBLE.match(start)
    return start[preamble.end() :] or start if preamble else start


def _media_kind(content: bytes) -> str:
    """What one of ISO's media files holds; '' for other files, and where its brands aren't known."""
    if content[4:8] != b"ftyp":
        return ""
    size = min(max(16, int.from_bytes(content[:4], "big")), 256)
    brands = [content[8:12], *(content[at : at + 4] for at in range(16, size, 4))]
    found = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
    # a file of the general kind (mif1) names its own further back
    return next((name for name in found if "AVIF" in name), found[0] if found else "")


def as_rgb(image: Image.Image, content: bytes) -> Image.Image:
    """A picture of any mode as RGB or, with transparency, RGBA: 8 bits each.

    Grey of 16 bits is divided by 257. 32-bit values have no white of their own: see `_white`. Values outside
    black to white are clamped.
    content: the picture's file. Raises ValueError where a mode can't be converted, UnusableValues for NaN,
    infinity, or nothing but negative values.
    """
    if image.mode[0] in "IF":
        image = _eight_bits(image, content)
    transparent = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(transparent, tuple) and _is_deep_png(content):
        # Pillow keeps the upper byte of each value, but the transparent colour as it was
        image.info["transparency"] = tuple(value >> 8 for value in transparent)
    if image.mode in ("La", "RGBa"):
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _is_deep_png(content: bytes) -> bool:
    return content.startswith(b"\x89PNG") and content[24:25] == b"\x10"


def _eight_bits(image: Image.Image, content: bytes) -> Image.Image:
    """A picture in mode I, I;16 or F as L, or LA where one grey value is transparent."""
    values: Any = np.asarray(image)
    if not np.isfinite(values).all():
        raise UnusableValues("it holds NaN or infinity")
    if values.min() < 0 and values.max() <= 0:
        raise UnusableValues(f"it holds no value above 0, and goes down to {values.min():g}")
    deep = image.mode.startswith("I;16") or (image.mode == "I" and content.startswith((b"\x89PNG", b"P")))
    white = _WHITES[1] if deep else _white(values)
    grey = Image.fromarray((values.astype(np.float32) * (255 / white)).round().clip(0, 255).astype(np.uint8))
    transparent = image.info.get("transparency")
    if not isinstance(transparent, int):
        return grey
    grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey


def _white(values: Any) -> float:
    """The value of white in 32-bit grey, which no file states.

    Floating-point: 1, unless most of the values above 0 exceed 2. Otherwise, and for integers: the smallest
    of 255, 65535 and 2^31 - 1 that holds 95 % of them. So a few bright pixels don't darken the others.
    """
    lit = values[values > 0]
    if lit.size == 0 or (values.dtype.kind == "f" and np.median(lit) <= _BRIGHT):
        return 1.0
    most = np.percentile(lit, 95, method="lower")
    return next((white for white in _WHITES if most <= white), _WHITES[-1])
