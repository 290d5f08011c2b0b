"""From one picture of a subject to the reference: the subject on white, squared and centred.

Shape suffixes: B pictures, C channels, H height, W width, S side of the squared result. Values 0..1.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from ..pictures import check_pictures, check_single, fit_within
from .cutout import Cutout, cut_out_by
from .find import Tools
from .masks import GivenMask, MaskMarks, read_masks
from .notes import joined
from .phrases import clean_phrase
from .regions import Box, Detection, check_box
from .segmentation import Search, segment_subject
from .user_inputs import with_transparency


def cut_reference(
    image_1CHW: Tensor,
    tools: Tools,
    mask_1HW: Tensor | None = None,
    box_xyxy: Box | None = None,
    phrase: str = "",
) -> Cutout:
    """Cut the subject out of a picture by what is given, in this order: mask, box, phrase.

    With none of them, by its transparency, else its plain background, else with the built-in cut.
    image_1CHW: [1, 3 or 4, H, W], the fourth channel is alpha. mask_1HW: 1 on the subject; a box limits it.
    box_xyxy: in pixels of the picture.
    Raises MaskError for an unusable mask, ValueError for such a picture or box, and for a picture without
    anything to cut out.
    """
    image_1CHW = check_single(check_pictures(image_1CHW, "reference"), "reference")
    height, width = image_1CHW.shape[-2:]
    box = None if box_xyxy is None else check_box(box_xyxy, height, width)
    picture_1Chw = fit_within(image_1CHW)
    mask = GivenMask() if mask_1HW is None else read_masks(mask_1HW, picture_1Chw, MaskMarks.SUBJECT)[0]
    inputs = replace(with_transparency(picture_1Chw[0], mask), phrase=clean_phrase(phrase))
    if box is not None:
        scale = picture_1Chw.shape[-1] / width
        left, top, right, bottom = (side * scale for side in box)
        inputs = replace(inputs, boxes=(Detection((left, top, right, bottom), 1.0, ""),))
    if inputs.source != "mask" and not inputs.boxes and not inputs.phrase:
        cut = cut_out_by([None], picture_1Chw, salient=tools.salient)
        return cut._replace(notes=(joined(mask.note, *cut.notes),))
    found = segment_subject(picture_1Chw[0], inputs, tools, Search())
    cut = cut_out_by([found.mask_HW], picture_1Chw)
    return cut._replace(sources=(found.source,), notes=(joined(found.warning, *cut.notes),))
