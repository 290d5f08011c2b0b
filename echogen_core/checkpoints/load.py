"""Weight files into modules: built on the meta device, filled strictly, returned whole or not at all.

Our own files say what they are in their metadata; published ones are told by their tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..encoders import ContentEncoder, SemanticEncoder, TextEncoder, read_tokenizer
from ..model import EchoGenTransformer
from ..tokenizer import BitTokenizer
from .faults import describe_faults
from .format import KINDS, TITLES, is_ours, read_config
from .keymap_content import infer_content, translate_content
from .keymap_semantic import infer_semantic, translate_semantic
from .keymap_text import infer_text, translate_text
from .keymap_tokenizer import infer_tokenizer, translate_tokenizer
from .keymap_transformer import infer_config, translate_transformer
from .kinds import recognise
from .read import RawFile, read_weights


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
    device: torch.device | str = "cpu",
    vocabulary: str | Path | None = None,
) -> Loaded:
    """One part of a bundle from our file, a published one, or (text, semantic) a folder from the hub.

    Args:
        kind: "transformer", "tokenizer", "text", "semantic" or "content".
        config: sizes of a published file, where they are not to be read from its shapes (the picture size of
            an encoder never shows in them). Our own files carry theirs.
        operations: namespace of the layers (not for text and semantic, which are transformers' classes).
        dtype: of the weights in memory; None keeps the stored type.
        vocabulary: text only: the tokenizer's file or folder, where it does not lie beside the weights.

    The module is in evaluation mode with frozen parameters.
    Raises:
        FileNotFoundError: a file is missing. ValueError: it is damaged, or of another kind. Both say which
            file, what was expected and what to do.
    """
    if kind not in KINDS:
        raise ValueError(f"Expected a kind out of {', '.join(KINDS)}, got {kind!r}.")
    raw = read_weights(path)
    stored = stored_dtype(raw.tree)
    builder = Builder(kind, operations, dtype or stored, raw.path, vocabulary)
    try:
        if is_ours(raw.metadata):
            module, translated = _from_ours(raw, builder)
        else:
            module, translated = _from_published(raw, builder, config)
        state = {name: tensor.to(device) for name, tensor in translated.items()}
        fill(module, state, TITLES[kind])
    except ValueError as error:
        raise ValueError(f"{raw.path}: {error}") from error
    info = LoadInfo(raw.path, kind, module.config, is_ours(raw.metadata), stored)
    return Loaded(module.eval().requires_grad_(False), info)


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


@dataclass(frozen=True)
class Builder:
    """Makes the empty module of a kind on the meta device."""

    kind: str
    operations: Any
    dtype: torch.dtype
    path: Path
    vocabulary: str | Path | None

    def __call__(self, config: Any) -> Any:
        place: dict[str, Any] = {"dtype": self.dtype, "device": "meta"}
        if self.kind == "transformer":
            return EchoGenTransformer(config, self.operations, **place)
        if self.kind == "tokenizer":
            return BitTokenizer(config, self.operations, **place)
        if self.kind == "content":
            return ContentEncoder(config, self.operations, **place)
        if self.kind == "semantic":
            return SemanticEncoder(config, **place)
        # A hub folder holds its tokenizer; a single file has it beside it.
        beside = self.path if self.path.is_dir() else self.path.parent
        return TextEncoder(config, read_tokenizer(self.vocabulary or beside), **place)


def _from_ours(raw: RawFile, build: Builder) -> tuple[Any, dict[str, Tensor]]:
    module = build(read_config(raw.metadata, build.kind))
    state = raw.tensors
    if build.kind == "text":
        return module, translate_text(state)
    if build.kind == "semantic":
        return module, _prefixed(translate_semantic(state, module.config, module.dino.state_dict()), "dino.")
    return module, state


def _from_published(raw: RawFile, build: Builder, config: Any) -> tuple[Any, dict[str, Tensor]]:
    found = recognise(raw.tree)
    if found is not None and found != build.kind:
        raise ValueError(
            f"expected {TITLES[build.kind]} weights, got {TITLES.get(found, found)} weights. "
            "Choose the file that belongs to this slot."
        )
    if build.kind == "transformer":
        config = config or infer_config(raw.tree)
        return build(config), translate_transformer(raw.tree, config)
    if build.kind == "tokenizer":
        config = config or infer_tokenizer(raw.tree)
        return build(config), translate_tokenizer(raw.tree, config)
    state = raw.tensors
    if build.kind == "content":
        return build(_sized(infer_content(state), config)), translate_content(state)
    if build.kind == "text":
        return build(_sized(infer_text(state), config)), translate_text(state)
    module = build(_sized(infer_semantic(state), config))
    return module, _prefixed(translate_semantic(state, module.config, module.dino.state_dict()), "dino.")


INVISIBLE = ("reference_size", "image_size", "max_tokens")
"""Settings of encoders that no shape shows."""


def _sized(inferred: Any, wanted: Any) -> Any:
    """The sizes in the file with the settings that it does not show; a mismatch of the others is an error."""
    if wanted is None:
        return inferred
    merged = replace(inferred, **{name: getattr(wanted, name) for name in INVISIBLE if hasattr(wanted, name)})
    if merged != wanted:
        raise ValueError(f"expected an encoder of {wanted}, got one of {merged}. Use the preset's own file.")
    return merged


def _prefixed(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


def fill(module: nn.Module, state: Mapping[str, Tensor], title: str) -> None:
    """Puts `state` in the place of the module's meta tensors, in their types, all names and shapes checked.

    Raises:
        ValueError: names that are unknown, missing or of another shape. Nothing is filled then.
    """
    wanted = module.state_dict()
    missing = [name for name in wanted if name not in state]
    unknown = [name for name in state if name not in wanted]
    wrong = [
        f"{name} {list(state[name].shape)} instead of {list(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in state and state[name].shape != tensor.shape
    ]
    if faults := describe_faults(missing, unknown, wrong):
        raise ValueError(
            f"not a complete {title}; tensors {faults}. Download it again, or choose the "
            "file that belongs to this slot."
        )
    cast = {name: tensor.to(wanted[name].dtype) for name, tensor in state.items()}
    module.load_state_dict(cast, strict=True, assign=True)
    tie: Callable[[], None] | None = getattr(module, "tie", None)
    if tie is not None:
        tie()
    tensors = (*module.named_parameters(), *module.named_buffers())
    assert not [name for name, tensor in tensors if tensor.is_meta and name not in state]


def stored_dtype(tree: Mapping[str, Any]) -> torch.dtype:
    """The floating type that most weights are stored in; float32 where there are none."""
    counts: dict[torch.dtype, int] = {}

    def count(branch: Mapping[str, Any]) -> None:
        for value in branch.values():
            if isinstance(value, Mapping):
                count(value)
            elif value.is_floating_point():
                counts[value.dtype] = counts.get(value.dtype, 0) + value.numel()

    count(tree)
    return max(counts, key=lambda dtype: counts[dtype], default=torch.float32)
