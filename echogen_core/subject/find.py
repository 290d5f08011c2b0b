"""The whole way from pictures to masks: phrase, box, mask, with the built-in cut where a step found nothing.

Shape suffixes: B pictures, C channels, H height, W width. Values 0..1; boxes in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .describe import Describer, describe
from .detect import DEFAULT_THRESHOLD, Detector, detect
from .regions import Detection, Pick, choose
from .salient import SalientSubject
from .segment import Segmenter, segment


@dataclass(frozen=True)
class Tools:
    """The models at hand; a missing one leaves its step out."""

    salient: SalientSubject
    describer: Describer | None = None
    detector: Detector | None = None
    segmenter: Segmenter | None = None


@dataclass(frozen=True)
class Found:
    """One picture's subject.

    mask_HW: 0..1 at the picture's size. phrase: what was looked for, '' without. hits: everything detected.
    chosen: the one that was cut, None without. source: 'box and SAM', 'box and built-in', or 'built-in'.
    warning: what went another way than asked, for the artist to read; '' when all went well.
    """

    mask_HW: Tensor
    phrase: str
    hits: tuple[Detection, ...]
    chosen: Detection | None
    source: str
    warning: str = ""


def find_subjects(
    images_BCHW: Tensor,
    tools: Tools,
    phrase: str = "",
    threshold: float = DEFAULT_THRESHOLD,
    pick: Pick = Pick.BEST,
    soften: float = 0.0,
) -> list[Found]:
    """One result per picture, whatever the others gave: a miss falls back on the built-in cut and says so.

    Raises ValueError for unusable pictures or settings only.
    """
    phrases = describe(images_BCHW, tools.describer, phrase)
    if tools.detector is None:
        hits: list[list[Detection]] = [[] for _ in phrases]
    else:
        hits = detect(images_BCHW, phrases, tools.detector, threshold)
    return [
        _find(image_CHW, tools, words, tuple(found), pick, soften)
        for image_CHW, words, found in zip(images_BCHW, phrases, hits, strict=True)
    ]


def _find(
    image_CHW: Tensor, tools: Tools, phrase: str, hits: tuple[Detection, ...], pick: Pick, soften: float
) -> Found:
    chosen = choose(hits, pick)
    warning = "" if chosen is not None else _why_no_box(tools, phrase)
    if chosen is not None and tools.segmenter is not None:
        mask_HW = segment(image_CHW, chosen.box_xyxy, tools.segmenter, soften)
        if bool(mask_HW.any()):
            return Found(mask_HW, phrase, hits, chosen, "box and SAM")
        warning = f"SAM found nothing in the box of {chosen.phrase!r}: the built-in cut took its place."
    boxes = None if chosen is None else [chosen.box_xyxy]
    mask_HW = tools.salient.mask(image_CHW[None], boxes, soften)[0]
    source = "built-in" if chosen is None else "box and built-in"
    if not bool(mask_HW.any()):
        warning = f"{warning} No subject stands out: paint a mask, or give a phrase or a box.".strip()
    return Found(mask_HW, phrase, hits, chosen, source, warning)


def _why_no_box(tools: Tools, phrase: str) -> str:
    """'' where a box was never asked for."""
    if tools.detector is None:
        return f"The phrase {phrase!r} was not used: no detector is connected." if phrase else ""
    if not phrase:
        return "No phrase to look for: the built-in cut took the most prominent subject."
    return (
        f"Nothing in the picture matches {phrase!r}: the built-in cut took the most prominent subject. "
        "Lower the threshold, or use a simpler phrase."
    )
