"""The whole way from pictures to masks: phrase, box, mask, with the built-in cut where a step found nothing.

Shape suffixes: B pictures, C channels, H height, W width. Values 0..1; boxes in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .describe import Describer
from .detect import DEFAULT_THRESHOLD, Detector
from .regions import Detection, Pick
from .salient import SalientSubject
from .segment import Segmenter


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
    raise NotImplementedError
