"""Conversion between ComfyUI's BOUNDING_BOX, in all forms that its own nodes produce, and detections.

A box is {"x", "y", "width", "height"} in pixels, from detectors with "score" (0..1) and "label" as well. On
the wire: one box, a list of boxes (for every picture), or a list with a list of boxes for each picture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from echogen_core.subject import notes
from echogen_core.subject.regions import Box, Detection, check_box, whole_pixels
from echogen_core.utils.printable import counted, printable

from .wire_types import describe_value

MAX_BOXES = 300
"""Boxes in a picture, as many as detectors return at most; each is segmented by itself."""
_LABEL = 100  # characters
_OTHER_BOX = "Use the box that belongs to this picture."
SIDES = ("x", "y", "width", "height")


class GivenBoxes(NamedTuple):
    """One picture's boxes, () for none; note: what could not be used, for the artist."""

    boxes: tuple[Detection, ...] = ()
    note: str = ""


def boxes_from(value: Any, count: int, height: int, width: int) -> list[GivenBoxes]:
    """The boxes of each of `count` pictures of that size, clipped to the picture.

    One that is no box in the picture (NaN, no area, outside, malformed) is left out, with a note.
    Raises ValueError for other forms, where no box can be used at all, for more than MAX_BOXES boxes in a
    picture, and for lists of lists that are neither one for all pictures nor one for each.
    """
    lists = _lists(value)
    if len(lists) not in (1, count):
        raise ValueError(
            f"Expected boxes for all or for each of {counted(count, 'picture')}, got {len(lists)} lists of "
            "boxes. Connect the boxes that were found in these pictures."
        )
    most = max(map(len, lists))
    if most > MAX_BOXES:
        raise ValueError(
            f"Expected at most {MAX_BOXES} bounding boxes in a picture, got {most}. Raise the threshold "
            "of the node that found them, or select some of them."
        )
    failures: list[ValueError] = []
    found = [_usable(boxes, height, width, failures) for boxes in lists]
    if failures and not any(given.boxes for given in found):
        raise failures[0]
    return found * count if len(found) == 1 else found


def _lists(value: Any) -> list[Sequence[Any]]:
    """A list of boxes for each picture, or one for all."""
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list | tuple):
        raise _unlike(value)
    if not any(isinstance(entry, list | tuple) for entry in value):
        return [value]  # boxes for all pictures, or none
    return [entry if isinstance(entry, list | tuple) else [entry] for entry in value]


def _usable(boxes: Sequence[Any], height: int, width: int, failures: list[ValueError]) -> GivenBoxes:
    """The boxes that can be used; why others can't is added to `failures`."""
    good, bad = [], []
    for box in boxes:
        try:
            good.append(_detection(box, height, width))
        except ValueError as error:
            bad.append(error)
    failures += bad
    if bad:
        return GivenBoxes(tuple(good), notes.BAD_BOX.format(reason=bad[0]))
    return GivenBoxes(tuple(good), "" if good else notes.NO_BOX)


def boxes_to(hits: Sequence[Sequence[Detection]]) -> list[list[dict[str, Any]]]:
    """A list of boxes for each picture, rounded outwards to whole pixels."""
    return [[_dictionary(hit) for hit in picture] for picture in hits]


def resize_hit(hit: Detection, across: float, down: float) -> Detection:
    """The same detection in a picture scaled by these factors."""
    left, top, right, bottom = hit.box_xyxy
    return replace(hit, box_xyxy=(left * across, top * down, right * across, bottom * down))


def _detection(box: Any, height: int, width: int) -> Detection:
    try:
        x, y, across, down = (float(box[side]) for side in SIDES)
        score = float(box.get("score", 1.0))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RuntimeError):
        raise _unlike(box) from None
    inside = _inside((x, y, across, down), height, width)
    label = box.get("label", "")
    words = printable(label, _LABEL) if isinstance(label, str | int | float) else ""
    return Detection(inside, score if math.isfinite(score) else 0.0, words)


def _inside(box_xywh: Box, height: int, width: int) -> Box:
    """The box within the picture; raises ValueError in the artist's terms where none of it is."""
    words = ", ".join(f"{side} {value:g}" for side, value in zip(SIDES, box_xywh, strict=True))
    if not all(map(math.isfinite, box_xywh)):
        raise ValueError(f"The box holds values that are not numbers ({words}). {_OTHER_BOX}")
    x, y, across, down = box_xywh
    if across <= 0 or down <= 0:
        raise ValueError(f"The box has no area ({words}). {_OTHER_BOX}")
    if x >= width or y >= height or x + across <= 0 or y + down <= 0:
        raise ValueError(f"The box lies outside the {width}×{height} px picture ({words}). {_OTHER_BOX}")
    return check_box((x, y, x + across, y + down), height, width)


def _dictionary(hit: Detection) -> dict[str, Any]:
    left, top, right, bottom = whole_pixels(hit.box_xyxy)
    sides = dict(zip(SIDES, (left, top, right - left, bottom - top), strict=True))
    return {**sides, "score": hit.score, "label": hit.phrase}


def _unlike(value: Any) -> ValueError:
    return ValueError(
        "Expected bounding boxes with x, y, width and height in pixels, got "
        f"{printable(value, 80) if isinstance(value, dict) else describe_value(value)}. Connect the boxes "
        "of a detection node."
    )
