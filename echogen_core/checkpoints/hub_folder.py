"""A folder of the hub, or a configuration made from shapes, looked through before transformers builds it.

transformers builds whatever a config.json says and makes up the tensors that are missing: a number too large
costs hours or all memory before anything is compared. Here no number that a model is built or run with is out
of bounds, and no more is built than lies in the files. What nothing uses may be anything.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from ..encoders.text import TOKENIZER_FILE
from ..encoders.tokenizer_file import TOKENIZER_MEMORY_FACTOR, check_tokenizer
from ..utils.json_text import MEMORY_FACTOR, read_json
from ..utils.printable import printable
from .mismatches import DOWNLOAD_AGAIN
from .read import read_weights

hub: Any = transformers.utils

DOWNLOAD_FOLDER = "Download the whole folder again, tokenizer and preprocessor_config.json included."
MAX_INT, MAX_FLOAT = 1 << 24, 1e12
"""Of a setting without bounds of its own."""
MAX_LAYERS = 512
COMPUTED_NUMEL = 1 << 20
"""Numbers that a model may have besides those in its files: tables that it computes."""

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
    "num_labels": (0, 1 << 16),
    **dict.fromkeys(("size", "max_size", "crop_size", "pad_size"), (1, 8192)),
}
LAYERS = (
    "num_hidden_layers", "encoder_layers", "decoder_layers", "depth", "depths", "num_layers",
    "iou_head_depth", "num_multimask_outputs", "num_point_embeddings", "encoder_n_points", "decoder_n_points",
)  # fmt: skip
"""Settings that something is made for each of, one after the other."""
WINDOW = "window_size"
MAX_WINDOW = 64
"""Of Swin and SAM, which make a table of its fourth power. Qwen's counts pixels."""

ADAPTER = "adapter_config.json"
BACKBONE = ("backbone", "use_timm_backbone", "use_pretrained_backbone")
"""Settings that name a model to fetch, where the backbone's own configuration is not beside them."""
REMOVED_SETTINGS = frozenset({
    *BACKBONE, "auto_map", "attn_implementation", "_attn_implementation", "_attn_implementation_internal",
    "_attn_implementation_autoset", "experts_implementation",
})  # fmt: skip
"""Settings that name code or models to fetch, removed: a model that transformers knows needs none of them."""

TEXTS = ("config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json",
         "video_preprocessor_config.json", "tokenizer_config.json", "special_tokens_map.json",
         "added_tokens.json", "chat_template.json", "tokenizer.json", "vocab.json")  # fmt: skip
"""What transformers may read in a folder besides the weights."""

_PROCESSORS = TEXTS[2:5]
_ADVICE = re.compile(r" Download (it|them|the whole folder)( again)?\.$")


def read_folder(
    folder: Path, model_type: str, known: Collection[str]
) -> tuple[dict[str, Any], Mapping[str, Tensor]]:
    """The folder's config.json without REMOVED_SETTINGS, and its tensors on the meta device.

    The folder's other JSON files are checked as well.

    known: names of the settings that such a model has.
    Raises FileNotFoundError: no config.json. ValueError: a model of another type, a file that cannot be read
    or holds numbers that no model has, or no weights.
    """
    if (folder / ADAPTER).exists() and hub.is_peft_available():  # transformers goes where it leads only then
        raise ValueError(
            f"{folder} contains {ADAPTER}, which points to another model. Move that file elsewhere."
        )
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder} has no config.json. Download the whole folder from the hub.")
    settings = _read(folder / "config.json")
    found = settings.get("model_type")
    if found != model_type:
        raise ValueError(
            f"Expected a model of type '{model_type}' in {folder}, got '{printable(found, 80)}'. Choose the "
            "right folder."
        )
    try:
        tensors = read_weights(folder, shapes_only=True).tensors
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(f"{_ADVICE.sub('', str(error))} {DOWNLOAD_FOLDER}") from error
    with _naming(folder / "config.json"):
        settings = _without_removed(settings)
        check_settings(settings, len(tensors), known=known)
    for name in TEXTS[1:]:
        if (folder / name).is_file():
            text = _read(folder / name)
            if name in _PROCESSORS:
                with _naming(folder / name):
                    check_settings(text, len(tensors), known=())
    return settings, tensors


def check_tokenizer_files(folder: Path) -> None:
    """Raises ValueError where a folder's tokenizer files are not safe to give to transformers."""
    for name in TEXTS:
        if name != "config.json" and (folder / name).is_file():
            _read(folder / name)


def _read(path: Path) -> dict[str, Any]:
    """A text of names with values."""
    with _naming(path):
        memory_factor = TOKENIZER_MEMORY_FACTOR if path.name == TOKENIZER_FILE else MEMORY_FACTOR
        settings = read_json(path, reject_duplicate_keys=False, finite=False, memory_factor=memory_factor)
        if not isinstance(settings, dict):
            raise ValueError(f"expected a JSON object, got a {type(settings).__name__}")
        if path.name == TOKENIZER_FILE:
            check_tokenizer(settings)
        elif path.name == "vocab.json":
            check_tokenizer({"model": {"vocab": settings}})
    return settings


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Adds the file's name, and what to do, to a ValueError."""
    try:
        yield
    except (ValueError, RecursionError) as error:  # the latter of values in values in values
        raise ValueError(
            f"Can't read the configuration in {path} ({printable(error)}). {DOWNLOAD_AGAIN}"
        ) from error


def _without_removed(value: Any) -> Any:
    """Settings without those that make transformers fetch or run what is not in the folder.

    ValueError where the model is not whole without them.
    """
    if isinstance(value, list):
        return [_without_removed(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    if not isinstance(value.get("backbone_config"), dict):
        for name in BACKBONE:
            if value.get(name):
                raise ValueError(f"{name} is {printable(value[name], 80)}: expected no model from elsewhere")
    return {name: _without_removed(inner) for name, inner in value.items() if name not in REMOVED_SETTINGS}


def check_settings(
    settings: Mapping[str, Any],
    tensors: int,
    max_window: int = MAX_INT,
    known: Collection[str] | None = None,
) -> None:
    """ValueError, without the file's name, for a number that no model's configuration has.

    tensors: how many there are; there cannot be more layers.
    known: names of the settings that are used, besides those with bounds of their own; None: all are.
    """
    for name, value in _numbers(settings):
        low, high = BOUNDS.get(name, (-MAX_INT, MAX_INT))
        if name in LAYERS:
            low, high = 0, min(MAX_LAYERS, tensors)
        elif name == WINDOW:
            low, high = 0, max_window
        elif name not in BOUNDS and known is not None and name not in known:
            continue
        wide = isinstance(value, float)
        fits = math.isfinite(value) and (abs(value) <= MAX_FLOAT if wide else low <= value <= high)
        if not fits:
            raise ValueError(f"{printable(name, 80)} is {printable(value, 40)}, expected {low} to {high}")


def names(settings: Mapping[str, Any]) -> set[str]:
    """All names in a configuration and in those inside it."""
    inner = [value for value in settings.values() if isinstance(value, Mapping)]
    return {*map(str, settings)}.union(*map(names, inner))


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
    held = sum(_max_numel(tensor) for tensor in tensors.values())
    if asked > 1.5 * held + COMPUTED_NUMEL:
        raise ValueError(f"its configuration describes a model of {asked:,} numbers, the files have {held:,}")


def _max_numel(tensor: Tensor) -> int:
    """Of a model, that a tensor in a file may hold: a whole number may have several of four bits in it."""
    return tensor.numel() * (1 if tensor.is_floating_point() else 2 * tensor.itemsize)
