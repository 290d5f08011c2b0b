"""Between ComfyUI and the core: wire types, schemas that fit the installed version, picture layouts.

ComfyUI pictures are [B, H, W, C] (IMAGE) and masks [B, H, W] (MASK), float 0..1; the core takes [B, C, H, W].
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch
from comfy_api.latest import io
from PIL import Image
from torch import Tensor

from echogen_core.subject.pictures import check_picture, fit_within, flatten_alpha

CATEGORY = "EchoGen"

Model = io.Custom("ECHOGEN_MODEL")
Tokenizer = io.Custom("ECHOGEN_TOKENIZER")
TextEncoder = io.Custom("ECHOGEN_TEXT_ENCODER")
SemanticEncoder = io.Custom("ECHOGEN_SEMANTIC_ENCODER")
ContentEncoder = io.Custom("ECHOGEN_CONTENT_ENCODER")
Text = io.Custom("ECHOGEN_TEXT")
Semantic = io.Custom("ECHOGEN_SEMANTIC")
Content = io.Custom("ECHOGEN_CONTENT")
Bits = io.Custom("ECHOGEN_BITS")

_LATER_SCHEMA_FIELDS = ("search_aliases",)


def schema(**fields: Any) -> io.Schema:
    """An io.Schema without the fields that this ComfyUI does not know yet."""
    known = inspect.signature(io.Schema).parameters
    return io.Schema(**{k: v for k, v in fields.items() if k in known or k not in _LATER_SCHEMA_FIELDS})


def advanced(kind: type[Any], *args: Any, **options: Any) -> Any:
    """An input that newer ComfyUI folds away under 'advanced'; an ordinary one where that is not known."""
    if "advanced" in inspect.signature(kind).parameters:
        options["advanced"] = True
    return kind(*args, **options)


def pictures_from(image_BHWC: Tensor, what: str) -> Tensor:
    """A ComfyUI IMAGE as the encoders take it: [B, 3, H, W], alpha laid on white, at most 2048 px a side.

    Raises ValueError, naming `what`, for anything that is no usable picture.
    """
    return fit_within(flatten_alpha(check_picture(channels_first(image_BHWC), what)))


def channels_first(image_BHWC: Tensor) -> Tensor:
    """[B, H, W, C] to [B, C, H, W], unchecked."""
    return image_BHWC.movedim(-1, 1) if image_BHWC.ndim == 4 else image_BHWC


def image_to(images_BCHW: Tensor) -> Tensor:
    """The core's pictures as a ComfyUI IMAGE: float32 [B, H, W, C] on the CPU."""
    return images_BCHW.movedim(1, -1).float().cpu().contiguous()


def to_pil(image_3HW: Tensor) -> Image.Image:
    """One picture, 0..1, as 8-bit RGB."""
    pixels_HW3 = (image_3HW.clamp(0, 1) * 255).round().to(torch.uint8).movedim(0, -1).cpu().numpy()
    return Image.fromarray(pixels_HW3)


def contact_sheet(images_B3HW: Tensor, longest: int = 1024) -> Image.Image:
    """The pictures side by side in a near-square grid; reduced, never enlarged, to `longest` pixels."""
    count, _, height, width = images_B3HW.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    sheet = Image.new("RGB", (columns * width, rows * height))
    for index, image_3HW in enumerate(images_B3HW):
        sheet.paste(to_pil(image_3HW), (index % columns * width, index // columns * height))
    if count > 1:
        sheet.thumbnail((longest, longest))
    return sheet


def image_from_pil(picture: Image.Image) -> tuple[Tensor, Tensor]:
    """IMAGE [1, H, W, 3] and MASK [1, H, W], white on the opaque part.

    Like Load Image, gives an empty 64 px mask for a picture without transparency.
    """
    image_1HW3 = _tensor(picture.convert("RGB"))[None]
    if not picture.has_transparency_data:
        return image_1HW3, torch.zeros(1, 64, 64)
    return image_1HW3, _tensor(picture.convert("RGBA").getchannel("A"))[None]


def _tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255)
