"""Lists of numbers in a text field or option, with the range syntax of grid scripts.

web/js/number_list.js reads the same texts; tests/number_lists.json holds both to it.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

from .number_text import DECIMAL, plain_text, settle_commas
from .printable import printable

SYNTAX = "Write numbers separated by commas, or ranges: 1-4 (steps of 1), 0-3 (+0.5), 0-8 [5] (5 values)."
WHOLE_SYNTAX = "Write whole numbers separated by commas, or ranges: 1, 2, 5, or 0-9, or 0-90 (+10)."

_MAX_TEXT = 10_000  # characters; nobody writes longer lists, and parsing them takes time
_MAX_PART = 100
_TOO_LONG = Fraction(10) ** 21
_FRACTIONS = {"¼": Fraction(1, 4), "½": Fraction(1, 2), "¾": Fraction(3, 4)}
_NUMBER = rf"[+-]?(?:\d*[¼½¾]|{DECIMAL})"
_ITEM = re.compile(
    rf"({_NUMBER})(?: *(?:-|~|\.\.\.?(?!\.)|to) *({_NUMBER})(?: *\( *\+ *({_NUMBER}) *\)| *\[ *(\d+) *\])?)?"
)
_SEPARATORS = re.compile(r"[ \n,;、]+")
_PERCENT = re.compile(r"(\d{1,20}(?:[.,]\d{1,20})?) *%")
_SLASH = re.compile(r"(?:(?<!\d)(\d{1,9})([ ,]) *)?(\d{1,9}) */ *(\d{1,9})")
_COUNT = re.compile(r"(?<=\d) *(\[[ \d]{0,20}[.,][^\]\n]{0,20}\])")
_GROUPED = re.compile(r"[1-9]\d{0,2}(?:\.\d{3})+")


def parse_numbers(
    text: str, what: str, low: float, high: float, most: int, repeats: bool = False
) -> list[float]:
    """The numbers of `text`, in order; each once, unless `repeats`.

    low, high: allowed range; most: allowed number of values. Raises ValueError, naming `what`, for a text
    that can't be read or could mean two things ("0,5"), with what to write.
    """
    found = _read(text, what, most, whole=False)
    found = found if repeats else list({_rounded(number): number for number in found}.values())
    _check(found, what, (Fraction(low), Fraction(high)), most)
    return [float(number) for number in found]


def parse_whole_numbers(text: str, what: str, low: int, high: int, most: int) -> list[int]:
    """As `parse_numbers`, but whole numbers of any size, exactly. A range's [n] values are rounded down."""
    found = list(dict.fromkeys(_read(text, what, most, whole=True)))
    _check(found, what, (Fraction(low), Fraction(high)), most, whole=True)
    for number in found:
        if number.denominator > 1:
            raise ValueError(
                f"{what}: expected whole numbers, got {format_number(number)}. {_syntax(whole=True)}"
            )
    return [int(number) for number in found]


def parse_number(text: str) -> float:
    """One number, whose comma is a decimal one.

    Raises ValueError for anything else, 1,000 (which could be a thousand) and numbers too large for a float,
    with what came ("got …") and what to write.
    """
    plain = plain_text(text)
    got = f"got '{printable(text, _MAX_PART)}'"
    if re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", plain):
        whole, decimal = plain.replace(",", ""), plain.replace(",", ".")
        raise ValueError(f"{got}, which could mean two things. Write {whole} or {decimal}")
    if match := _PERCENT.fullmatch(plain):
        raise ValueError(f"{got}. Write {_share(match)}")
    if (match := _SLASH.fullmatch(plain)) and int(match[4]):
        raise ValueError(f"{got}. Write {_divided(match)[0]}")
    plain = re.sub(r"^([+-]?\d*),(\d+)$", r"\1.\2", plain)
    if len(plain) > _MAX_PART or not re.fullmatch(_NUMBER, plain):
        raise ValueError(got)
    try:
        return float(_fraction(plain))
    except OverflowError:
        raise ValueError(f"{got}, which is too large") from None


def format_number(number: float | Fraction) -> str:
    """A number as labels and messages show it: all of its digits, and no '.0'."""
    exact = Fraction(number)
    if abs(exact) >= _TOO_LONG:
        return "a number of over 20 digits"
    return str(exact) if exact.denominator == 1 else repr(float(number))


def _read(text: str, what: str, most: int, whole: bool) -> list[Fraction]:
    """All numbers of a text; of each range no more than one over `most`."""
    if len(text) > _MAX_TEXT:
        raise ValueError(
            f"{what}: expected at most {most} values, got {len(text)} characters. {_syntax(whole)}"
        )
    try:
        plain = plain_text(text)
        _refuse_signs(plain, whole)
        plain = settle_commas(plain, whole)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None
    numbers: list[Fraction] = []
    start = _after(_SEPARATORS, plain, 0)
    while start < len(plain):
        match = _ITEM.match(plain, start)
        end = start if match is None else match.end()
        following = _after(_SEPARATORS, plain, end)
        if match is None or end - start > _MAX_PART or (following == end < len(plain)):
            raise ValueError(f"{what}: {_refusal(plain[start:], whole)}")
        numbers += _values(match, what, most, whole)
        start = following
    return numbers


def _after(pattern: re.Pattern[str], text: str, start: int) -> int:
    match = pattern.match(text, start)
    return start if match is None else match.end()


def _values(match: re.Match[str], what: str, most: int, whole: bool) -> list[Fraction]:
    """The values of one item."""
    first = _fraction(match[1])
    if match[2] is None:
        return [first]
    last = _fraction(match[2])
    if match[4]:
        count = int(match[4])
        step = (last - first) / max(1, count - 1)
    else:
        gap = _fraction(match[3] or "1")
        if gap <= 0:
            raise ValueError(f"{what}: expected a step above 0, got '{match[0]}'. {_syntax(whole)}")
        step = gap if last >= first else -gap
        count = int(abs(last - first) / gap) + 1
    # one more than allowed is enough to be refused: a typo must not exhaust memory
    values = [first + index * step for index in range(min(count, most + 1))]
    if whole:
        return [Fraction(int(value)) for value in values] if match[4] else values
    # 0.3333333333, which a label has room for
    return [Fraction(f"{float(value):.10g}") if abs(value) < _TOO_LONG else value for value in values]


def _fraction(written: str) -> Fraction:
    if written[-1] in _FRACTIONS:
        part = _FRACTIONS[written[-1]]
        whole = Fraction(written[:-1].lstrip("+-") or 0)
        return -(whole + part) if written[0] == "-" else whole + part
    return Fraction(written)


def _rounded(number: Fraction) -> float | Fraction:
    """What models get: two numbers that differ less would be one value twice."""
    return float(number) if abs(number) < _TOO_LONG else number


def _check(
    numbers: list[Fraction], what: str, limits: tuple[Fraction, Fraction], most: int, whole: bool = False
) -> None:
    """limits: the least and the largest that is allowed."""
    if not numbers:
        raise ValueError(f"{what}: expected at least one number, got none. {_syntax(whole)}")
    if len(numbers) > most:
        raise ValueError(f"{what}: expected at most {most} values, got {len(numbers)}. Leave some out.")
    low, high = limits
    for number in numbers:
        if not low <= number <= high:
            kind = "whole numbers" if whole else "numbers"
            expected = f"{kind} from {format_number(low)} to {format_number(high)}"
            raise ValueError(f"{what}: expected {expected}, got {format_number(number)}. Change it.")


def _refuse_signs(plain: str, whole: bool) -> None:
    """Raises ValueError where a percent sign, a slash or a point could mean two things."""
    if match := _PERCENT.search(plain):
        raise ValueError(f"expected plain numbers, got '{printable(match[0])}'. Write {_share(match)}.")
    if match := _SLASH.search(plain):
        raise ValueError(
            f"'{match[0]}' could be one number or several. Write {', or '.join(_divided(match))}."
        )
    if match := _COUNT.search(plain):
        raise ValueError(f"expected a whole number of values, got '{match[1]}'. Write [5], for example.")
    if whole and (match := _GROUPED.search(plain)):
        short = int(float(match[0])) if match[0].count(".") == 1 else match[0][0]
        raise ValueError(
            f"expected whole numbers, got '{match[0]}'. Write {match[0].replace('.', '')}, or {short}."
        )


def _share(match: re.Match[str]) -> str:
    """A percentage as a plain number."""
    return format_number(Fraction(match[1].replace(",", ".")) / 100)


def _divided(match: re.Match[str]) -> list[str]:
    """What can be written for 1/2 (0.5, or 1, 2), 1 1/2 (1.5, or 1, 0.5) and 1,5/2 (0.75, or 1, 2.5)."""
    before, sign, top, bottom = match[1], match[2], match[3], int(match[4])
    if not bottom:
        return [", ".join(part for part in (before, top, match[4]) if part)]
    share = int(top) / bottom
    if before is None:
        return [f"{share:.4g}", f"{top}, {match[4]}"]
    one = int(before) + share if sign == " " else float(f"{before}.{top}") / bottom
    return [f"{one:.4g}", f"{before}, {share:.4g}"]


def _refusal(rest: str, whole: bool) -> str:
    """Why a text that doesn't begin with an item is refused, and what to write."""
    part = re.split(r"[\n,;、]", rest, maxsplit=1)[0]
    shown = printable(part, _MAX_PART)
    value = sum(unicodedata.numeric(letter, 0.0) % 1 for letter in part[:_MAX_PART])  # ⅓
    if value and not whole:
        return f"expected decimals, got '{shown}'. Write {value:.4g}, for example."
    return f"expected a number or a range, got '{shown}'. {_syntax(whole)}"


def _syntax(whole: bool) -> str:
    return WHOLE_SYNTAX if whole else SYNTAX
