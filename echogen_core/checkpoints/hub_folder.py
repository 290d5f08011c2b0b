"""A folder of the hub, or a configuration made from shapes, looked through before transformers builds it.

transformers builds whatever a config.json says and makes up the tensors that are missing: a number too large
costs hours or all memory before anything is compared. Here no number is out of bounds, and no more is built
than lies in the files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..encoders.text import TOKENIZER_FILE, check_tokens
from ..json_text import read_json
from .faults import AGAIN, printable
from .read import read_weights

WHOLE = "Download the whole folder again, tokenizer and preprocessor_config.json included."
LARGEST = 1 << 24
LARGEST_FLOAT = 1e12
MOST_LAYERS = 512
SLACK = 1 << 20
"""Numbers that a model may have beside those in its files: tables that it computes."""

BOUNDS: dict[str, tuple[int, int]] = {
    # setting -> least and most, where a layer or a picture is made from it
    "image_size": (1, 4096),
    "patch_size": (1, 256),
    "spatial_patch_size": (1, 256),
    "temporal_patch_size": (1, 16),
    "spatial_merge_size": (1, 16),
    "merge_size": (1, 16),
    "longest_edge": (1, 1 << 27),  # of Qwen's, pixels in all
    "shortest_edge": (1, 1 << 27),
    "height": (1, 8192),
    "width": (1, 8192),
    "min_pixels": (1, 1 << 27),
    "max_pixels": (1, 1 << 27),
    "num_feature_levels": (1, 16),
    "num_channels": (1, 16),
}
LAYERS = ("num_hidden_layers", "encoder_layers", "decoder_layers", "depth", "depths")
WINDOW = "window_size"
LARGEST_WINDOW = 64
"""Of Swin and SAM, which make a table of its fourth power. Qwen's counts pixels."""

ADAPTER = "adapter_config.json"
ELSEWHERE = frozenset({
    "auto_map", "backbone", "use_timm_backbone", "use_pretrained_backbone", "attn_implementation",
    "_attn_implementation", "_attn_implementation_internal", "experts_implementation",
})  # fmt: skip
"""Settings that name code or models to fetch."""

FREE = ("model_max_length",)
"""transformers writes 1e30 here for "any"."""

TEXTS = ("config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json",
         "video_preprocessor_config.json", "tokenizer_config.json", "special_tokens_map.json",
         "added_tokens.json", "chat_template.json", "tokenizer.json", "vocab.json")  # fmt: skip
"""What transformers may read in a folder besides the weights."""

_NUMBERS = TEXTS[:1] + TEXTS[2:5]


def read_folder(folder: Path, model_type: str) -> tuple[Mapping[str, Any], Mapping[str, Tensor]]:
    """The folder's config.json, and its tensors on the meta device; all other texts are looked through.

    Raises FileNotFoundError: no config.json. ValueError: a model of another type, a file that cannot be read
    or holds numbers that no model has, or no weights.
    """
    if (folder / ADAPTER).exists():
        raise ValueError(f"{folder} holds {ADAPTER}, which leads to another model. {WHOLE}")
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder} has no config.json. Download the whole folder from the hub.")
    settings = _read(folder / "config.json")
    if settings.get("model_type") != model_type:
        raise ValueError(
            f"{folder} holds a model of type {printable(settings.get('model_type'), 80)!r}, expected "
            f"{model_type!r}. Choose its folder."
        )
    try:
        tensors = read_weights(folder, shapes_only=True).tensors
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(f"{error} {WHOLE}") from error
    for name in TEXTS:
        if (folder / name).is_file():
            _read(folder / name, len(tensors) if name in _NUMBERS else None)
    return settings, tensors


def _read(path: Path, tensors: int | None = None) -> Mapping[str, Any]:
    """A text of names with values; its numbers are checked where the number of tensors is given."""
    try:
        settings = read_json(path, names_once=False)
        if not isinstance(settings, dict):
            raise ValueError(f"expected names with values, got a {type(settings).__name__}")
        _check_own(settings)
        if tensors is not None:
            check_settings(settings, tensors)
        if path.name == TOKENIZER_FILE:
            check_tokens(settings)
        elif path.name == "vocab.json":
            check_tokens({"model": {"vocab": settings}})
    except ValueError as error:
        raise ValueError(f"{path} is no readable configuration ({printable(error)}). {AGAIN}") from error
    return settings


def _check_own(settings: Mapping[str, Any]) -> None:
    """ValueError for a setting that makes transformers fetch or run something that is not in the folder."""
    rest: list[Any] = [settings]
    while rest:
        value = rest.pop()
        if isinstance(value, list):
            rest += value
        elif isinstance(value, Mapping):
            rest += value.values()
            for name in ELSEWHERE & {*value}:
                if value[name] not in (None, False, "", "eager", "sdpa"):
                    raise ValueError(
                        f"{name} is {printable(value[name], 80)}: expected nothing from elsewhere"
                    )


def check_settings(settings: Mapping[str, Any], tensors: int, largest_window: int = LARGEST) -> None:
    """ValueError, without the file's name, for a number that no model's configuration has.

    tensors: how many there are; there cannot be more layers.
    """
    for name, value in _numbers(settings):
        low, high = BOUNDS.get(name, (-LARGEST, LARGEST))
        if name in LAYERS:
            low, high = 0, min(MOST_LAYERS, tensors)
        elif name == WINDOW:
            low, high = 0, largest_window
        wide = isinstance(value, float)
        fits = math.isfinite(value) and (abs(value) <= LARGEST_FLOAT if wide else low <= value <= high)
        if not fits and name not in FREE:
            raise ValueError(f"{printable(name, 80)} is {printable(value, 40)}, expected {low} to {high}")


def _numbers(settings: Mapping[str, Any]) -> Iterator[tuple[str, int | float]]:
    """All numbers with the names that they or their lists stand under."""
    rest: list[tuple[str, Any]] = [*settings.items()]
    while rest:
        name, value = rest.pop()
        if isinstance(value, Mapping):
            rest += [(str(key), inner) for key, inner in value.items()]
        elif isinstance(value, list | tuple):
            rest += [(name, inner) for inner in value]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield name, value


def check_built(model_class: Any, config: Any, tensors: Mapping[str, Tensor]) -> None:
    """ValueError, without the file's name, where a configuration asks for more numbers than the files hold.

    The model is built on the meta device for it, which takes no memory.
    """
    with torch.device("meta"):
        model = model_class(config)
    asked = sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))
    held = sum(tensor.numel() for tensor in tensors.values())
    if asked > 1.5 * held + SLACK:
        raise ValueError(f"its configuration is of a model of {asked:,} numbers, and the files hold {held:,}")
