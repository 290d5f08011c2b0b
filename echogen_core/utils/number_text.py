"""Numbers as people write them in any country, rewritten with ASCII digits and a decimal point.

web/js/number_list.js reads the same texts; tests/number_lists.json holds both to it.
"""

from __future__ import annotations

import itertools
import re
import unicodedata

LIST_COMMA = "、"
"""Stands for a comma that no language has between a number's digits."""

_CHARACTERS = {
    **dict.fromkeys("‐‑‒–—―−﹣", "-"),
    **dict.fromkeys("…‥", ".."),
    **dict.fromkeys("〜∼", "~"),
    "،": LIST_COMMA,
    **dict.fromkeys("؛", ";"),
    **dict.fromkeys("’ʼ′٬", "'"),
    **dict.fromkeys("\t\r\v\f\u0085\u2028\u2029", "\n"),
    "٫": ".",
    "٪": "%",
}
_FULL_WIDTH = range(0xFF01, 0xFF5F)  # ASCII's signs once more
_PAIRS = ("[]", "()", "{}")

_INVISIBLE = re.compile("[\u200b\u200e\u200f\u061c\u2060\ufeff]+")  # copied with other text
_APOSTROPHES = re.compile(r"(?<![\d.,'_])\d{1,3}(?:(?:'\d{3})+|(?:_\d{3})+)(?![\d'_])")
_SPACED = re.compile(r"(?<![\d.])[1-9]\d{0,2}(?: \d{3})+(?![\d.])")
_STEP_COMMA = re.compile(r"(\( *\+ *\d{0,20}),(\d{1,20} *\))")
# Unambiguous: two quantifiers that match the same digits would backtrack for ever on a long text.
DECIMAL = r"(?:\d+(?:\.(?!\.)\d*)?|\.\d+)(?:e[+-]?\d{1,3})?"
_CHAIN = re.compile(rf"(?<!\d){DECIMAL}(?:,{DECIMAL})+")
_LEADING = re.compile(r"(?<![\d.,)\]¼½¾]),(\d{1,20})")
_LISTED = re.compile(r", +[\d.]|[\d.] +,|、")  # commas that separate
_POINT = re.compile(r"(?<!\.)\.(?!\.)")
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+")
_POINTS_AND_COMMA = re.compile(r"(?<![\d.,])([1-9]\d{0,2}(?:\.\d{3})+),(\d+)(?![\d.])")  # 1.000,5
_MIXED = re.compile(r"\d +[¼½¾]")


def plain_text(text: str) -> str:
    """The text with ASCII digits and signs, in lower case, without brackets around the whole and thousands'
    apostrophes."""
    if not re.search("[;；؛]", text):
        text = text.replace("，", LIST_COMMA)  # without semicolons, nobody's decimal comma
    text = "".join(_plain(letter) for letter in text).lower()
    text = _INVISIBLE.sub(_kept, text).strip(" \n")
    if text[:1] + text[-1:] in _PAIRS and _is_pair(text):
        text = text[1:-1].strip(" \n")
    return _APOSTROPHES.sub(lambda match: re.sub("['_]", "", match[0]), text)


def settle_commas(text: str, whole: bool) -> str:
    """A `plain_text` in which every comma separates, and decimals have a point.

    whole: only whole numbers are expected, so that no comma is a decimal one.
    Raises ValueError, whose message says what to write, where a comma or a space could mean two things.
    """
    if "\u200b" in text:
        raise ValueError("there is an invisible character inside a number. Type the number again.")
    if match := _SPACED.search(text) or _MIXED.search(text):
        raise ValueError(_choice(match[0], " "))
    points = _POINT.search(text)
    text, steps = _STEP_COMMA.subn(r"\1.\2", text)
    all_separate = not (steps or ";" in text)
    if whole or all_separate:
        _refuse_commas(text, whole, bool(points))
    if all_separate:
        return text
    text, leading = _LEADING.subn(r".\1", text)
    chains: list[str] = _CHAIN.findall(text)
    if not chains and not leading:
        return text
    if points or any("." in chain or chain.count(",") > 1 for chain in chains) or _LISTED.search(text):
        raise ValueError(
            "It has commas and semicolons. Write 1; 2; 3 for whole numbers, 0.5; 1.5 for others."
        )
    return _CHAIN.sub(lambda match: match[0].replace(",", "."), text)


def _refuse_commas(text: str, whole: bool, points: bool) -> None:
    """Raises ValueError where a comma could be more than one thing. points: some numbers have a point."""
    if match := _POINTS_AND_COMMA.search(text):
        one = f"{match[1].replace('.', '')}.{match[2]}"
        raise ValueError(f"'{match[0]}' could be one number or two. Write {one}, or {match[1]}, {match[2]}.")
    chains: list[str] = _CHAIN.findall(text)
    for chain in chains:
        if _THOUSANDS.fullmatch(chain):
            decimal = "" if whole or chain.count(",") > 1 else f", or {chain.replace(',', '.')}"
            raise ValueError(_choice(chain, ",").removesuffix(".") + f"{decimal}.")
    if whole:
        return
    if match := _LEADING.search(text):
        raise ValueError(f"',{match[1]}' could be 0.{match[1]} or {match[1]}. Write one of the two.")
    listed = not points and any(chain.count(",") > 1 for chain in chains)
    for chain in chains:
        parts = chain.split(",")
        separated = all("." in one + two or "e" in one + two for one, two in itertools.pairwise(parts))
        if not separated and not (listed and _in_order(parts)):
            raise ValueError(_choice(chain, ","))


def _kept(match: re.Match[str]) -> str:
    """Nothing in place of invisible characters, except inside a number, which can't be told from two."""
    around = match.string[max(0, match.start() - 1) : match.start()], match.string[match.end() :][:1]
    return "\u200b" if all(sign.isdecimal() or sign == "." for sign in around) else ""


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
    if not all(part.isdecimal() for part in parts):
        return False
    numbers = [int(part[:100]) for part in parts]
    steps = [two - one for one, two in itertools.pairwise(numbers)]
    return all(step > 0 for step in steps) or all(step < 0 for step in steps)


def _choice(written: str, sign: str) -> str:
    """What to write in place of digits with a comma or space between them."""
    shown = written if len(written) < 60 else f"{written[:60]}…"
    parts = [part for part in shown.split(sign) if part]
    listed = ", ".join(parts)
    several = "two" if len(parts) == 2 else "several"
    if parts[-1] in "¼½¾":
        return f"'{shown}' could be one number or two. Write {parts[0]}{parts[-1]}, or {listed}."
    if all(len(part) == 3 for part in parts[1:]) and len(parts[0]) <= 3 and parts[0] != "0":
        return f"'{shown}' could be one number or {several}. Write {''.join(parts)}, or {listed}."
    if len(parts) == 2 and len(parts[0]) <= 3:
        return f"'{shown}' could be one number or two. Write {'.'.join(parts)}, or {listed} (with a space)."
    return f"'{shown}' could have decimal commas. Write {listed} with spaces, and decimals with a point."
