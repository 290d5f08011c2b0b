"""Checks for free main memory before work begins: a system that runs out of it kills the whole server."""

from __future__ import annotations

import psutil  # type: ignore[import-untyped,unused-ignore]
from torch import Tensor

from echogen_core.pictures import LARGEST_WORKING_SIDE
from echogen_core.subject.cutout import LARGEST_SQUARE
from echogen_core.utils.disk import format_size
from echogen_core.utils.printable import counted

_FLOAT = 4  # bytes
_COPIES = 3  # that exist at once: the input, the result, and the result as it is passed on


def require(needed: int, what: str, change: str) -> None:
    """Raises MemoryError where fewer than `needed` bytes of main memory are free.

    what: the subject of the message, such as "3 grids"; change: a sentence that says what to do.
    """
    free = psutil.virtual_memory().available
    if needed > free:
        raise MemoryError(
            f"{what} would take about {format_size(needed)} of main memory, but only {format_size(free)} are "
            "free. "
            f"{change}"
        )


def require_for_pictures(pixels: Tensor, what: str) -> None:
    """The same for processing pictures or masks at their own size; what: their name in the message."""
    require(
        pixels.numel() * _FLOAT * _COPIES,
        f"Processing the {what} ({'×'.join(map(str, pixels.shape))})",
        "Use smaller ones, or fewer at once.",
    )


def require_for_frames(count: int, height: int, width: int) -> None:
    """The same for reading a file's pictures, with alpha."""
    require(
        count * height * width * 4 * _FLOAT * _COPIES,
        f"Reading {counted(count, 'picture')} of {width}×{height} px",
        "Use a smaller file, or a shorter animation.",
    )


def require_for_cut_outs(image_BHWC: Tensor, margin: float) -> None:
    """The same for cut-outs, and masks of the pictures' own size. margin: free share on each side."""
    count, height, width = image_BHWC.shape[:3]
    longest = min(LARGEST_WORKING_SIDE, max(height, width))
    side = min(LARGEST_SQUARE, int(longest / max(0.01, 1 - 2 * margin)) + 1)
    require(
        count * (4 * side**2 + height * width) * _FLOAT * _COPIES,
        f"Cutting out {counted(count, 'picture')} at up to {side} px a side",
        "Use a smaller margin, smaller pictures, or fewer at once.",
    )


def require_for_decoding(count: int, pixels: int) -> None:
    """The same for decoding `count` pictures of `pixels` each."""
    require(
        count * pixels * 3 * _FLOAT * _COPIES,
        f"Decoding {counted(count, 'picture')}",
        "Decode fewer at once, or smaller ones; Decode Bits takes less than Decode Scales.",
    )
