"""What prompts say about place, size and night, and where a subject stands then.

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

# Shares of the frame: nothing said, small, large. At a side only so much fits that the place is plain.
_SCALES = ((0.0, 0.0), (0.32, 0.45), (0.85, 1.00))
_SIDE_SCALES = ((0.42, 0.60), (0.32, 0.42), (0.60, 0.68))
_EDGE = 0.46
"""Where the middle of a subject is that touches the frame, in its own widths: views fill 0.9 of theirs."""
_INNER = 0.36
"""Largest distance of the subject's middle from the frame's side where a side is said."""

_SETTLED = (
    # left, top and side in sixteenths of the frame, for no place, left, middle and right
    ((1, 2, 14), (0, 7, 8), (1, 2, 14), (8, 7, 8)),
    ((4.5, 8, 7), (0.5, 9, 6), (4.5, 8, 7), (9.5, 9, 6)),
    ((0, 0, 16), (0, 5, 10), (0, 0, 16), (6, 5, 10)),
)
"""Squares that the reference's own frame takes where places are settled: nothing said, small, large."""


class Frames(NamedTuple):
    """Where the whole frame of a reference lies in its pictures: left, top and side, [B] shares of theirs."""

    left_B: Tensor
    top_B: Tensor
    side_B: Tensor


class Said(NamedTuple):
    """Indices into PLACES and SIZES, -1 where nothing is said, and whether it is night; [B] each."""

    places_B: Tensor
    sizes_B: Tensor
    night_B: Tensor

    @classmethod
    def nothing(cls, count: int) -> Said:
        """Of so many prompts without such words."""
        unsaid_B = torch.full((count,), -1)
        return cls(unsaid_B, unsaid_B, unsaid_B > 0)

    def repeated(self, times: int) -> Said:
        """Each prompt's words for so many consecutive pictures."""
        return Said(*(values_B.repeat_interleave(times) for values_B in self))

    def prompt(self, index: int, word: str, phrase: str) -> str:
        """One prompt in full: what (`word`), how large, in which scene (`phrase`), where, and when."""
        size, place = int(self.sizes_B[index]), int(self.places_B[index])
        parts = [word if size < 0 else sized(word, SIZES[size]), phrase]
        parts += [PLACES[place]] if place >= 0 else []
        parts += [NIGHT] if self.night_B[index] else []
        return " ".join(parts)


def draw_said(count: int, placed: float, sized: float, night: float, generator: torch.Generator) -> Said:
    """Words at random; each kind is said in its share of prompts."""
    said_3B = torch.rand(3, count, generator=generator) < torch.tensor([placed, sized, night])[:, None]
    places_B = torch.randint(len(PLACES), (count,), generator=generator)
    sizes_B = torch.randint(len(SIZES), (count,), generator=generator)
    return Said(places_B.where(said_3B[0], -1), sizes_B.where(said_3B[1], -1), said_3B[2])


def sized(word: str, size: str) -> str:
    """The words for a subject with its size: "the subject" becomes "the small subject"."""
    article, _, rest = word.partition(" ")
    if not rest:
        return f"a {size} object"
    same, _, noun = rest.partition(" ")
    return f"{article} same {size} {noun}" if same == "same" else f"{article} {size} {rest}"


def said_scale(said: Said, scale_B: Tensor, uniform_B: Tensor) -> Tensor:
    """Sizes in the frame as said; `scale_B` where neither a size nor a side is said."""
    side_B = (said.places_B == LEFT) | (said.places_B == RIGHT)
    ranges_B2 = torch.where(
        side_B[:, None], torch.tensor(_SIDE_SCALES)[said.sizes_B + 1], torch.tensor(_SCALES)[said.sizes_B + 1]
    )
    drawn_B = torch.lerp(ranges_B2[:, 0], ranges_B2[:, 1], uniform_B)
    return torch.where(side_B | (said.sizes_B >= 0), drawn_B, scale_B)


def settled_frames(said: Said) -> Frames:
    """The one place and size of what is said.

    On a grid of sixteenths, where a picture of 128 px has its tokens and a reference of 112 px, at fourteen
    sixteenths, a content cell for each of them.
    """
    rows_B3 = torch.tensor(_SETTLED)[said.sizes_B + 1, said.places_B + 1] / 16
    return Frames(*rows_B3.unbind(1))


def said_x(said: Said, x_B: Tensor, scale_B: Tensor, uniform_B: Tensor) -> Tensor:
    """Middles of the subjects as said, 0 (left) to 1; `x_B` where no place is said."""
    side_B = torch.lerp(_EDGE * scale_B, torch.full_like(scale_B, _INNER), uniform_B)
    choices_4B = torch.stack((x_B, side_B, 0.5 + 0.08 * (uniform_B - 0.5), 1 - side_B))
    return choices_4B.gather(0, said.places_B[None] + 1)[0]
