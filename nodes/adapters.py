"""Adapters between ComfyUI and the core: wire types, schemas, pictures, the VAE, and ComfyUI's own folders.

ComfyUI pictures are [B, H, W, C] (IMAGE) and masks [B, H, W] (MASK), float 0..1; the core takes [B, C, H, W].
"""

from __future__ import annotations

import inspect
import logging
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import comfy.model_management as mm
import folder_paths
import numpy as np
import torch
from comfy_api.latest import io
from PIL import Image
from torch import Tensor

from echogen_core.checkpoints.catalog.folder_listing import FileStamp, is_text, stamp_of
from echogen_core.checkpoints.catalog.walk import Entry, Search, entries
from echogen_core.config import TokenizerConfig
from echogen_core.encoders import reference_picture
from echogen_core.features import ContentFeatures
from echogen_core.pictures import check_pictures, fit_within, flatten_alpha, from_pil, to_pil
from echogen_core.utils.disk import explained, failure
from echogen_core.utils.file_names import fill_dates, parts_below
from echogen_core.utils.printable import printable
from echogen_core.utils.writing import Numbered, write_atomically, write_picture

from . import memory_checks

logger = logging.getLogger(__name__)

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
BoundingBox = io.Custom("BOUNDING_BOX")  # by its name: ComfyUI 0.3.75 has no class for it yet
Guidance = io.Custom("ECHOGEN_GUIDANCE")
Edit = io.Custom("ECHOGEN_EDIT")
Regions = io.Custom("ECHOGEN_REGIONS")

_MAX_PREFIX = 240  # characters
_KINDS_OF_FOLDERS = ("input", "output", "temp")
_LATER_SCHEMA_FIELDS = ("search_aliases", "has_intermediate_output")


def schema(**fields: Any) -> io.Schema:
    """An io.Schema without the fields that the installed ComfyUI does not have yet."""
    known = inspect.signature(io.Schema).parameters
    return io.Schema(**{k: v for k, v in fields.items() if k in known or k not in _LATER_SCHEMA_FIELDS})


def advanced(kind: type[Any], *args: Any, **options: Any) -> Any:
    """An input that newer versions of ComfyUI show under 'advanced'; an ordinary one in older versions."""
    if "advanced" in inspect.signature(kind).parameters:
        options["advanced"] = True
    return kind(*args, **options)


def pictures_from(image_BHWC: Tensor, what: str, keep_alpha: bool = False, full_size: bool = False) -> Tensor:
    """A ComfyUI IMAGE as the core takes it: [B, 3, H, W], alpha laid on white, at most 2048 px a side.

    keep_alpha: [B, 4, H, W] for pictures with an alpha channel. full_size: of any size, as they are.
    Raises ValueError, naming `what`, for an unusable picture, MemoryError where there is no room to work.
    """
    memory_checks.require_for_pictures(image_BHWC, f"{what}s")
    channels_first = image_BHWC.movedim(-1, 1) if image_BHWC.ndim == 4 else image_BHWC
    images_BCHW = check_pictures(channels_first, what)
    images_BCHW = images_BCHW if keep_alpha else flatten_alpha(images_BCHW)
    return images_BCHW if full_size else fit_within(images_BCHW)


def to_image(images_BCHW: Tensor) -> Tensor:
    """The core's pictures [B, C, H, W] as a ComfyUI IMAGE: [B, H, W, C], see `to_intermediate`."""
    return to_intermediate(images_BCHW.movedim(1, -1)).contiguous()


def to_intermediate(x_BHW: Tensor) -> Tensor:
    """An IMAGE or MASK on the device and in the dtype that ComfyUI passes between nodes.

    By default float32 on the CPU; on the card with --gpu-only, float16 with --fp16-intermediates.
    """
    dtype = getattr(mm, "intermediate_dtype", lambda: torch.float32)()
    return x_BHW.to(mm.intermediate_device(), dtype)


def contact_sheet(images_B3HW: Tensor, longest: int = 1024) -> Image.Image:
    """The pictures [B, 3, H, W] in a near-square grid; several are reduced to `longest` pixels a side."""
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
    """IMAGE [1, H, W, 3] and MASK [1, H, W], 1 where the picture is opaque.

    The mask of a picture without transparency is 64×64 zeros, as Load Image's.
    """
    image_1HW3 = from_pil(picture.convert("RGB")).permute(1, 2, 0)[None]
    if not picture.has_transparency_data:
        return image_1HW3, torch.zeros(1, 64, 64)
    return image_1HW3, from_pil(picture.convert("RGBA").getchannel("A"))


class VaeContentEncoder:
    """ComfyUI's FLUX VAE as a content encoder.

    The model was trained on samples of the VAE's posterior, unscaled and unshifted; this gives the mode.
    ComfyUI's VAE manages its own memory.
    """

    def __init__(self, vae: Any, reference_size: int) -> None:
        """reference_size: side of the square that is encoded, in pixels. ValueError: not FLUX's VAE."""
        _check_flux(vae)
        self._vae = vae
        self._reference_size = reference_size

    def encode(self, images_B3HW: Tensor, device: torch.device | str | None = None) -> ContentFeatures:
        """Float32 latents [B, 16, h, w] of pictures [B, 3, H, W] of one subject, any size.

        device: unused, the VAE chooses its own. Raises ValueError for unusable pictures.
        """
        pictures_B3HW = reference_picture(images_B3HW, self._reference_size)
        return ContentFeatures(self._vae.encode(pictures_B3HW.movedim(1, -1)).float())


def _check_flux(vae: Any) -> None:
    channels, factor = vae.latent_channels, vae.spacial_compression_encode()
    name = type(vae.first_stage_model).__name__
    if (channels, factor, vae.latent_dim) == (16, 8, 2) and name != "TAESD":
        return
    kinds = {(4, 8, 2): "Stable Diffusion's or SDXL's", (16, 8, 2): "a fast approximation (TAESD)"}
    kind = (
        "a video VAE"
        if vae.latent_dim == 3
        else kinds.get((channels, factor, vae.latent_dim), "an unknown one")
    )
    raise ValueError(
        f"Expected FLUX.1's VAE (ae.safetensors: 16 channels, factor 8), got {kind} ({name}, {channels} "
        f"channels, factor {factor}). Choose ae.safetensors in Load VAE."
    )


def check_tokenizer(tokenizer: TokenizerConfig, bits: int, patch: int, owner: str) -> None:
    """Raises ValueError if the tokenizer's sizes are not those of `owner`."""
    if (tokenizer.bits, tokenizer.patch) != (bits, patch):
        raise ValueError(
            f"The tokenizer has {tokenizer.bits} bits and {tokenizer.patch} px per token, {owner} {bits} bits"
            f" and {patch} px. Connect the tokenizer that the model was trained on (d{bits})."
        )


def new_output(prefix: str, ending: str, default: str) -> Numbered:
    """Numbered file names in ComfyUI's output folder, starting where ComfyUI's own numbering would.

    prefix, default: see `parts_below`; ComfyUI's %date:...%, %year% and the like are filled in.
    Raises ValueError for what can't be a visible file's name or leads out of that folder, OSError where the
    folder cannot be read.
    """
    root = os.path.abspath(folder_paths.get_output_directory())
    if len(prefix) > _MAX_PREFIX:
        raise ValueError(f"Expected a file name, got {len(prefix)} characters. Use at most {_MAX_PREFIX}.")
    if os.path.isabs(prefix) and Path(os.path.abspath(prefix)).is_relative_to(root):
        prefix = os.path.relpath(prefix, root)
    path = os.path.join(*parts_below(fill_dates(prefix, datetime.now()), default))
    with explained(Path(root) / path):
        folder, name, counter, _, _ = folder_paths.get_save_image_path(path, root)
    return Numbered(Path(folder), name, ending, counter)


def below_output(path: Path) -> str:
    """A file's path below ComfyUI's output folder, with / on every system."""
    return Path(os.path.relpath(path, folder_paths.get_output_directory())).as_posix()


def subject_files(subfolder: str, ending: str) -> Iterator[tuple[str, Entry]]:
    """(annotated name, file) of the files in ComfyUI's input folder and below output/`subfolder`."""
    below = Search((ending,), links=False, hidden=True)
    for entry in entries(folder_paths.get_input_directory(), below._replace(deep=False)):
        yield entry.name, entry
    for entry in entries(os.path.join(folder_paths.get_output_directory(), subfolder), below):
        yield f"{subfolder}/{entry.name} [output]", entry


def subject_file(name: object) -> Path:
    """The file of a saved subject with such an annotated name. Raises as `annotated_file`."""
    folder = folder_paths.get_input_directory()
    advice = f"Save a subject first, or put a shared one into {folder}."
    return annotated_file(name, advice, ("input", "output"))


def input_pictures() -> list[str]:
    """Names of the pictures in ComfyUI's input folder, as Load Image lists them."""
    found = entries(folder_paths.get_input_directory(), Search(("",), deep=False))
    return sorted(folder_paths.filter_files_content_types([entry.name for entry in found], ["image"]))


def address_of(path: Path) -> dict[str, str]:
    """A file's address for the front end, if it lies in one of ComfyUI's folders."""
    for kind in _KINDS_OF_FOLDERS:
        root = Path(os.path.abspath(folder_paths.get_directory_by_type(kind)))
        if path.is_relative_to(root):
            below = path.relative_to(root)
            subfolder = "" if below.parent == Path() else below.parent.as_posix()
            return {"filename": below.name, "subfolder": subfolder, "type": kind}
    raise ValueError(f"Expected a file in ComfyUI's folders, got '{printable(path)}'.")


def annotated_file(name: object, advice: str, kinds: Sequence[str] = _KINDS_OF_FOLDERS) -> Path:
    """The file with an annotated name: 'photo.png' in ComfyUI's input folder, or 'photo.png [output]'.

    advice: what to do if there is none. kinds: the folders of ComfyUI that may hold it.
    Raises ValueError for anything but a name inside these folders, FileNotFoundError if there is no such
    file.
    """
    if not isinstance(name, str):
        raise ValueError(f"Expected a file name, got {printable(name)}. Choose one from the list.")
    below, folder = folder_paths.annotated_filepath(name)
    path = Path(os.path.abspath(os.path.join(folder or folder_paths.get_input_directory(), below)))
    roots = map(folder_paths.get_directory_by_type, kinds)
    if not any(path.is_relative_to(os.path.abspath(root)) for root in roots):
        raise ValueError(
            f"Expected a file in ComfyUI's input or output folder, got '{printable(name)}'. "
            "Choose one from the list."
        )
    if not is_text(name) or not isinstance(stamp_of(path), FileStamp):
        raise FileNotFoundError(f"'{printable(name)}' does not exist. {advice}")
    return path


def save_preview(picture: Image.Image, prefix: str) -> dict[str, str]:
    """Writes a picture into ComfyUI's temporary folder and returns its address for the front end.

    {} where it could not be written, see `best_effort`.
    """
    name = f"{prefix}_{uuid.uuid4().hex[:12]}.jpg"
    path = Path(folder_paths.get_temp_directory()) / name

    def write() -> dict[str, str]:
        write_picture(path, picture, "JPEG", fsync=False, quality=92)
        return {"filename": name, "subfolder": "", "type": "temp"}

    return best_effort(write)[0]


def copy_to_temporary(file: Path) -> dict[str, str]:
    """Copies a file of the pack into ComfyUI's temporary folder, unless it is there, and returns its address.

    Raises OSError where it can't be written.
    """
    copy = Path(os.path.abspath(folder_paths.get_temp_directory())) / CATEGORY.lower() / file.name
    if not copy.is_file():
        content = file.read_bytes()
        write_atomically(copy, lambda target: target.write(content), len(content), fsync=False)
    return address_of(copy)


def best_effort(write: Callable[[], dict[str, Any]]) -> tuple[dict[str, Any], str]:
    """The result of `write`, which saves previews into ComfyUI's temporary folder, and ''.

    On an OSError {} and the reason: a full disk must cost the previews only, not the results. Logged once.
    """
    folder = folder_paths.get_temp_directory()
    try:
        return write(), ""
    except OSError as error:
        unaffected = "The results are not affected."
        path = Path(folder) / "preview"
        about = error if error.strerror is None else failure(error, path, outcome=unaffected)
        reason = f"Not shown: {about}"
    if folder not in _full_folders:
        _full_folders.add(folder)
        logger.warning("Previews are left out. %s", reason)
    return {}, reason


_full_folders: set[str] = set()
"""Temporary folders whose failure has been logged."""
