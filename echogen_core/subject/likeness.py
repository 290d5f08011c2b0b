"""How much pictures look like a reference's subject, to keep the best few of a batch.

Training-free and our own, not in the paper: DreamBench's DINO score (evaluation/) is by another network. The
measure is the cosine of the semantic encoder's class tokens, of a picture's subject and of the reference's,
both cut out, squared and on white.
Shape suffixes: B pictures, C channels, H height, W width, V views of the reference. Values 0..1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..features import SemanticFeatures
from .cutout import WHITE, cut_out_by
from .masks import is_empty
from .reference_checks import shows_hardly
from .regions import box_of
from .salient import SalientSubject

WHOLE_COMPARED = (
    "Nothing stands out, so the whole picture is compared. Connect a mask to say where the subject is."
)
REGION_COMPARED = "Nothing stands out inside the mask, so all of it is compared."


class Likeness(NamedTuple):
    """One picture's likeness.

    cosine: -1 to 1, with 1 as the reference. note: what the artist should know, '' for nothing.
    """

    cosine: float
    note: str = ""


def measure_likeness(
    pictures_BCHW: Tensor,
    regions: Sequence[Tensor | None],
    reference: SemanticFeatures,
    encode: Callable[[Tensor], SemanticFeatures],
    salient: SalientSubject,
) -> Iterator[Likeness]:
    """Each picture's likeness in turn; it depends on no other picture of the batch.

    pictures_BCHW: as `cut_out_by` takes them. regions: [H, W], not empty, with 1 where to look for
    the subject; None for everywhere. salient: the built-in cut.
    reference: of several views, the most similar counts, as a picture shows the subject from one side.
    encode: the encoder that made them, for pictures [1, 3, S, S].
    Raises ValueError for features of another encoder, and for NaN or infinity in them.
    """
    for number, (picture_CHW, region_HW) in enumerate(zip(pictures_BCHW, regions, strict=True), 1):
        mask_HW, note = _subject_mask(picture_CHW, region_HW, salient)
        cut = cut_out_by([mask_HW], picture_CHW[None])
        cosine = _nearest_view(encode(cut.images_B3SS), reference)
        if not math.isfinite(cosine):
            raise ValueError(
                f"Picture {number} can't be compared: its features or the reference's hold NaN or infinity. "
                "Load the semantic encoder in fp32 or bf16, and encode the reference again."
            )
        yield Likeness(cosine, note)


def best_first(cosines: Sequence[float]) -> list[int]:
    """The pictures' places in the batch, from 0, the highest cosine first; equal ones keep their order."""
    return sorted(range(len(cosines)), key=lambda place: -cosines[place])


def _subject_mask(
    picture_CHW: Tensor, region_HW: Tensor | None, salient: SalientSubject
) -> tuple[Tensor, str]:
    """[H, W], 1 on the subject, and ''; all of the region, and a note, where hardly anything is found."""
    box = None if region_HW is None else box_of(region_HW)
    found_HW = salient.mask(picture_CHW[None], [box])[0]
    if region_HW is None:
        within_HW, note = torch.ones_like(found_HW), WHOLE_COMPARED
    else:
        # it says where to look: a soft edge, or a mask of grey, must not fade the subject
        within_HW, note = (region_HW > region_HW.max() / 2).float(), REGION_COMPARED
    mask_HW = found_HW * within_HW
    if is_empty(mask_HW) or shows_hardly(picture_CHW[:3], mask_HW, WHITE):
        return within_HW, note
    return mask_HW, ""


def _nearest_view(picture: SemanticFeatures, reference: SemanticFeatures) -> float:
    """The cosine of the view that is most like the picture; NaN if any is."""
    picture_1C, reference_VC = (features.cls_VC.cpu().float() for features in (picture, reference))
    expected, got = picture_1C.shape[-1], reference_VC.shape[-1]
    if expected != got:
        raise ValueError(
            f"The reference's semantic features have {got} channels; this encoder's have {expected}. Connect "
            "the semantic encoder that made them."
        )
    return float(F.cosine_similarity(picture_1C, reference_VC).max())
