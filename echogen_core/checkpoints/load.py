"""Weight files into modules: built on the meta device, filled strictly, returned whole or not at all.

Our own files say what they are in their metadata; published ones are recognised by their tensors.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..dtypes import FP8
from ..encoders import ContentEncoder, SemanticEncoder, TextEncoder, parse_tokenizer, read_tokenizer
from ..model import EchoGenTransformer
from ..tokenizer import BitTokenizer
from .adapter import Base
from .empty_state import empty_state
from .format import KINDS, TITLES, TOKENIZER
from .keymap_semantic import translate_semantic
from .keymap_text import translate_text
from .mismatches import describe_mismatches, join_names
from .quantised import match_scales
from .source import Source, read_source

logger = logging.getLogger(__name__)

_WITH_OPERATIONS: dict[str, Any] = {
    "transformer": EchoGenTransformer,
    "tokenizer": BitTokenizer,
    "content": ContentEncoder,
}
"""The parts whose layers are the caller's `operations`."""


@dataclass(frozen=True)
class LoadInfo:
    """Where a part came from: file, kind, sizes, whether the file is ours, type of the stored weights."""

    path: Path
    kind: str
    config: Any
    ours: bool
    stored_dtype: torch.dtype


class Loaded(NamedTuple):
    """A module ready for inference, and where it came from."""

    module: Any
    info: LoadInfo


def load(
    path: str | Path,
    kind: str,
    *,
    config: Any = None,
    operations: Any = nn,
    dtype: torch.dtype | None = torch.float32,
    compute_dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    vocabulary: str | Path | None = None,
    base: Base = None,
) -> Loaded:
    """One part of a bundle from our file, a published one, or a folder from the hub.

    Args:
        kind: "transformer", "tokenizer", "text", "semantic" or "content".
        config: sizes that a published file must have, and the settings that no file holds (the picture size
            of an encoder). None: as the file says, at EchoGen-2B's picture size.
        operations: namespace of the layers (not for text and semantic, which are transformers' classes).
        dtype: of the weights in memory; None keeps the stored type. float8_e4m3fn: the transformer's matrices
            with their scales; the other parts do not compute in it and become bfloat16.
        compute_dtype: transformer only, see EchoGenTransformer.
        vocabulary: text only: the tokenizer's file or folder, where it is neither in the file nor beside it.
        base: transformer only: the base of a file of subject parameters, where it is not in the same folder;
            or folders to search for it.

    The module is in evaluation mode with frozen parameters. A base Infinity model is loaded with a warning.
    Raises:
        FileNotFoundError: a file is missing. ValueError: it is damaged, or of another kind. Both say which
            file, what was expected and what to do.
    """
    if kind not in KINDS:
        raise ValueError(f"Expected a kind out of {', '.join(KINDS)}, got {kind!r}.")
    source = read_source(path, kind, config=config, base=base)
    stored = source.identity.dtype
    dtype = dtype or stored
    if dtype == FP8 and kind != "transformer":
        dtype = torch.bfloat16
    try:
        module = build(source, operations, dtype, vocabulary)
        if kind == "transformer" and compute_dtype is not None:
            module.dtype = compute_dtype
        _fill_from(source, module, operations, dtype, device)
    except ValueError as error:
        raise source.raw.named(error) from error
    if kind == "transformer" and not module.config.subject:
        logger.warning("%s is a base Infinity model: it makes pictures of a text and knows no subject.", path)
    info = LoadInfo(source.raw.path, kind, module.config, source.identity.ours, stored)
    return Loaded(module.eval().requires_grad_(False), info)


def _fill_from(
    source: Source, module: Any, operations: Any, dtype: torch.dtype, device: torch.device | str
) -> None:
    wanted = wanted_state(source, module, operations, dtype)
    state = match_scales(module_names(source.kind, source.state, module), wanted)
    fill(module, {name: tensor.to(device) for name, tensor in state.items()}, TITLES[source.kind], wanted)


def load_part(path: str | Path, kind: str, **options: Any) -> Any:
    """The module alone; options and errors as `load`."""
    return load(path, kind, **options).module


def load_transformer(path: str | Path, **options: Any) -> Loaded:
    """An EchoGen or plain Infinity transformer; `info.config.subject` says which. As `load`."""
    return load(path, "transformer", **options)


def load_tokenizer(path: str | Path, **options: Any) -> BitTokenizer:
    """A BSQ tokenizer. As `load`."""
    module: BitTokenizer = load(path, "tokenizer", **options).module
    return module


def build(source: Source, operations: Any, dtype: torch.dtype, vocabulary: str | Path | None) -> Any:
    """The empty module of a part on the meta device."""
    config = source.config
    place: dict[str, Any] = {"dtype": dtype, "device": "meta"}
    if source.kind in _WITH_OPERATIONS:
        return _WITH_OPERATIONS[source.kind](config, operations, **place)
    if source.kind == "semantic":
        return SemanticEncoder(config, **place)
    tokenizer = _tokenizer(source, vocabulary)
    try:
        return TextEncoder(config, tokenizer, **place)
    except ValueError as error:
        raise ValueError(f"{error} It is that of {vocabulary or source.raw.path}.") from error


def wanted_state(source: Source, module: Any, operations: Any, dtype: torch.dtype) -> Mapping[str, Tensor]:
    """What the state dict of a part's filled module has, as meta tensors.

    Asked of torch.nn's layers whatever the module's own are: some of ComfyUI's have no weights before these
    are loaded.
    """
    if source.kind == "transformer":
        return empty_state(source.config, dtype)
    if source.kind in _WITH_OPERATIONS and operations is not nn:
        module = _WITH_OPERATIONS[source.kind](source.config, nn, dtype=dtype, device="meta")
    state: Mapping[str, Tensor] = module.state_dict()
    return state


def _tokenizer(source: Source, vocabulary: str | Path | None) -> Any:
    """The prompt tokenizer: the one asked for, the one in the file, or the one beside it."""
    path, packaged = source.raw.path, source.raw.metadata.get(TOKENIZER)
    if vocabulary is None and packaged is not None:
        return parse_tokenizer(packaged, path)
    return read_tokenizer(vocabulary or (path if path.is_dir() else path.parent))


def module_names(kind: str, state: Mapping[str, Tensor], module: Any) -> dict[str, Tensor]:
    """Tensors by the names of our files under those of the module's state dict."""
    if kind == "text":
        return translate_text(state)
    if kind == "semantic":
        translated = translate_semantic(state, module.config, module.dino.state_dict())
        return {f"dino.{name}": tensor for name, tensor in translated.items()}
    return dict(state)


def fill(
    module: nn.Module, state: Mapping[str, Tensor], title: str, wanted: Mapping[str, Tensor] | None = None
) -> None:
    """Puts `state` in the place of the module's meta tensors, in their types, all names and shapes checked.

    wanted: the filled module's state dict (`wanted_state`); None: the empty one's has all of it.
    Raises:
        ValueError: names that are unknown, missing or of another shape. Nothing is filled then.
    """
    wanted = module.state_dict() if wanted is None else wanted
    missing = [name for name in wanted if name not in state]
    unknown = [name for name in state if name not in wanted]
    wrong = [
        f"{name} {_form(state[name])} instead of {_form(tensor)}"
        for name, tensor in wanted.items()
        if name in state and (state[name].shape != tensor.shape or not state[name].is_floating_point())
    ]
    if mismatches := describe_mismatches(missing, unknown, wrong):
        raise ValueError(
            f"not a complete {title}; tensors {mismatches}. Download it again, or choose the "
            "file that belongs to this slot."
        )
    if damaged := [name for name, tensor in state.items() if not is_finite(tensor)]:
        raise ValueError(
            f"{len(damaged)} tensors hold NaN or infinity ({join_names(damaged)}): expected finite weights. "
            "Download it again, or go back to an earlier checkpoint."
        )
    cast = {name: tensor.to(wanted[name].dtype) for name, tensor in state.items()}
    module.load_state_dict(cast, strict=True, assign=True)
    tie: Callable[[], None] | None = getattr(module, "tie", None)
    if tie is not None:
        tie()
    _check_filled(module, cast)


def _check_filled(module: nn.Module, given: Mapping[str, Tensor]) -> None:
    """Every tensor is the one that was given, however the layers took it, and nothing else is left empty."""
    held = module.state_dict()
    lost = [name for name, tensor in given.items() if name not in held or not _same(held[name], tensor)]
    assert not lost and held.keys() == given.keys(), f"the layers did not take {join_names(lost or [*held])}"
    tensors = (*module.named_parameters(), *module.named_buffers())
    assert not [name for name, tensor in tensors if tensor.is_meta and name not in given]


def _same(held: Tensor, given: Tensor) -> bool:
    return (held.shape, held.dtype, held.device) == (given.shape, given.dtype, given.device)


def _form(tensor: Tensor) -> str:
    return f"{list(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def is_finite(tensor: Tensor) -> bool:
    """Whether no number is NaN or infinite; true on the meta device, where there are none."""
    if tensor.is_meta:
        return True
    # A sum takes one pass and no memory. One that overflows would be of numbers that no model has.
    total = tensor.float().sum() if tensor.dtype == FP8 else tensor.sum(dtype=torch.float32)
    return bool(torch.isfinite(total))
