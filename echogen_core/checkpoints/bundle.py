"""Bundles: all the parts of a preset, from the pack's own files or from published ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..config import Preset, TokenizerConfig, find_preset
from ..encoders import TOKENIZER_FILE, ContentEncoder, SemanticEncoder, TextEncoder
from ..encoders.config import find_encoders
from ..model import EchoGenTransformer
from ..scales import find_schedule
from ..tokenizer import BitTokenizer
from ..writing import write_text
from .format import KINDS
from .installed import find_parts, own_name, requests
from .load import load_part
from .published_models import PUBLISHED
from .save import save_part

ASSETS = Path(__file__).resolve().parents[1] / "assets"
"""Weights that come with the pack, one folder a preset."""


Places = Sequence[str | Path] | Mapping[str, Sequence[Path]]
"""Folders to search, for all kinds or kind -> folders."""


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
    directory: str | Path | Places | None = None,
    *,
    operations: Any = nn,
    dtype: torch.dtype | None = torch.float32,
    transformer_dtype: torch.dtype | None = None,
    compute_dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    transformer: str | Path | None = None,
) -> Bundle:
    """All parts of a preset.

    Args:
        name: a key of config.PRESETS or CANDIDATES.
        directory: where the files are; several (for each kind, if need be) are searched in order. None: the
            weights in the pack.
        operations, dtype, compute_dtype, device: as `load`. transformer_dtype: where that of the transformer
            is another.
        transformer: its very file, in the place of one to be found: subject parameters just trained, say.
    Raises:
        FileNotFoundError: names every missing file, its size, where it comes from and where it belongs.
        ValueError: no such preset, a damaged file, or parts that do not fit each other.
    """
    preset = find_preset(name)
    places = _places(name, directory)
    paths = _find(name, places, {} if transformer is None else {"transformer": Path(transformer)})
    modules = {
        kind: load_part(
            path,
            kind,
            config=getattr(find_encoders(name), kind, None),
            operations=operations,
            dtype=(transformer_dtype or dtype) if kind == "transformer" else dtype,
            compute_dtype=compute_dtype,
            device=device,
            base=places["transformer"],
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
    write_text(vocabulary, bundle.text.tokenizer.backend_tokenizer.to_str(pretty=True))
    return [*files, vocabulary]


def _places(name: str, directory: str | Path | Places | None) -> Mapping[str, Sequence[Path]]:
    """Kind -> folders."""
    if isinstance(directory, Mapping):
        return directory
    if directory is None:
        directory = [ASSETS / name]
    elif isinstance(directory, str | Path):
        directory = [Path(directory)]
    return {kind: [Path(place) for place in directory] for kind in KINDS}


def _find(name: str, places: Mapping[str, Sequence[Path]], given: Mapping[str, Path]) -> Mapping[str, Path]:
    """Kind -> file or folder, those of `given` before others; FileNotFoundError says what is missing."""
    found = find_parts(name, places)
    found = replace(found, paths={**found.paths, **given})
    missing = [own_name(kind) for kind in KINDS if kind not in found.paths]
    if missing and name in PUBLISHED:
        raise FileNotFoundError(requests(name, found, {kind: places[kind][0] for kind in KINDS}))
    if missing:
        where = " or ".join(str(place) for place in places[missing[0].partition(".")[0]])
        raise FileNotFoundError(
            f"{name} is not complete: {', '.join(missing)} missing in {where}. They come with the pack: "
            "install it again, or train them (python -m echogen_core.training)."
        )
    return found.paths


def check_patch(preset: Preset, tokenizer: TokenizerConfig) -> None:
    """ValueError when a tokenizer's pictures are not of the preset's size."""
    expected = find_schedule(preset.budget).patch
    if tokenizer.patch != expected:
        raise ValueError(
            f"{preset.name}: the tokenizer part has {tokenizer.patch} px per token, the model expects "
            f"{expected}. Use parts of one model, of one version."
        )


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
