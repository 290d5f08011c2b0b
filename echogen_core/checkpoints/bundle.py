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
from ..encoders.sizes import find_encoders
from ..model import EchoGenTransformer
from ..scales import find_schedule
from ..tokenizer import BitTokenizer
from ..utils.writing import write_text
from .catalog.installed import find_parts, own_name
from .catalog.missing_files import missing_model_message
from .catalog.published_models import PUBLISHED
from .format import KINDS
from .load import load_part
from .save import save_part

ASSETS = Path(__file__).resolve().parents[1] / "assets"
"""Weights that come with the pack, one folder a preset."""


SearchFolders = Sequence[str | Path] | Mapping[str, Sequence[Path]]
"""Folders to search in order: the same for all kinds, or kind -> folders."""


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
        """Kind -> module, in the order of format.KINDS."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name in KINDS}


def load_bundle(
    name: str,
    directory: str | Path | SearchFolders | None = None,
    *,
    operations: Any = nn,
    dtype: torch.dtype | None = torch.float32,
    transformer_dtype: torch.dtype | None = None,
    compute_dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    transformer: str | Path | None = None,
) -> Bundle:
    """Load all parts of a preset.

    Args:
        name: a key of config.PRESETS or CANDIDATES.
        directory: where the files are: one folder, several to search in order, or several for each kind.
            None: the weights in the pack.
        operations, dtype, compute_dtype, device: as `load`. transformer_dtype: of the transformer, where it
            differs from `dtype`.
        transformer: a file to load as the transformer, whatever `directory` holds (subject parameters that
            were just trained, say). The base model of such a file is looked for beside it, then in
            `directory`.
    Raises:
        FileNotFoundError: lists the missing files, their sizes, where to get them and where to put them.
        ValueError: no such preset, a damaged file, or parts that do not fit together.
    """
    preset = find_preset(name)
    folders = _search_folders(name, directory)
    chosen = {} if transformer is None else {"transformer": Path(transformer)}
    paths = _find(name, folders, chosen)
    modules = {
        kind: load_part(
            path,
            kind,
            config=getattr(find_encoders(name), kind, None),
            operations=operations,
            dtype=(transformer_dtype or dtype) if kind == "transformer" else dtype,
            compute_dtype=compute_dtype,
            device=device,
            base=folders["transformer"],
        )
        for kind, path in paths.items()
    }
    bundle = Bundle(preset, **modules)
    _check_fit(bundle)
    return bundle


def save_bundle(
    bundle: Bundle, directory: str | Path, dtype: torch.dtype | None = torch.float16
) -> list[Path]:
    """Write every part as <kind>.safetensors, and tokenizer.json; returns the files.

    dtype: of the weights on disk; None keeps theirs. Raises ValueError and OSError as `save_part`.
    """
    directory = Path(directory)
    files = [
        save_part(directory / f"{kind}.safetensors", kind, module, module.config, dtype)
        for kind, module in bundle.parts().items()
    ]
    vocabulary = directory / TOKENIZER_FILE
    write_text(vocabulary, bundle.text.tokenizer.backend_tokenizer.to_str(pretty=True))
    return [*files, vocabulary]


def _search_folders(name: str, directory: str | Path | SearchFolders | None) -> Mapping[str, Sequence[Path]]:
    """Kind -> folders."""
    if isinstance(directory, Mapping):
        return directory
    if directory is None:
        directory = [ASSETS / name]
    elif isinstance(directory, str | Path):
        directory = [Path(directory)]
    return {kind: [Path(folder) for folder in directory] for kind in KINDS}


def _find(name: str, folders: Mapping[str, Sequence[Path]], chosen: Mapping[str, Path]) -> Mapping[str, Path]:
    """Kind -> file or folder: the chosen one, else the one found. FileNotFoundError lists what is missing."""
    found = find_parts(name, folders)
    found = replace(found, paths={**found.paths, **chosen})
    missing = [own_name(kind) for kind in KINDS if kind not in found.paths]
    if missing and name in PUBLISHED:
        raise FileNotFoundError(
            missing_model_message(name, found, {kind: folders[kind][0] for kind in KINDS})
        )
    if missing:
        searched = " or ".join(str(folder) for folder in folders[missing[0].partition(".")[0]])
        raise FileNotFoundError(
            f"{name} is incomplete: {', '.join(missing)} not found in {searched}. Choose the folder that "
            "holds them, or install the pack again: it comes with them."
        )
    return found.paths


def check_patch(preset: Preset, tokenizer: TokenizerConfig) -> None:
    """Raises ValueError unless the tokenizer gives pictures of the preset's size."""
    expected = find_schedule(preset.budget).patch
    if tokenizer.patch != expected:
        raise ValueError(
            f"{preset.name}: the tokenizer has {tokenizer.patch} px per token, the model expects {expected}. "
            "Use parts of the same model and version."
        )


def _check_fit(bundle: Bundle) -> None:
    """Raises ValueError when a part's sizes are not those that the transformer was trained with."""
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
                f"{expected}. Use parts of the same model."
            )
