"""Room in main memory, asked for before it is taken: a system that runs out of it ends the whole server."""

from __future__ import annotations

import psutil  # type: ignore[import-untyped,unused-ignore]
from torch import Tensor

from echogen_core.disk import in_words
from echogen_core.subject.cutout import LARGEST_SQUARE
from echogen_core.subject.pictures import LARGEST_WORKING_SIDE

_FLOAT = 4  # bytes
_AT_WORK = 3  # copies that exist at once: what came, what is made of it, and what is handed on


def check_room(wanted: int, what: str, change: str) -> None:
    """MemoryError, in words, where `wanted` bytes of main memory are not free.

    what: what would take them ("These pictures"); change: a sentence that says what to do.
    """
    free = psutil.virtual_memory().available
    if wanted > free:
        raise MemoryError(
            f"{what} would take about {in_words(wanted)} of main memory, and {in_words(free)} are free. "
            f"{change}"
        )


def check_pictures(pixels: Tensor, what: str) -> None:
    """The same for work on pictures or masks as they came."""
    check_room(
        pixels.numel() * _FLOAT * _AT_WORK,
        f"Work on the {what} ({'×'.join(map(str, pixels.shape))})",
        "Give smaller ones, or fewer at once.",
    )


def check_cut_outs(image_BHWC: Tensor, margin: float) -> None:
    """The same for cut-outs, and masks of the pictures' own size. margin: free share on each side."""
    count, height, width = image_BHWC.shape[:3]
    longest = min(LARGEST_WORKING_SIDE, max(height, width))
    side = min(LARGEST_SQUARE, int(longest / max(0.01, 1 - 2 * margin)) + 1)
    check_room(
        count * (4 * side**2 + height * width) * _FLOAT * _AT_WORK,
        f"Cut-outs of {count} pictures, up to {side} px a side,",
        "Take a smaller margin, smaller pictures, or fewer at once.",
    )


def check_decoded(count: int, pixels: int) -> None:
    """The same for pictures that are decoded, of so many pixels each."""
    check_room(
        count * pixels * 3 * _FLOAT * _AT_WORK,
        f"{count} decoded pictures",
        "Draw fewer at once, or smaller ones; Decode Bits takes less than Decode Scales.",
    )
