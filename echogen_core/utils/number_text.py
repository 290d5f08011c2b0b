"""Numbers as people write them in any country, rewritten with ASCII digits and a decimal point.

web/js/number_text.js reads the same texts; tests/number_lists.json holds both to it.
"""

from __future__ import annotations

import re
import unicodedata

LIST_COMMA = "、"
"""Stands for a comma that no language has between a number's digits."""

_CHARACTERS = {
    **dict.fromkeys("‐‑‒–—―−﹣", "-"),
    **dict.fromkeys("…‥", ".."),
    **dict.fromkeys("〜∼", "~"),
    **dict.fromkeys("，،", LIST_COMMA),
    **dict.fromkeys("؛", ";"),
    **dict.fromkeys("’ʼ′٬", "'"),
    **dict.fromkeys("\u200b\u200e\u200f\u061c\u2060\ufeff", ""),  # invisible, and copied with other text
    **dict.fromkeys("\t\r\v\f\u0085\u2028\u2029", "\n"),
    "٫": ".",
    "٪": "%",
}
_FULL_WIDTH = range(0xFF01, 0xFF5F)  # ASCII's signs once more
_PAIRS = ("[]", "()", "{}")

_APOSTROPHES = re.compile(r"(?<![\d.,'_])\d{1,3}(?:(?:'\d{3})+|(?:_\d{3})+)(?![\d'_])")
_SPACED = re.compile(r"(?<![\d.])\d{1,3}(?: \d{3})+(?![\d.])")
_STEP_COMMA = re.compile(r"(\( *\+ *\d{1,20}),(\d{1,20} *\))")
_CHAIN = re.compile(r"(?<!\d)\d+(?:,\d+)+")
_LISTED = re.compile(r", +[\d.]|、")  # commas that separate
_POINT = re.compile(r"(?<!\.)\.(?!\.)")
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+")
_MIXED = re.compile(r"\d +[¼½¾]")


def plain_text(text: str) -> str:
    """The text with ASCII digits and signs, in lower case, without brackets around the whole and thousands'
    apostrophes."""
    text = "".join(_plain(letter) for letter in text).lower().strip(" \n")
    if text[:1] + text[-1:] in _PAIRS and _is_pair(text):
        text = text[1:-1].strip(" \n")
    return _APOSTROPHES.sub(lambda match: re.sub("['_]", "", match[0]), text)


def settle_commas(text: str, whole: bool) -> str:
    """A `plain_text` in which every comma separates, and decimals have a point.

    whole: only whole numbers are expected, so that no comma is a decimal one.
    Raises ValueError, whose message says what to write, where a comma or a space could mean two things.
    """
    if (match := _SPACED.search(text)) or (match := _MIXED.search(text)):
        raise ValueError(_choice(match[0], " "))
    points = _POINT.search(text)
    text, steps = _STEP_COMMA.subn(r"\1.\2", text)
    chains = [(chain, chain.split(",")) for chain in _CHAIN.findall(text)]
    for chain, _ in chains:
        if _THOUSANDS.fullmatch(chain):
            raise ValueError(_choice(chain, ","))
    semicolons = steps > 0 or ";" in text
    if not chains or (not semicolons and (points or whole)):
        return text
    if semicolons:
        if points or any(len(parts) > 2 for _, parts in chains) or _LISTED.search(text):
            raise ValueError(
                "It has commas and semicolons. Write 1; 2; 3 for whole numbers, 0.5; 1.5 for others."
            )
        return _CHAIN.sub(lambda match: match[0].replace(",", "."), text)
    for chain, parts in chains:
        if not (_in_order(parts) and any(len(other) > 2 for _, other in chains)):
            raise ValueError(_choice(chain, ","))
    return text


def _plain(letter: str) -> str:
    if letter in _CHARACTERS:
        return _CHARACTERS[letter]
    if letter.isdecimal():
        return str(unicodedata.decimal(letter))
    if ord(letter) in _FULL_WIDTH:
        return chr(ord(letter) - 0xFEE0)
    return " " if unicodedata.category(letter) == "Zs" else letter


def _is_pair(text: str) -> bool:
    """Whether the last sign closes the bracket that the first one opens."""
    inside = text[1:-1]
    closing = inside.find(text[-1])
    return closing < 0 or -1 < inside.find(text[0]) < closing


def _in_order(parts: list[str]) -> bool:
    """Whether whole numbers rise or fall, as those of a list do and those around decimal commas seldom."""
    numbers = [int(part[:100]) for part in parts]
    return numbers in (sorted(numbers), sorted(numbers, reverse=True))


def _choice(written: str, sign: str) -> str:
    """What to write in place of digits with a comma or space between them."""
    shown = written if len(written) < 60 else f"{written[:60]}…"
    parts = [part for part in shown.split(sign) if part]
    listed = ", ".join(parts)
    if parts[-1] in "¼½¾":
        return f"'{shown}' could be one number or two. Write {parts[0]}{parts[-1]}, or {listed}."
    if all(len(part) == 3 for part in parts[1:]) and len(parts[0]) <= 3 and parts[0] != "0":
        return f"'{shown}' could be one number or {len(parts)}. Write {''.join(parts)}, or {listed}."
    if len(parts) == 2:
        return f"'{shown}' could be one number or two. Write {'.'.join(parts)}, or {listed} (with a space)."
    return f"'{shown}' could have decimal commas. Write {listed} with spaces, and decimals with a point."
