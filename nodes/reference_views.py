"""The views of a subject that the encoders take from a batch of pictures.

Shape suffixes: B pictures, V views, H height, W width, C channels. Values 0..1.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from echogen_core.subject import notes
from echogen_core.subject.reference_checks import reference_note

from . import memory_checks
from .adapters import pictures_from

DEFAULT_VIEWS, MAX_VIEWS = 8, 64
"""Views of a subject. Each lengthens every sampling run: a short animation would take minutes."""


class Views(NamedTuple):
    """images_V3HW: the pictures to encode; notes: what the artist should know of them."""

    images_V3HW: Tensor
    notes: list[str]


def read_views(image_BHWC: Tensor, most: int) -> Views:
    """At most that many pictures of a batch, evenly chosen with the first and the last.

    The choice depends on the two numbers alone, so that both encoders make the same.
    Raises ValueError as `pictures_from`.
    """
    given = len(image_BHWC) if image_BHWC.ndim == 4 else 1  # other shapes are refused below
    chosen = evenly(given, most)
    memory_checks.require_for_pictures(image_BHWC[: len(chosen)], "reference pictures")
    viewed_VHWC = image_BHWC[chosen] if len(chosen) < given else image_BHWC
    images_V3HW = pictures_from(viewed_VHWC, "reference picture")
    about = notes.by_picture([reference_note(image_3HW) for image_3HW in images_V3HW], chosen)
    if len(chosen) < given:
        about.insert(0, notes.VIEWS_USED.format(used=len(chosen), given=given))
    return Views(images_V3HW, about)


def evenly(count: int, most: int) -> list[int]:
    """Indices of at most `most` (1 or more) of `count` things, as evenly spaced as whole numbers allow."""
    if count <= most:
        return list(range(count))
    if most == 1:
        return [0]
    return [(2 * index * (count - 1) + most - 1) // (2 * (most - 1)) for index in range(most)]
