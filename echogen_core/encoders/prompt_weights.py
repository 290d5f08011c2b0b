"""Weights in a prompt, as ComfyUI's own text encoders write them: how much a phrase in parentheses counts.

`(on the left)` weighs 1.1, `((on the left))` 1.21, `(on the left:1.4)` 1.4, whatever stands around it.
`\\(` and `\\)` are parentheses of the text itself, and so is one without its partner.

What a weight does is training-free, not in the paper: a token that is weaker than the strongest (at least 1)
is blanked in a part of the features, so that a weight above 1 weakens the rest. ComfyUI's own encoders go
beyond the prompt's features instead, away from the empty prompt's; nano then draws the phrase less often
where another contradicts it. benchmarks/prompt_weights.py measures both.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

PARENTHESES = 1.1
"""What parentheses without a number multiply the weight by; ComfyUI's."""
MIN_WEIGHT, MAX_WEIGHT = 0.0, 4.0

_PIECE = re.compile(r"\\[()]|[():]|[^\\():]+|\\")
_ESCAPE = re.compile(r"\\([()])")


class Segment(NamedTuple):
    """A piece of a prompt, and what it weighs: MIN_WEIGHT to MAX_WEIGHT, 1 as it is."""

    text: str
    weight: float


class WeightedPrompt(NamedTuple):
    """A prompt without its weights' syntax.

    segments: joined, they are the text. out_of_range: the weights that were brought into the range.
    """

    segments: tuple[Segment, ...]
    out_of_range: tuple[float, ...]

    @property
    def notes(self) -> list[str]:
        """What to say of weights that were out of range: a sentence, or nothing."""
        if not self.out_of_range:
            return []
        given = ", ".join(f"{weight:g}" for weight in self.out_of_range[:3])
        return [
            f"A weight in the prompt was out of range: expected {MIN_WEIGHT:g} to {MAX_WEIGHT:g}, got "
            rf"{given}. The nearest was used. For parentheses that belong to the text, write \( and \)."
        ]

    @property
    def text(self) -> str:
        """What the prompt says."""
        return "".join(segment.text for segment in self.segments)


class Layer(NamedTuple):
    """The tokens that weigh at least so much, and the share that their encoding has in the features."""

    kept: tuple[bool, ...]
    share: float


class _Group(NamedTuple):
    """Two parentheses that belong together: the index of the closing one, that of the piece where their text
    ends (the same, or a colon), and the weight after that (None: none is written).
    """

    close: int
    end: int
    weight: float | None


def parse_weights(prompt: str) -> WeightedPrompt:
    """The prompt's segments. Any text can be parsed, in time proportional to its length.

    A weight that is no finite number is text. ComfyUI takes any other; here it is clipped to the range.
    """
    pieces = _PIECE.findall(prompt)
    groups = _groups(pieces)
    inside: list[_Group] = []
    weights = [1.0]
    found: list[Segment] = []
    index = 0
    while index < len(pieces):
        if index in groups:
            group = groups[index]
            weights.append(weights[-1] * PARENTHESES if group.weight is None else group.weight)
            inside.append(group)
        elif inside and index == inside[-1].end:
            index = inside.pop().close
            weights.pop()
        else:
            found.append(Segment(_ESCAPE.sub(r"\1", pieces[index]), weights[-1]))
        index += 1
    segments = [
        Segment("".join(segment.text for segment in run), min(max(weight, MIN_WEIGHT), MAX_WEIGHT))
        for weight, run in groupby(found, key=lambda segment: segment.weight)
    ]
    out_of_range = dict.fromkeys(s.weight for s in found if not MIN_WEIGHT <= s.weight <= MAX_WEIGHT)
    return WeightedPrompt(tuple(segments), tuple(out_of_range))


def token_weights(segments: Sequence[Segment], spans: Sequence[tuple[int, int]]) -> list[float]:
    """What each token weighs: as its last character, a lone space as the character that follows.

    spans: start and end of each token in the joined segments; an empty one weighs 1.
    """
    text = "".join(segment.text for segment in segments)
    weights = [segment.weight for segment in segments for _ in segment.text]
    found = []
    for start, end in spans:
        index = end - 1
        if text[start:end].isspace() and end < len(text):
            index = end
        found.append(weights[index] if start < end else 1.0)
    return found


def layers(weights: Sequence[float]) -> list[Layer]:
    """The prompt's tokens in sets that contain each other, the smallest first; the shares sum to 1.

    The sets with a token have as much share together as its strength is, relative to the strongest. The last
    token, which closes the prompt, is in all sets.
    """
    strengths = [_strength(weight) for weight in weights[:-1]]
    strongest = max([1.0, *strengths])
    relative = [*(strength / strongest for strength in strengths), 1.0]
    levels = sorted({*relative} - {0.0}, reverse=True)
    return [
        Layer(tuple(weight >= level for weight in relative), level - below)
        for level, below in pairwise([*levels, 0.0])
    ]


def _strength(weight: float) -> float:
    # above 1 it is the rest that fades: nano would lose it at a weight of 2
    return weight if weight <= 1 else math.sqrt(weight)


def _groups(pieces: Sequence[str]) -> dict[int, _Group]:
    """Every pair of parentheses, by the index of the opening one."""
    groups: dict[int, _Group] = {}
    opened: list[int] = []
    colon: int | None = None  # the last one since a parenthesis
    for index, piece in enumerate(pieces):
        if piece == ":":
            colon = index
        elif piece in ("(", ")"):
            if piece == "(":
                opened.append(index)
            elif opened:
                start = opened.pop()
                weight = None
                if colon is not None and colon > start + 1:
                    weight = _finite("".join(pieces[colon + 1 : index]))
                groups[start] = _Group(index, index if weight is None or colon is None else colon, weight)
            colon = None
    return groups


def _finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
