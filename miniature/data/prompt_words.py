"""Words of a prompt for position, size and night, and the layout that they ask for.

Shape suffix: B prompts.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

PLACES = ("on the left", "in the middle", "on the right")
SIZES = ("small", "large")
NIGHT = "at night"

LEFT, MIDDLE, RIGHT = range(len(PLACES))

# Ranges of the subject's size as a fraction of the frame: unspecified, small, large. On the left or right it
# has to be small enough for its side to be unmistakable.
_SCALE_RANGES = ((0.0, 0.0), (0.32, 0.45), (0.85, 1.00))
_SIDE_SCALE_RANGES = ((0.42, 0.60), (0.32, 0.42), (0.60, 0.68))
_EDGE = 0.46
"""Distance of a subject's centre from the frame's edge when it touches it, in widths of its sprite."""
_INNER = 0.36
"""Largest distance of the subject's centre from the left or right edge that the prompt names."""

_FIXED_LAYOUT = (
    # left, top and side in sixteenths of the frame; columns: position unspecified, left, middle, right
    ((1, 2, 14), (0, 7, 8), (1, 2, 14), (8, 7, 8)),
    ((4.5, 8, 7), (0.5, 9, 6), (4.5, 8, 7), (9.5, 9, 6)),
    ((0, 0, 16), (0, 5, 10), (0, 0, 16), (6, 5, 10)),
)
"""Boxes of the reference's frame in a fixed layout. Rows: size unspecified, small, large."""


class ReferenceBoxes(NamedTuple):
    """A reference's frame in its target: left, top and side as fractions of the picture, [B] each."""

    left_B: Tensor
    top_B: Tensor
    side_B: Tensor


class PromptWords(NamedTuple):
    """Words of B prompts: indices into PLACES and SIZES (-1: unspecified), and night or not, [B] each."""

    places_B: Tensor
    sizes_B: Tensor
    night_B: Tensor

    @classmethod
    def none(cls, count: int) -> PromptWords:
        """`count` prompts without such words."""
        unspecified_B = torch.full((count,), -1)
        return cls(unspecified_B, unspecified_B, unspecified_B > 0)

    def repeated(self, times: int) -> PromptWords:
        """Each prompt's words for `times` consecutive pictures."""
        return PromptWords(*(values_B.repeat_interleave(times) for values_B in self))

    def prompt(self, index: int, word: str, phrase: str) -> str:
        """The prompt at `index` in full, for a subject (`word`) in a scene (`phrase`)."""
        size, place = int(self.sizes_B[index]), int(self.places_B[index])
        parts = [word if size < 0 else with_size(word, SIZES[size]), phrase]
        parts += [PLACES[place]] if place >= 0 else []
        parts += [NIGHT] if self.night_B[index] else []
        return " ".join(parts)


def draw_prompt_words(
    count: int, placed: float, sized: float, night: float, generator: torch.Generator
) -> PromptWords:
    """Random words for `count` prompts; placed, sized, night: the probability of each kind."""
    given_3B = torch.rand(3, count, generator=generator) < torch.tensor([placed, sized, night])[:, None]
    places_B = torch.randint(len(PLACES), (count,), generator=generator)
    sizes_B = torch.randint(len(SIZES), (count,), generator=generator)
    return PromptWords(places_B.where(given_3B[0], -1), sizes_B.where(given_3B[1], -1), given_3B[2])


def with_size(word: str, size: str) -> str:
    """A subject's name with a size: "the subject" becomes "the small subject"."""
    article, _, rest = word.partition(" ")
    if not rest:
        return f"a {size} object"
    same, _, noun = rest.partition(" ")
    return f"{article} same {size} {noun}" if same == "same" else f"{article} {size} {rest}"


def prompted_scale(words: PromptWords, scale_B: Tensor, uniform_B: Tensor) -> Tensor:
    """Sizes as the words ask for, [B]; `scale_B` where they name neither a size nor a side."""
    side_B = (words.places_B == LEFT) | (words.places_B == RIGHT)
    ranges_B2 = torch.where(
        side_B[:, None],
        torch.tensor(_SIDE_SCALE_RANGES)[words.sizes_B + 1],
        torch.tensor(_SCALE_RANGES)[words.sizes_B + 1],
    )
    drawn_B = torch.lerp(ranges_B2[:, 0], ranges_B2[:, 1], uniform_B)
    return torch.where(side_B | (words.sizes_B >= 0), drawn_B, scale_B)


def fixed_layout(words: PromptWords) -> ReferenceBoxes:
    """The fixed box of each wording.

    On a grid of sixteenths, one per token of a 128 px picture. A reference of 112 px at fourteen sixteenths
    then has one content cell per token.
    """
    rows_B3 = torch.tensor(_FIXED_LAYOUT)[words.sizes_B + 1, words.places_B + 1] / 16
    return ReferenceBoxes(*rows_B3.unbind(1))


def prompted_x(words: PromptWords, x_B: Tensor, scale_B: Tensor, uniform_B: Tensor) -> Tensor:
    """Centres from 0 (left) to 1 as the words ask for, [B]; `x_B` where they name no position."""
    side_B = torch.lerp(_EDGE * scale_B, torch.full_like(scale_B, _INNER), uniform_B)
    choices_4B = torch.stack((x_B, side_B, 0.5 + 0.08 * (uniform_B - 0.5), 1 - side_B))
    return choices_4B.gather(0, words.places_B[None] + 1)[0]
