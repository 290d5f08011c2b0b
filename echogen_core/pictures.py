"""Pictures: reading their files, the check that all tensors pass before anything is done with them, fitting.

Shape suffixes: B pictures, C channels, H height, W width. Values 0..1.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

from .utils.picture_files import GET_AGAIN, UnusableValues, as_rgb, what_it_is
from .utils.printable import counted, printable

SMALLEST_SIDE = 8
"""Pixels. Below this there is no subject to see, and the encoders' first convolutions have nothing to do."""

LARGEST_WORKING_SIDE = 2048
"""Pixels. Encoders look at 512 px at most: a larger picture is reduced before anything else copies it."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of RGB in 0..1."""

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""Endings of pictures that are written -> Pillow's names."""

_LONGEST_STRIP = 64  # longer side over shorter: a picture scaled to cover a square takes gigabytes beyond
_INTEGER_RANGES = {torch.uint8: 255, torch.uint16: 65535}  # type -> the value that stands for 1
_FORMS = {1: "1 of grey", 3: "3 (RGB)", 4: "4 (RGB and alpha)"}


def open_picture(path: Path, content: bytes | None = None, largest_side: int | None = None) -> Image.Image:
    """A picture file as RGB or, with transparency, RGBA, 8 bits each, upright as the camera meant it (EXIF).

    content: the file's bytes if they are at hand; `path` is then only named in messages. largest_side: in
    pixels; without it, as much as Pillow accepts (`Image.MAX_IMAGE_PIXELS`, twice).
    Raises FileNotFoundError where there is no file, another OSError where it can't be opened, ValueError
    where it can't be read or is too large. All name the file and say what to do.
    """
    if content is None:
        content = _file_content(path)
    with _reading(path, content), Image.open(io.BytesIO(content)) as image:
        width, height = image.size
        if largest_side is None or max(width, height) <= largest_side:
            image.load()
            return as_rgb(_upright(image), content)
    raise ValueError(
        f"{printable(path)} is {width}x{height} px; the limit is {largest_side} px per side. "
        "Scale it down first."
    )


def open_frames(path: Path, room: Callable[[int, int, int], None]) -> list[Image.Image]:
    """All frames of an animation, or all pages of a TIFF; the one picture of any other file.

    All are of the first one's size, those of another are left out, and of one mode: RGBA if any is
    transparent. Of the several pictures in a camera's MPO, the first. room: told frames, height and width
    before any is decoded; it raises an error if that is too much.
    Raises as `open_picture`.
    """
    content = _file_content(path)
    with _reading(path, content), Image.open(io.BytesIO(content)) as image:
        count = 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))
        width, height = image.size
    room(count, height, width)
    frames: list[Image.Image] = []
    with _reading(path, content), Image.open(io.BytesIO(content)) as image:
        for index in range(count):
            image.seek(index)
            frame = as_rgb(_upright(image), content)
            if not frames or frame.size == frames[0].size:
                frames.append(frame)
    transparent = any(frame.mode == "RGBA" for frame in frames)
    return [frame.convert("RGBA") for frame in frames] if transparent else frames


@contextmanager
def _reading(path: Path, content: bytes) -> Iterator[None]:
    """Turns what Pillow's readers raise into a ValueError that names the file, what it is, and what to do."""
    try:
        yield
    except UnusableValues as error:
        advice = "Save it with values from 0 (black) to 1 (white)."
        raise ValueError(f"Can't read the picture {printable(path)} ({error}). {advice}") from error
    # Pillow's readers raise many kinds of errors for damaged files
    except Exception as error:
        unknown = isinstance(error, UnidentifiedImageError)
        reason, advice = what_it_is(content) if unknown else (f"damaged or incomplete: {error}", GET_AGAIN)
        raise ValueError(f"Can't read the picture {printable(path)} ({reason}). {advice}") from error


def _file_content(path: Path) -> bytes:
    try:
        if path.is_file():
            return path.read_bytes()
        is_folder = path.is_dir()
    except OSError as error:
        reason = f"Can't open the picture {printable(path)} ({error.strerror})."
        raise type(error)(f"{reason} Check its name and its permissions, or copy it elsewhere.") from error
    if is_folder:
        raise IsADirectoryError(f"{printable(path)} is a folder. Name a picture in it.")
    raise FileNotFoundError(f"No picture at {printable(path)}. Check the path.")


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    # the pixels are whole: a damaged note on how the camera was held says nothing
    except Exception:
        return image.copy()


def open_rgb(path: Path, content: bytes | None = None) -> Image.Image:
    """A picture file as RGB, on white where it is transparent. Otherwise as `open_picture`."""
    return on_colour(open_picture(path, content), "white")


def on_colour(image: Image.Image, colour: str) -> Image.Image:
    """A picture of `open_picture` as RGB, on `colour` where it is transparent."""
    if image.mode == "RGB":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, colour), image).convert("RGB")


def check_pictures(
    images_BCHW: Tensor,
    what: str = "picture",
    channels: Collection[int] = (1, 3, 4),
    smallest_side: int = SMALLEST_SIDE,
) -> Tensor:
    """The pictures as float32 in 0..1 on the CPU, after checks whose messages name `what`.

    On the CPU, because all that follows works with Pillow and numpy.

    images_BCHW: one channel (grey) becomes three. Values a little outside 0..1, as resampling leaves them,
    are clamped; unsigned integers (8 and 16 bits) are scaled by their range. channels: the counts allowed.
    Raises ValueError for a wrong shape, no picture, a side below `smallest_side` px, NaN or infinity.
    """
    _check_shape(list(images_BCHW.shape), what, channels, smallest_side)
    images_BCHW = images_BCHW.cpu()
    broken = int((~torch.isfinite(images_BCHW)).sum())
    if broken:
        raise ValueError(
            f"The {what} holds NaN or infinity ({counted(broken, 'value')}): expected 0 to 1. The previous "
            "node produced invalid values; a VAE in half precision often does: run it in fp32 or bf16."
        )
    largest = _INTEGER_RANGES.get(images_BCHW.dtype)
    images_BCHW = images_BCHW.float() if largest is None else images_BCHW.float() / largest
    if images_BCHW.shape[1] == 1:
        images_BCHW = images_BCHW.expand(-1, 3, -1, -1)
    return images_BCHW.clamp(0, 1)


def _check_shape(shape: list[int], what: str, channels: Collection[int], smallest_side: int) -> None:
    if len(shape) != 4:
        raise ValueError(
            f"The {what} must be pictures of shape [batch, channels, height, width], got {shape}. "
            "Add the batch axis, and put the channels second."
        )
    if shape[1] not in channels:
        forms = ", or ".join(_FORMS[count] for count in channels)
        raise ValueError(f"The {what} has the wrong number of channels: expected {forms}, got {shape[1]}.")
    height, width = shape[2:]
    if 0 in shape:
        raise ValueError(
            f"The {what} holds no picture (shape {shape}): expected at least one picture with pixels. "
            "Check the node that feeds it."
        )
    if min(height, width) < smallest_side:
        raise ValueError(
            f"The {what} is {width}×{height} px: at least {smallest_side} px on each side are needed. "
            "Load a larger picture, or check the crop before it."
        )


def check_single(images_BCHW: Tensor, what: str = "picture") -> Tensor:
    """The same tensor when it holds one picture. Raises ValueError when it is a batch."""
    if images_BCHW.shape[0] != 1:
        raise ValueError(
            f"The {what} must be one picture, got a batch of {images_BCHW.shape[0]}. "
            "Pick one, for example with the node 'ImageFromBatch'."
        )
    return images_BCHW


def flatten_alpha(images_BCHW: Tensor, background: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Tensor:
    """[B, 3, H, W]: pictures with a fourth channel laid over the background, others as they are."""
    if images_BCHW.shape[1] == 3:
        return images_BCHW
    alpha_B1HW = images_BCHW[:, 3:]
    ground_1C11 = images_BCHW.new_tensor(background).view(1, 3, 1, 1)
    return images_BCHW[:, :3] * alpha_B1HW + ground_1C11 * (1 - alpha_B1HW)


def imagenet_normalized(images: Tensor) -> Tensor:
    """Pictures [..., 3, H, W] in 0..1 at ImageNet's mean 0 and standard deviation 1."""
    mean_311, std_311 = (images.new_tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return (images - mean_311) / std_311


def fit_within(images_BCHW: Tensor, side: int = LARGEST_WORKING_SIDE) -> Tensor:
    """The pictures, reduced (antialiased, proportions kept) until the longer side has at most `side` px."""
    height, width = images_BCHW.shape[-2:]
    longer = max(height, width)
    if longer <= side:
        return images_BCHW
    size = (max(1, round(height * side / longer)), max(1, round(width * side / longer)))
    return F.interpolate(images_BCHW, size, mode="bilinear", antialias=True)


def to_pil(image_3HW: Tensor) -> Image.Image:
    """One picture as 8-bit RGB, as the libraries' processors take it."""
    pixels_HW3 = (image_3HW.clamp(0, 1) * 255).round().to(torch.uint8).movedim(0, -1).cpu().numpy()
    return Image.fromarray(pixels_HW3)


def drawn_picture(image_3HW: Tensor, enlarge: int = 1) -> Image.Image:
    """A drawn picture of 0..1 as 8-bit RGB, enlarged by a whole factor."""
    # truncated, as the official code does
    array = (image_3HW.permute(1, 2, 0).cpu().numpy() * 255).astype(np.uint8)
    image = Image.fromarray(array)
    if enlarge == 1:
        return image
    return image.resize((image.width * enlarge, image.height * enlarge), Image.Resampling.BICUBIC)


def from_pil(image: Image.Image) -> Tensor:
    """[channels of the picture's mode, H, W] in 0..1 of an 8-bit picture (L, RGB or RGBA)."""
    pixels_HWC = np.asarray(image, dtype=np.float32) / 255
    return torch.from_numpy(pixels_HWC.reshape(*pixels_HWC.shape[:2], -1)).permute(2, 0, 1)


def middle_of_strip(image: Image.Image) -> Image.Image:
    """A picture no more than 64 times as long as wide: the middle of a longer one, others unchanged.

    For whoever scales by the shorter side and keeps the middle: scaled whole, a strip would take gigabytes.
    """
    longest = _LONGEST_STRIP * min(image.size)
    width, height = (min(length, longest) for length in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    unchanged = (width, height) == image.size
    return image if unchanged else image.crop((left, top, left + width, top + height))


def cover_crop(image: Image.Image, size_hw: Sequence[int]) -> Image.Image:
    """The picture scaled to cover `size_hw` (LANCZOS), and its middle: height and width in pixels."""
    image = middle_of_strip(image)
    height, width = size_hw
    scale = max(height / image.height, width / image.width)
    # never below the size: rounding down would leave a strip without pixels
    scaled_wh = (max(width, int(image.width * scale)), max(height, int(image.height * scale)))
    left, top = (scaled_wh[0] - width) // 2, (scaled_wh[1] - height) // 2
    resized = image.resize(scaled_wh, Image.Resampling.LANCZOS)
    return resized.crop((left, top, left + width, top + height))


def reduced(images_BCHW: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """At a smaller size: the mean of each pixel's area. Pictures or masks of that size stay as they are."""
    if tuple(images_BCHW.shape[-2:]) == size_hw:
        return images_BCHW
    return F.interpolate(images_BCHW.float(), size_hw, mode="area")
