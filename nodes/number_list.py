"""Lists of numbers in a text field, with the range syntax of grid scripts."""

from __future__ import annotations

import re

from echogen_core.utils.printable import printable

SYNTAX = "Write numbers separated by commas, or ranges: 1-4 (steps of 1), 0-3 (+0.5), 0-8 [5] (5 values)."

_MAX_TEXT = 10_000  # characters; nobody writes longer lists, and parsing them takes time
_MAX_PART = 100
# Unambiguous: two quantifiers that match the same digits would backtrack for ever on a long text.
_NUMBER = r"(?:\d+(?:\.\d+)?|\.\d+)"
_RANGE = re.compile(rf"({_NUMBER})\s*-\s*({_NUMBER})\s*(?:\(\+\s*({_NUMBER})\s*\)|\[\s*(\d+)\s*\])?")


def parse_numbers(
    text: str, what: str, low: float, high: float, most: int, repeats: bool = False
) -> list[float]:
    """The numbers of `text`, in order; each once, unless `repeats`.

    low, high: allowed range; most: allowed number of values. Raises ValueError, naming `what`.
    """
    if len(text) > _MAX_TEXT:
        raise ValueError(f"{what}: expected at most {most} values, got {len(text)} characters. {SYNTAX}")
    numbers: list[float] = []
    for part in filter(None, (part.strip() for part in text.replace("\n", ",").split(","))):
        numbers += _part(part, what, most)
    if not repeats:
        numbers = list(dict.fromkeys(numbers))
    if not numbers:
        raise ValueError(f"{what}: expected at least one number, got none. {SYNTAX}")
    if len(numbers) > most:
        raise ValueError(f"{what}: expected at most {most} values, got {len(numbers)}. Leave some out.")
    for number in numbers:
        if not low <= number <= high:
            raise ValueError(f"{what}: expected numbers from {low:g} to {high:g}, got {number:g}. Change it.")
    return numbers


def _part(part: str, what: str, most: int) -> list[float]:
    short = len(part) <= _MAX_PART
    if short and re.fullmatch(_NUMBER, part):
        return [float(part)]
    match = _RANGE.fullmatch(part) if short else None
    if match is None:
        raise ValueError(
            f"{what}: expected a number or a range, got '{printable(part, _MAX_PART)}'. {SYNTAX}"
        )
    start, end = float(match[1]), float(match[2])
    if match[4]:
        gaps = max(1, int(match[4]) - 1)
        count, step = min(int(match[4]), most + 1), (end - start) / gaps
    else:
        size = float(match[3] or 1)
        if size == 0:
            raise ValueError(f"{what}: expected a step above 0, got '{part}'. {SYNTAX}")
        step = size if end >= start else -size
        # one more than allowed is enough to be refused: a typo must not exhaust memory
        count = min(int(abs(end - start) / size + 1e-9), most) + 1
    return [float(f"{start + index * step:.10g}") for index in range(count)]  # 0.3, not 0.30000000000000004
