"""Names that people give to files: what makes one unusable, and what to write instead."""

from __future__ import annotations

import re
import sys
import unicodedata
from datetime import datetime

from .printable import printable

MAX_NAME_BYTES = 200
"""Of a name in UTF-8. Most disks allow 255; a number, an ending and a partial file's mark are added."""

_ON_WINDOWS = sys.platform == "win32"
_WINDOWS_SIGNS = '<>:"|?*/\\'
_WINDOWS_DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{port}{number}" for port in ("COM", "LPT") for number in "123456789¹²³"
}
_UNSEEN = re.compile(  # blank letters, marks without a shape, and what makes a name look like another one
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufeff"
    "\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a]"
    # joiners stand between the letters of some scripts and the parts of emoji
    "|(?<![^\\x00-\\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\\x00-\\x7f])"
)
_TOKEN = re.compile(r"%[^\W\d]\w*(?::[^%/\\]*)?%|%[^%./\\:]+\.[^%./\\:]+%")
_FILLED_IN_LATER = {f"%{name}%" for name in ("year", "month", "day", "hour", "minute", "second")}
_DATE = re.compile(r"%date:([^%]*)%")
_DATE_PARTS = re.compile(r"yyyy|yy|dd?|MM?|hh?|mm?|ss?")
_FORMATS = {"d": "%d", "M": "%m", "h": "%H", "m": "%M", "s": "%S"}


def parts_below(prefix: str, default: str, windows: bool = _ON_WINDOWS) -> list[str]:
    """Folders and name of a file below some folder, as a person types them.

    prefix: with / or \\ between the parts on every system; its %date:...% must be filled in. default: what an
    empty one stands for, with / between the parts; its name is taken where the prefix names a folder only.
    Raises ValueError, with what to write, for a part that can't be a visible file's name (see `name_fault`),
    and for a path that leads out of the folder.
    """
    if unknown := [token for token in _TOKEN.findall(prefix) if token not in _FILLED_IN_LATER]:
        raise ValueError(
            f"{printable(unknown[0])} is not filled in here. Write the value, or leave it out. "
            "A date is %date:yyyy-MM-dd%."
        )
    typed = [part.strip() for part in re.split(r"[/\\]", prefix)]
    named = [part for part in typed if part not in ("", ".")]
    drive = "[A-Za-z]:" if windows else "[A-Za-z]:$"  # elsewhere a colon is a letter like others
    outside = bool(named) and (not typed[0] or re.match(drive, typed[0]) is not None)
    parts: list[str] = []
    for part in named:
        outside = outside or (part == ".." and not parts)
        parts = parts[:-1] if part == ".." else [*parts, part]
    if outside:
        raise ValueError(
            f"Expected a name inside ComfyUI's output folder, got '{printable(prefix)}'. Leave out '..', "
            "drives, and a slash at the start."
        )
    if not parts:
        return default.split("/")
    if typed[-1] in ("", ".", ".."):
        parts.append(default.split("/")[-1])
    for part in parts:
        if fault := name_fault(part, windows):
            raise ValueError(f"'{printable(part)}' can't be the name of a file or folder: {fault}")
    return parts


def name_fault(name: str, windows: bool = _ON_WINDOWS) -> str:
    """What is wrong with the name of a file or folder, without its path, and what to do; '' for nothing.

    windows: also what Windows refuses or changes.
    """
    unseen = [letter for letter in name if _is_unprintable(letter)] or _UNSEEN.findall(name)
    if unseen:
        return f"it holds a character that can't be seen (U+{ord(unseen[0]):04X}). Leave it out."
    if all(unicodedata.category(letter) in ("Cf", "Zs", "Mn") for letter in name):
        return "it holds nothing that can be seen. Write a name."
    if name == "~":
        return "only a shell takes it for your home folder. Write that folder's path."
    if name.startswith("."):
        return "a dot at its start would hide it. Leave the dot out."
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"it takes {len(name.encode())} bytes, of {MAX_NAME_BYTES} allowed. Shorten it."
    if windows and (signs := [sign for sign in _WINDOWS_SIGNS if sign in name]):
        return f"Windows allows no {' '.join(signs)} in it. Leave that out."
    if windows and name.split(".")[0].strip().upper() in _WINDOWS_DEVICES:
        return "Windows keeps this name for a device. Choose another one."
    if windows and name[-1] in ". ":
        return "Windows drops a dot or space at its end. Leave it out."
    return ""


def fill_dates(text: str, now: datetime) -> str:
    """A text with %date:yyyy-MM-dd% and the like filled in, as ComfyUI's page does it for its own nodes."""

    def part(match: re.Match[str]) -> str:
        written = match[0]
        if written[0] == "y":
            return str(now.year)[-len(written) :]
        return str(int(now.strftime(_FORMATS[written[0]]))).zfill(len(written))

    return _DATE.sub(lambda match: _DATE_PARTS.sub(part, match[1]), text)


def _is_unprintable(letter: str) -> bool:
    return unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp")
