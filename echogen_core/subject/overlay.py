"""Pictures with what was found drawn on them: mask, boxes, scores and phrases.

Shape suffixes: C channels, H height, W width. Values 0..1; boxes in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from ..pictures import check_pictures, fit_within, flatten_alpha, to_pil
from .regions import Detection

CHOSEN, OTHER = (255, 64, 129), (255, 193, 7)
_VEIL = (0.10, 0.25, 0.55)  # over what the mask leaves out
_LABEL = 40  # characters


def draw_overlay(
    image_CHW: Tensor,
    mask_HW: Tensor | None = None,
    hits: Sequence[Detection] = (),
    chosen: Detection | None = None,
    longest: int = 1024,
) -> Image.Image:
    """The picture as RGB, at most `longest` px a side, for people to look at.

    The mask tints what it leaves out; each hit is outlined and named, the chosen one stronger and on top.
    """
    image_13HW = flatten_alpha(check_pictures(image_CHW[None]))
    width = image_13HW.shape[-1]
    shown_13hw = fit_within(image_13HW, longest)
    if mask_HW is not None:
        mask_11hw = F.interpolate(
            mask_HW[None, None].cpu().float(), shown_13hw.shape[-2:], mode="bilinear", antialias=True
        )
        veil_1311 = torch.tensor(_VEIL).view(1, 3, 1, 1)
        grey_11hw = shown_13hw.mean(1, keepdim=True)
        shown_13hw = torch.lerp(0.45 * grey_11hw + 0.55 * veil_1311, shown_13hw, mask_11hw)
    picture = to_pil(shown_13hw[0])
    scale = picture.width / width
    for hit in (*(hit for hit in hits if hit != chosen), *([chosen] if chosen else [])):
        _draw_hit(picture, hit, scale, CHOSEN if hit == chosen else OTHER)
    return picture


def _draw_hit(picture: Image.Image, hit: Detection, scale: float, colour: tuple[int, int, int]) -> None:
    draw = ImageDraw.Draw(picture)
    thick = max(2, min(picture.size) // 160)
    left, top, right, bottom = (value * scale for value in hit.box_xyxy)
    # Narrow boxes still need their right edge right of the left one.
    draw.rectangle((left, top, max(right, left + 1), max(bottom, top + 1)), outline=colour, width=thick)
    font = ImageFont.load_default(max(10, min(picture.size) // 32))
    # The built-in font has Latin letters only.
    words = hit.phrase.encode("latin-1", "replace").decode("latin-1")
    label = words[:_LABEL] + (f" {hit.score:.2f}" if hit.scored and hit.score else "")
    if not label:
        return
    frame = draw.textbbox((0, 0), label, font)
    x = max(0.0, min(left, picture.width - frame[2] - 4))
    y = top - frame[3] - 4 if top - frame[3] - 4 >= 0 else top + thick
    draw.rectangle((x, y, x + frame[2] + 4, y + frame[3] + 4), fill=colour)
    draw.text((x + 2, y + 2), label, fill="black", font=font)
