"""Previews of the subject nodes: the picture with the results drawn on it, above a caption.

The caption is part of the picture, because every renderer shows pictures and few show a node's text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from textwrap import wrap
from typing import Any

import torch
from comfy_api.latest import io, ui
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from echogen_core.pictures import SMALLEST_SIDE, to_pil
from echogen_core.subject.find import Found
from echogen_core.subject.notes import by_picture
from echogen_core.subject.overlay import draw_overlay
from echogen_core.subject.regions import Box, Detection

from . import notices
from .adapters import best_effort, image_from_pil, to_image
from .boxes import resize_hit

SIDE = 768
"""Pixels of a preview's longer side: enough to read labels."""
_TEXT_SIZE = 22
_PAD = 8
_LINES = 4  # a longer caption would push the picture out of the node
_CJK_FONTS = (
    "msyh.ttc",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "NotoSansCJK-Regular.ttc",
    "wqy-microhei.ttc",
)
"""Fonts of Windows, macOS and Linux with the characters that Pillow's own font lacks."""
_PAPER, _INK, _WARNING = "#202020", "#e8e8e8", "#ffb347"


def resize_found(found: Found, height: int, width: int) -> Found:
    """The same result for the picture at another size."""
    before_height, before_width = found.mask_HW.shape
    if (before_height, before_width) == (height, width):
        return found
    mask_HW = F.interpolate(
        found.mask_HW[None, None], (height, width), mode="bilinear", antialias=True
    ).clamp(0, 1)[0, 0]
    across, down = width / before_width, height / before_height
    hits = tuple(resize_hit(hit, across, down) for hit in found.hits)
    chosen = None if found.chosen is None else resize_hit(found.chosen, across, down)
    return replace(found, mask_HW=mask_HW, hits=hits, chosen=chosen)


def previews(images_BCHW: Tensor, found: Sequence[Found], warned: bool = True) -> Tensor:
    """[B, h, w, 3]: each picture with its boxes, scores and phrases, its mask, and a caption.

    warned: whether the caption has the warning.
    """
    shown_BCHW = at_preview_size(images_BCHW)
    size = (int(shown_BCHW.shape[-2]), int(shown_BCHW.shape[-1]))
    drawn = [
        _draw(image_CHW, resize_found(one, *size)) for image_CHW, one in zip(shown_BCHW, found, strict=True)
    ]
    return _with_texts(drawn, [(_summary(one), one.warning if warned else "") for one in found])


def marked(images_BCHW: Tensor, masks_BHW: Tensor, boxes: Sequence[Box | None]) -> Tensor:
    """[B, h, w, 3]: each picture with its mask, and a box in its pixels outlined; one mask stands for all."""
    shown_BCHW = at_preview_size(images_BCHW)
    masks_BHW = masks_BHW.expand(len(shown_BCHW), -1, -1)
    down, across = (shown_BCHW.shape[dim] / images_BCHW.shape[dim] for dim in (-2, -1))
    drawn = [
        draw_overlay(
            image_CHW,
            mask_HW,
            [resize_hit(Detection(box, 0.0, ""), across, down)] if box else (),
            longest=SIDE,
        )
        for image_CHW, mask_HW, box in zip(shown_BCHW, masks_BHW, boxes, strict=True)
    ]
    return torch.cat([image_from_pil(picture)[0] for picture in drawn])


def captioned(images_BCHW: Tensor, texts: Sequence[tuple[str, str]]) -> Tensor:
    """[B, h, w, 3]: each picture with its text and warning below it."""
    shown = [to_pil(image_3HW) for image_3HW in at_preview_size(images_BCHW)]
    return _with_texts(shown, texts)


def at_preview_size(images_BCHW: Tensor) -> Tensor:
    """[B, 3, h, w]: the pictures at the size that previews have."""
    height, width = images_BCHW.shape[-2:]
    scale = SIDE / max(height, width)
    size = [max(SMALLEST_SIDE, round(side * scale)) for side in (height, width)]
    return F.interpolate(images_BCHW[:, :3], size, mode="bilinear", antialias=True).clamp(0, 1)


def _with_texts(pictures: Sequence[Image.Image], texts: Sequence[tuple[str, str]]) -> Tensor:
    lines = [_lines(picture.width, *text) for picture, text in zip(pictures, texts, strict=True)]
    rows = max(len(each) for each in lines)
    sheets = [_caption(picture, each, rows) for picture, each in zip(pictures, lines, strict=True)]
    return torch.cat([image_from_pil(sheet)[0] for sheet in sheets])


def show(
    cls: type[io.ComfyNode],
    pictures: Sequence[Tensor],
    texts: Sequence[str] = (),
    warnings: Sequence[str] = (),
    captioned: bool = True,
) -> dict[str, Any]:
    """A node's `ui` output: its previews, its texts, which the history stores, and its notices.

    warnings: one for each picture; those that can't be read in a caption become notices, and so do all of a
    node that shows several previews, which are too small to be read. captioned: whether the pictures have
    captions; else all warnings, of any number, become notices. Pictures that could not be written are left
    out, and a text says why.
    """
    shown = [best_effort(partial(_written, cls, image_BHWC)) for image_BHWC in pictures]
    reasons = list(dict.fromkeys(reason for _, reason in shown if reason))
    single = len(pictures) == len(warnings) == 1
    readable = captioned and not reasons and single and _fits(int(pictures[0].shape[2]), warnings[0])
    noticed = [] if readable else by_picture(warnings) if captioned else list(warnings)
    return {
        "images": [image for each, _ in shown for image in each.get("images", ())],
        "animated": (False,),
        **notices.shown([*texts, *reasons], [*noticed, *reasons]),
    }


def show_cut_outs(cls: type[io.ComfyNode], cut_outs_B3SS: Tensor, warnings: Sequence[str]) -> dict[str, Any]:
    """The same for cut-outs alone, with captions where there is a warning."""
    shown = to_image(cut_outs_B3SS)
    if any(warnings):
        shown = captioned(cut_outs_B3SS, [("", warning) for warning in warnings])
    return show(cls, [shown], by_picture(warnings), warnings)


def plain(cls: type[io.ComfyNode], images_BCHW: Tensor) -> tuple[str, ...]:
    """File name, subfolder and type of the first picture as it is, to draw on; () if it can't be written."""
    written, _ = best_effort(partial(_written, cls, to_image(at_preview_size(images_BCHW[:1]))))
    return tuple(
        str(image[name]) for image in written.get("images", ()) for name in ("filename", "subfolder", "type")
    )


def _written(cls: type[io.ComfyNode], image_BHWC: Tensor) -> dict[str, Any]:
    written: dict[str, Any] = ui.PreviewImage(image_BHWC, cls=cls).as_dict()
    return written


def words(found: Found) -> str:
    """A line about the result, and the warning."""
    return "\n".join(line for line in (_summary(found), found.warning) if line)


def _draw(image_CHW: Tensor, found: Found) -> Image.Image:
    return draw_overlay(image_CHW, found.mask_HW, found.hits, found.chosen, longest=SIDE)


def _summary(found: Found) -> str:
    chosen = found.chosen
    score = f"{chosen.score:.2f}" if chosen is not None and chosen.scored and chosen.score else ""
    source = f"{found.source} cut" if found.source.endswith("built-in") else found.source
    return " · ".join(part for part in (found.phrase, score, source) if part)


def _columns(width: int) -> int:
    """Characters in a line of a caption."""
    return max(12, int((width - 2 * _PAD) / (0.52 * _TEXT_SIZE)))


def _fits(width: int, warning: str) -> bool:
    """Whether a caption shows all of a warning."""
    columns = _columns(width)
    return columns * 0.52 * _TEXT_SIZE < width and len(wrap(warning, columns)) <= _LINES


def _lines(width: int, text: str, warning: str) -> list[tuple[str, str]]:
    """(line, colour), wrapped to the picture's width."""
    columns = _columns(width)
    broken = [(line, _INK) for line in wrap(text, columns, max_lines=_LINES, placeholder=" …")]
    return broken + [(line, _WARNING) for line in wrap(warning, columns, max_lines=_LINES, placeholder=" …")]


def _caption(picture: Image.Image, lines: Sequence[tuple[str, str]], rows: int) -> Image.Image:
    step = round(1.3 * _TEXT_SIZE)
    sheet = Image.new(
        "RGB", (picture.width, picture.height + rows * step + (2 * _PAD if rows else 0)), _PAPER
    )
    sheet.paste(picture, (0, 0))
    draw = ImageDraw.Draw(sheet)
    for row, (line, colour) in enumerate(lines):
        draw.text((_PAD, picture.height + _PAD + row * step), line, fill=colour, font=_font(line))
    return sheet


def _font(line: str) -> Any:
    """A font with the line's characters, if the machine has one."""
    for name in _CJK_FONTS if any(letter > "\u2e7f" for letter in line) else ():
        try:
            return ImageFont.truetype(name, _TEXT_SIZE)
        except OSError:
            continue
    return ImageFont.load_default(_TEXT_SIZE)
