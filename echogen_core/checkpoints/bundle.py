"""Bundles: all the parts of a preset, from the pack's own files or from published ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..config import PRESETS, Preset
from ..encoders import ENCODERS, TOKENIZER_FILE, ContentEncoder, SemanticEncoder, TextEncoder
from ..model import EchoGenTransformer
from ..tokenizer import BitTokenizer
from .format import KINDS
from .load import load_part
from .save import save_part

ASSETS = Path(__file__).resolve().parents[1] / "assets"
"""Weights that come with the pack, one folder a preset."""


@dataclass(frozen=True)
class PublishedFile:
    """A part of a published model: its file (or folder), where it comes from and how large it is."""

    kind: str
    name: str
    hub: str
    size: str


_FLAN_T5 = PublishedFile("text", "flan-t5-xl", "google/flan-t5-xl", "a folder, about 11.4 GB")
_DINOV2 = PublishedFile("semantic", "dinov2-base", "facebook/dinov2-base", "a folder, about 0.35 GB")
_FLUX_VAE = PublishedFile(
    "content",
    "ae.safetensors",
    "black-forest-labs/FLUX.1-dev",
    "about 0.34 GB; accept its licence first",
)

PUBLISHED: dict[str, tuple[PublishedFile, ...]] = {
    "echogen-2b": (
        PublishedFile(
            "transformer", "echogen_2b.pth", "UmiSonoda16/EchoGen", "about 9.7 GB in bf16, 19.4 GB in fp32"
        ),
        PublishedFile("tokenizer", "infinity_vae_d32reg.pth", "FoundationVision/Infinity", "about 0.44 GB"),
        _FLAN_T5,
        _DINOV2,
        _FLUX_VAE,
    ),
    "echogen-0.1b": (
        PublishedFile(
            "transformer",
            "echogen_0.1b.safetensors",
            "nowhere yet: its authors have not published it",
            "about 0.55 GB in bf16",
        ),
        PublishedFile("tokenizer", "infinity_vae_d16.pth", "FoundationVision/Infinity", "about 0.44 GB"),
        _FLAN_T5,
        _DINOV2,
        _FLUX_VAE,
    ),
}


@dataclass(frozen=True)
class Bundle:
    """The modules that belong together, ready for inference."""

    preset: Preset
    transformer: EchoGenTransformer
    tokenizer: BitTokenizer
    text: TextEncoder
    semantic: SemanticEncoder
    content: ContentEncoder

    def parts(self) -> dict[str, Any]:
        """Kind -> module, in the order of the file table."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name in KINDS}


def load_bundle(
    name: str,
    directory: str | Path | Sequence[str | Path] | None = None,
    *,
    operations: Any = nn,
    dtype: torch.dtype | None = torch.float32,
    device: torch.device | str = "cpu",
) -> Bundle:
    """All parts of a preset.

    Args:
        name: a key of config.PRESETS.
        directory: where the files are; several are searched in order. None: the weights in the pack.
        operations, dtype, device: as `load`.
    Raises:
        FileNotFoundError: names every missing file, its size, where it comes from and where it belongs.
        ValueError: no such preset, a damaged file, or parts that do not fit each other.
    """
    preset = _preset(name)
    places = _places(name, directory)
    paths = _find(name, places)
    modules = {
        kind: load_part(
            path,
            kind,
            config=getattr(ENCODERS[name], kind, None),
            operations=operations,
            dtype=dtype,
            device=device,
        )
        for kind, path in paths.items()
    }
    bundle = Bundle(preset, **modules)
    _check_fit(bundle)
    return bundle


def save_bundle(
    bundle: Bundle, directory: str | Path, dtype: torch.dtype | None = torch.float16
) -> list[Path]:
    """Every part as <kind>.safetensors with the prompt tokenizer beside them; returns the files."""
    directory = Path(directory)
    files = [
        save_part(directory / f"{kind}.safetensors", kind, module, module.config, dtype)
        for kind, module in bundle.parts().items()
    ]
    vocabulary = directory / TOKENIZER_FILE
    bundle.text.tokenizer.backend_tokenizer.save(str(vocabulary))
    return [*files, vocabulary]


def _preset(name: str) -> Preset:
    if name not in PRESETS:
        raise ValueError(f"Expected a model out of {', '.join(PRESETS)}, got {name!r}.")
    return PRESETS[name]


def _places(name: str, directory: str | Path | Sequence[str | Path] | None) -> list[Path]:
    if directory is None:
        return [ASSETS / name]
    if isinstance(directory, str | Path):
        return [Path(directory)]
    return [Path(place) for place in directory]


def _find(name: str, places: Sequence[Path]) -> dict[str, Path]:
    """Kind -> file or folder. Our own names (<kind>.safetensors) are looked for first, then the published."""
    published = {file.kind: file for file in PUBLISHED.get(name, ())}
    found: dict[str, Path] = {}
    missing: list[str] = []
    for kind in KINDS:
        names = [f"{kind}.safetensors", *([published[kind].name] if kind in published else [])]
        candidates = (place / file for place in places for file in names)
        path = next((path for path in candidates if path.exists()), None)
        if path is not None:
            found[kind] = path
        elif kind in published:
            file = published[kind]
            missing.append(f"- {file.name} ({file.size}) from {file.hub}")
        else:
            missing.append(f"- {names[0]}")
    if missing:
        where = " or ".join(str(place) for place in places)
        lines = "\n".join(missing)
        remedy = (
            "Fetch them from the model hub into that folder."
            if name in PUBLISHED
            else "They come with the pack: install it again, or train them (python -m echogen_core.training)."
        )
        raise FileNotFoundError(
            f"{name} is not complete: {len(missing)} of {len(KINDS)} parts are missing in {where}.\n"
            f"{lines}\n{remedy}"
        )
    return found


def _check_fit(bundle: Bundle) -> None:
    """ValueError when a part's sizes are not those that the transformer was made for."""
    wanted = bundle.transformer.config
    pairs = [
        ("tokenizer", "bits per token", bundle.tokenizer.config.bits, wanted.bits),
        ("text", "channels", bundle.text.config.width, wanted.text_width),
    ]
    if wanted.subject:
        semantic, content = bundle.semantic.config, bundle.content.config
        pairs += [
            ("semantic", "channels", semantic.width, wanted.semantic_width),
            ("semantic", "tokens", semantic.grid**2 + 1, wanted.semantic_length),
            ("content", "channels", content.latent_channels, wanted.content_width),
            ("content", "tokens", content.grid**2, wanted.content_length),
        ]
    for kind, unit, got, expected in pairs:
        if got != expected:
            raise ValueError(
                f"{bundle.preset.name}: the {kind} part has {got} {unit}, the transformer expects "
                f"{expected}. Use parts of one model."
            )
