"""Between ComfyUI and the core: wire types, schemas that fit the installed version, pictures, its VAE, files.

ComfyUI pictures are [B, H, W, C] (IMAGE) and masks [B, H, W] (MASK), float 0..1; the core takes [B, C, H, W].
"""

from __future__ import annotations

import inspect
import logging
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import comfy.model_management as mm
import folder_paths
import numpy as np
import torch
from comfy_api.latest import io
from PIL import Image
from torch import Tensor

from echogen_core.checkpoints.walk import Entry, FileStamp, Search, entries, is_text, stamp_of
from echogen_core.config import TokenizerConfig
from echogen_core.disk import explained, failure
from echogen_core.encoders import reference_picture
from echogen_core.features import ContentFeatures
from echogen_core.printable import printable
from echogen_core.subject.pictures import check_picture, fit_within, flatten_alpha, to_pil
from echogen_core.writing import Numbered, write_picture

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

_LATER_SCHEMA_FIELDS = ("search_aliases", "has_intermediate_output")


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
    """The core's pictures as a ComfyUI IMAGE: [B, H, W, C], see `handed_on`."""
    return handed_on(images_BCHW.movedim(1, -1)).contiguous()


def handed_on(x_BHW: Tensor) -> Tensor:
    """An IMAGE or a MASK where and as ComfyUI keeps them between nodes: float32 on the CPU by default.

    --gpu-only keeps them on the card, --fp16-intermediates (of newer versions) as float16.
    """
    dtype = getattr(mm, "intermediate_dtype", lambda: torch.float32)()
    return x_BHW.to(mm.intermediate_device(), dtype)


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


class VaeContentEncoder:
    """ComfyUI's FLUX VAE in the place of a content encoder.

    Its `encode` gives what the model was trained with, up to sampling: the posterior's mode, unscaled and
    unshifted. It looks after its own memory.
    """

    def __init__(self, vae: Any, reference_size: int) -> None:
        """reference_size: side of the square picture that is encoded. ValueError: another VAE than FLUX's."""
        _check_flux(vae)
        self._vae = vae
        self._reference_size = reference_size

    def encode(self, images_B3HW: Tensor, device: torch.device | str | None = None) -> ContentFeatures:
        """Float32 latents of pictures of one subject, any size; ValueError as `check_pictures`.

        device: without effect, the VAE knows where it computes.
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
    """ValueError when a tokenizer of other sizes than `owner`'s is connected."""
    if (tokenizer.bits, tokenizer.patch) != (bits, patch):
        raise ValueError(
            f"The tokenizer is of {tokenizer.bits} bits and {tokenizer.patch} px a token, {owner} of {bits} "
            f"bits and {patch} px. Connect the tokenizer that their model was trained on (d{bits})."
        )


def new_output(prefix: str, ending: str) -> Numbered:
    """Names in ComfyUI's output folder, numbered like its pictures, for a file that takes the first free one.

    ValueError when the prefix is no name, or leads out of that folder; OSError when it cannot be read.
    """
    root = folder_paths.get_output_directory()
    if "\0" in prefix or len(prefix) > 240 or prefix != prefix.encode("utf-8", "replace").decode():
        raise ValueError(f"Expected a name for files, got {printable(prefix)!r}: no disk takes all of it.")
    target = os.path.abspath(os.path.join(root, os.path.dirname(os.path.normpath(prefix))))
    if not Path(target).is_relative_to(os.path.abspath(root)):
        raise ValueError(
            f"Expected a name inside ComfyUI's output folder, got {printable(prefix)!r}. Leave out '..' and "
            "drives."
        )
    with explained(Path(root) / prefix):
        folder, name, counter, _, _ = folder_paths.get_save_image_path(prefix, root)
    return Numbered(Path(folder), name, ending, counter)


def kept_files(subfolder: str, ending: str) -> Iterator[tuple[str, Entry]]:
    """(name as ComfyUI writes it, file) of what lies in the input folder and below output/`subfolder`."""
    below = Search((ending,), links=False, hidden=True)
    for entry in entries(folder_paths.get_input_directory(), below._replace(deep=False)):
        yield entry.name, entry
    for entry in entries(os.path.join(folder_paths.get_output_directory(), subfolder), below):
        yield f"{subfolder}/{entry.name} [output]", entry


def kept_file(name: object) -> Path:
    """The file that such a name stands for.

    Raises ValueError when it lies outside ComfyUI's input and output folders or is no name, FileNotFoundError
    when there is no such file.
    """
    if not isinstance(name, str):
        raise ValueError(f"Expected the name of a file, got {printable(name)}.")
    roots = (folder_paths.get_input_directory(), folder_paths.get_output_directory())
    below, folder = folder_paths.annotated_filepath(name)
    path = Path(os.path.abspath(os.path.join(folder or roots[0], below)))
    if not any(path.is_relative_to(os.path.abspath(root)) for root in roots):
        raise ValueError(f"Expected a file in ComfyUI's input or output folder, got {printable(name)!r}.")
    if not is_text(name) or not isinstance(stamp_of(path), FileStamp):
        raise FileNotFoundError(
            f"{printable(name)} is not there. Save a subject first, or put a shared one into {roots[0]}."
        )
    return path


def keep_for_session(picture: Image.Image, prefix: str) -> dict[str, str]:
    """Writes a picture into ComfyUI's temporary folder; its name as the front end asks for it.

    Nothing where the folder takes none, see `only_shown`.
    """
    name = f"{prefix}_{uuid.uuid4().hex[:12]}.jpg"
    path = Path(folder_paths.get_temp_directory()) / name

    def write() -> dict[str, str]:
        write_picture(path, picture, "JPEG", lasting=False, quality=92)
        return {"filename": name, "subfolder": "", "type": "temp"}

    return only_shown(write)[0]


def only_shown(write: Callable[[], dict[str, Any]]) -> tuple[dict[str, Any], str]:
    """What `write` gives, which puts pictures to look at into ComfyUI's temporary folder; and ''.

    A folder that is full, or that cannot be written, costs these pictures and not the results behind them:
    then nothing and the reason. The log has it once.
    """
    folder = folder_paths.get_temp_directory()
    try:
        return write(), ""
    except OSError as error:
        kept = "The results are not touched."
        about = error if error.strerror is None else failure(error, Path(folder) / "preview", kept=kept)
        reason = f"Not shown: {about}"
    if folder not in _full_folders:
        _full_folders.add(folder)
        logger.warning("Pictures that nodes only show are left out. %s", reason)
    return {}, reason


_full_folders: set[str] = set()
"""Temporary folders that the log has named."""
