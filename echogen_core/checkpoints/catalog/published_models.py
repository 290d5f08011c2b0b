"""The published models as data: which files, from which repository, how large, into which ComfyUI folder.

Sizes and hashes are given where they are publicly documented; the hub names the others at download.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ...config import PRESETS
from ...encoders import ENCODERS

WEB = "https://huggingface.co"


@dataclass(frozen=True)
class PublishedFile:
    """A file of a repository: its name there, bytes and sha256; None where that is not documented."""

    name: str
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class PublishedPart:
    """What fills one slot of a model: a file, or the files of one folder.

    hub: repository on the hub; None: not published. gigabytes: its size; in_fp32: the same if it is stored in
    fp32, for a file whose precision is not documented; about: both in words. folder: ComfyUI's kind of model
    folder; subfolder: the folder inside it that the files stand in.
    licence: what to do before the hub hands the file out, for a gated repository.
    """

    kind: str
    hub: str | None
    files: tuple[PublishedFile, ...]
    gigabytes: float
    about: str
    folder: str
    subfolder: str = ""
    licence: str = ""
    in_fp32: float | None = None

    @property
    def name(self) -> str:
        """What stands in ComfyUI's folder."""
        return self.subfolder or self.files[0].name

    @property
    def source(self) -> str:
        """Where to get it, in words."""
        return f"{WEB}/{self.hub}" if self.hub else "nowhere yet: its authors have not published it"


_FLAN_T5 = PublishedPart(
    "text",
    "google/flan-t5-xl",
    (
        PublishedFile("config.json"),
        PublishedFile("tokenizer.json"),
        PublishedFile("model.safetensors.index.json"),
        PublishedFile("model-00001-of-00002.safetensors"),
        PublishedFile("model-00002-of-00002.safetensors"),
    ),
    11.4,
    "a folder, about 11.4 GB",
    "text_encoders",
    subfolder="flan-t5-xl",
)
_DINOV2 = PublishedPart(
    "semantic",
    "facebook/dinov2-base",
    (
        PublishedFile("config.json"),
        PublishedFile(
            "model.safetensors",
            346_345_912,
            "d73036b56966966d07975d696bde331762f37297e2f095de8cea0040c3aa0841",
        ),
    ),
    0.35,
    "a folder, 0.35 GB",
    "clip_vision",
    subfolder="dinov2-base",
)
_FLUX_VAE = PublishedPart(
    "content",
    "black-forest-labs/FLUX.1-dev",
    (
        PublishedFile(
            "ae.safetensors", 335_304_388, "afc8e28272cd15db3919bacdb6918ce9c1ed22e96cb12c4d5ed0fba823529e38"
        ),
    ),
    0.34,
    "0.34 GB",
    "vae",
    licence=f"sign in at {WEB}/black-forest-labs/FLUX.1-dev and accept its licence; make a token at "
    f"{WEB}/settings/tokens and store it with `hf auth login` (or set HF_TOKEN). If you've used "
    "FLUX.1 in ComfyUI, you already have the file",
)
_INFINITY = "FoundationVision/Infinity"
_TOKENIZER_D32 = PublishedPart(
    "tokenizer", _INFINITY, (PublishedFile("infinity_vae_d32reg.pth"),), 0.44, "about 0.44 GB", "vae"
)

PUBLISHED: dict[str, tuple[PublishedPart, ...]] = {
    "echogen-2b": (
        PublishedPart(
            "transformer",
            "UmiSonoda16/EchoGen",
            (PublishedFile("echogen_2b.pth"),),
            9.7,
            "about 9.7 GB in bf16, 19.4 GB in fp32",
            "diffusion_models",
            in_fp32=19.4,
        ),
        _TOKENIZER_D32,
        _FLAN_T5,
        _DINOV2,
        _FLUX_VAE,
    ),
    "echogen-0.1b": (
        PublishedPart(
            "transformer",
            None,
            (PublishedFile("echogen_0.1b.safetensors"),),
            0.55,
            "about 0.55 GB in bf16",
            "diffusion_models",
        ),
        replace(_TOKENIZER_D32, files=(PublishedFile("infinity_vae_d16.pth"),)),
        _FLAN_T5,
        _DINOV2,
        _FLUX_VAE,
    ),
    "infinity-2b": (
        PublishedPart(
            "transformer",
            _INFINITY,
            (PublishedFile("infinity_2b_reg.pth"),),
            4.4,
            "about 4.4 GB in bf16, 8.8 GB in fp32",
            "diffusion_models",
            in_fp32=8.8,
        ),
        _TOKENIZER_D32,
        _FLAN_T5,
    ),
}
"""Published model -> its parts. infinity-2b is text to image: EchoGen-2B's base, without the subject path."""

FOLDERS: dict[str, str] = {part.kind: part.folder for part in PUBLISHED["echogen-2b"]}
"""Part of a model -> ComfyUI's folder for it. models/echogen may hold any of them as well."""


def expected_config(model: str, kind: str) -> Any:
    """The sizes that a part of a published model has, as its file shows them."""
    if kind in ("text", "semantic", "content"):
        return getattr(ENCODERS[model if model in ENCODERS else "echogen-2b"], kind)
    if model == "infinity-2b":
        preset = PRESETS["echogen-2b"]
        return replace(preset.transformer, subject=False) if kind == "transformer" else preset.tokenizer
    return getattr(PRESETS[model], kind)
