"""Aspect ratios by the names that artists use: the official ratio that is nearest to each."""

from __future__ import annotations

import math
import re
import unicodedata
from typing import NamedTuple

from .scales import ASPECT_RATIOS
from .utils.printable import printable

_NAMED: dict[str, tuple[float, float]] = {
    # name -> width, height
    "square": (1, 1),
    "photo": (3, 2),
    "35mm": (3, 2),
    "dslr": (3, 2),
    "poster": (2, 3),
    "headshot": (4, 5),
    "instagram": (4, 5),
    "post": (4, 5),
    "avatar": (1, 1),
    "album cover": (1, 1),
    "polaroid": (1, 1),
    "widescreen": (16, 9),
    "hd": (16, 9),
    "full hd": (16, 9),
    "fhd": (16, 9),
    "qhd": (16, 9),
    "uhd": (16, 9),
    "2k": (16, 9),
    "4k": (16, 9),
    "8k": (16, 9),
    "tv": (16, 9),
    "desktop": (16, 9),
    "wallpaper": (16, 9),
    "thumbnail": (16, 9),
    "youtube": (16, 9),
    "vertical video": (9, 16),
    "phone": (9, 16),
    "mobile": (9, 16),
    "story": (9, 16),
    "stories": (9, 16),
    "reel": (9, 16),
    "reels": (9, 16),
    "shorts": (9, 16),
    "tiktok": (9, 16),
    "ultrawide": (21, 9),
    "ultra wide": (21, 9),
    "cinema": (2.39, 1),
    "cinematic": (2.39, 1),
    "cinemascope": (2.39, 1),
    "anamorphic": (2.39, 1),
    "panorama": (3, 1),
    "panoramic": (3, 1),
    "banner": (3, 1),
    "golden ratio": (1.618, 1),
    **{f"a{number}": (1, math.sqrt(2)) for number in range(7)},
    "letter": (8.5, 11),
}
_UPRIGHT: dict[str, bool] = {
    "portrait": True,
    "vertical": True,
    "upright": True,
    "tall": True,
    "landscape": False,
    "horizontal": False,
    "wide": False,
}
"""Words that turn a ratio -> whether it stands upright; alone, they are 2:3 and 3:2."""

_NUMBER = r"(\d{1,6}(?:\.\d{1,6})?)"
_PAIR = re.compile(rf"(?<![\w.:-]){_NUMBER}\s*(?:[:/x×*-]|by|to)\s*{_NUMBER}(?:px)?(?![\w.:])")
_SHARE = re.compile(_NUMBER)
_LINES = re.compile(r"\d{3,4}[pi]")
_SIGNS = str.maketrans({"∶": ":", ",": ".", "_": " "})


class AspectRatio(NamedTuple):
    """official: one of scales.ASPECT_RATIOS. note: which ratio was taken for another name, else ''."""

    official: str
    note: str = ""


def find_aspect_ratio(name: str) -> AspectRatio:
    """The official ratio that is nearest to what a name means.

    name: width and height (16:9, 1920x1080, 2.39:1), a format (portrait, widescreen, 1080p, A4), or one of
    the two with an orientation (A4 landscape). Raises ValueError, naming the choices, for anything else.
    """
    if name in ASPECT_RATIOS:
        return AspectRatio(name)
    text = unicodedata.normalize("NFKC", name).translate(_SIGNS).casefold()
    shape = _shape(text)
    if shape is None:
        raise ValueError(
            f"'{printable(name)}' is not an aspect ratio. Write one such as 16:9, portrait or 1920x1080, or "
            f"choose one of {', '.join(ASPECT_RATIOS)}."
        )
    official = min(ASPECT_RATIOS, key=lambda ratio: abs(math.log(shape / _share(ratio))))
    if not math.isclose(shape, _share(official)):
        return AspectRatio(official, f"{printable(name)} is drawn at {official}, the nearest official ratio.")
    return AspectRatio(official, "" if _PAIR.search(text) else f"{printable(name)} is drawn at {official}.")


def _shape(text: str) -> float | None:
    """Width over height of a name in small letters, None for an unknown one."""
    words = re.findall(r"[\w.]+", text)
    turns = {_UPRIGHT[word] for word in words if word in _UPRIGHT}
    rest = " ".join(word for word in words if word not in _UPRIGHT)
    if len(turns) > 1:
        return None
    pair = _PAIR.search(text)
    if pair is not None:
        shape = _share(":".join(pair.groups())) if all(map(float, pair.groups())) else None
    else:
        shape = _named(" ".join(words)) or _named(rest) or (1.5 if turns and not rest else None)
    if shape is None or not turns:
        return shape
    return min(shape, 1 / shape) if turns == {True} else max(shape, 1 / shape)


def _named(text: str) -> float | None:
    if text in _NAMED:
        return _NAMED[text][0] / _NAMED[text][1]
    if _LINES.fullmatch(text):
        return 16 / 9
    return float(text) if _SHARE.fullmatch(text) and 0.1 <= float(text) <= 10 else None


def _share(ratio: str) -> float:
    """Width over height of W:H."""
    width, height = map(float, ratio.split(":"))
    return width / height
