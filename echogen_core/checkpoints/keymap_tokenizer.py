"""Names of the BSQ tokenizer's tensors in published checkpoints, and their translation to ours.

Published names come in two forms: wrapped (`conv_in.conv.weight`, `norm1.norm.bias`) and, in older files,
plain (`conv_in.weight`, `norm1.bias`); the tensors may be nested under `vae` or `ema`.
Source: Infinity, bsq_vae/vae.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from ..config import TokenizerConfig
from ..tokenizer import BitTokenizer
from .mismatches import describe_mismatches

WRAPPER_KEYS = ("vae", "ema")
"""Keys under which a checkpoint may hold the tokenizer's state dict, in the order of the search."""

MODULE_NAMES: tuple[tuple[str, str], ...] = (
    # our module path (pattern) -> published path, with the name of the wrapper last
    (r"(encoder|decoder)\.(conv_in|conv_out)", r"\1.\2.conv"),
    (r"(encoder|decoder)\.norm_out", r"\1.norm_out.norm"),
    (r"(encoder|decoder)\.middle\.0\.(conv\d)", r"\1.mid.block_1.\2.conv"),
    (r"(encoder|decoder)\.middle\.1\.(conv\d)", r"\1.mid.block_2.\2.conv"),
    (r"(encoder|decoder)\.middle\.0\.(norm\d)", r"\1.mid.block_1.\2.norm"),
    (r"(encoder|decoder)\.middle\.1\.(norm\d)", r"\1.mid.block_2.\2.norm"),
    (r"encoder\.levels\.(\d+)\.blocks\.(\d+)\.(conv\d)", r"encoder.down.\1.block.\2.\3.conv"),
    (r"encoder\.levels\.(\d+)\.blocks\.(\d+)\.(norm\d)", r"encoder.down.\1.block.\2.\3.norm"),
    (r"encoder\.levels\.(\d+)\.blocks\.(\d+)\.shortcut", r"encoder.down.\1.block.\2.nin_shortcut.conv"),
    (r"encoder\.levels\.(\d+)\.downsample", r"encoder.down.\1.downsample.conv.conv"),
    (r"decoder\.levels\.(\d+)\.blocks\.(\d+)\.(conv\d)", r"decoder.up.\1.block.\2.\3.conv"),
    (r"decoder\.levels\.(\d+)\.blocks\.(\d+)\.(norm\d)", r"decoder.up.\1.block.\2.\3.norm"),
    (r"decoder\.levels\.(\d+)\.blocks\.(\d+)\.shortcut", r"decoder.up.\1.block.\2.nin_shortcut.conv"),
    (r"decoder\.levels\.(\d+)\.upsample", r"decoder.up.\1.upsample.conv.conv"),
)

QUANTIZER_MASKS = ("quantizer.lfq.mask", "quantize.lfq.mask")
"""Stored constants (powers of two, one per bit; the second aliases the first): only their length matters."""

IGNORED_KEYS = ("quantizer.lfq.zero", "quantize.lfq.zero")
"""A constant that only some versions of the official code wrote."""


def translate_tokenizer(checkpoint: Mapping[str, Any], config: TokenizerConfig) -> dict[str, Tensor]:
    """State dict under our names, every key and shape checked; no tensor is copied.

    Args:
        checkpoint: published (either form, nested or not) or ours.
    Raises:
        ValueError: names the keys that are unknown, missing or of another shape than `config` asks for.
    """
    state = _unnest(checkpoint)
    shapes = {name: tuple(t.shape) for name, t in BitTokenizer(config, device="meta").state_dict().items()}
    names = _published_names(shapes)
    found: dict[str, Tensor] = {}
    unknown: list[str] = []
    wrong: list[str] = []
    for key, tensor in state.items():
        name = names.get(key)
        if key in QUANTIZER_MASKS:
            if tuple(tensor.shape) != (config.bits,):
                wrong.append(f"{key} {list(tensor.shape)} instead of {[config.bits]}")
        elif name is None or name in found:
            unknown += [] if key in IGNORED_KEYS else [key]
        else:
            found[name] = tensor
            if tuple(tensor.shape) != shapes[name]:
                wrong.append(f"{key} {list(tensor.shape)} instead of {list(shapes[name])}")
    _raise_mismatches(unknown, [name for name in shapes if name not in found], wrong, config)
    return found


def published_name(name: str) -> str:
    """Published (wrapped) name of one of our tensors.

    Raises:
        ValueError: no such tensor.
    """
    module, _, leaf = name.rpartition(".")
    for pattern, published in MODULE_NAMES:
        match = re.fullmatch(pattern, module)
        if match:
            return f"{match.expand(published)}.{leaf}"
    raise ValueError(f"Expected a name from the BSQ tokenizer's state dict, got {name!r}.")


def _published_names(ours: Iterable[str]) -> dict[str, str]:
    """Every accepted name (wrapped, plain, ours) of each of our names."""
    names: dict[str, str] = {}
    for name in ours:
        wrapped = published_name(name)
        path, leaf = wrapped.rsplit(".", 1)
        plain = f"{path.rpartition('.')[0]}.{leaf}"
        names |= {wrapped: name, plain: name, name: name}
    return names


def _unnest(checkpoint: Mapping[str, Any]) -> Mapping[str, Tensor]:
    found = (checkpoint[wrapper] for wrapper in WRAPPER_KEYS if isinstance(checkpoint.get(wrapper), Mapping))
    inner: Mapping[str, Any] = next(found, checkpoint)
    return {key: value for key, value in inner.items() if isinstance(value, Tensor)}


def _raise_mismatches(
    unknown: list[str], missing: list[str], wrong: list[str], config: TokenizerConfig
) -> None:
    if mismatches := describe_mismatches(missing, unknown, wrong):
        raise ValueError(
            f"not a BSQ tokenizer with {config.bits} bits and {len(config.channel_multipliers)} levels of "
            f"{config.base_channels} channels; tensors {mismatches}. Choose the preset's own file."
        )


def infer_tokenizer(checkpoint: Mapping[str, Any]) -> TokenizerConfig:
    """The configuration that a published checkpoint (either form, nested or not) was made with.

    KeyError where this is no BSQ tokenizer.
    """
    state = {key.replace(".conv.weight", ".weight"): tensor for key, tensor in _unnest(checkpoint).items()}
    base = state["encoder.conv_in.weight"].shape[0]
    block = re.compile(r"encoder\.down\.0\.block\.\d+\.conv1\.weight")
    first = re.compile(r"encoder\.down\.(\d+)\.block\.0\.conv1\.weight")
    widths = {int(match[1]): state[key].shape[0] for key in state if (match := first.fullmatch(key))}
    return TokenizerConfig(
        bits=state["encoder.conv_out.weight"].shape[0],
        base_channels=base,
        channel_multipliers=tuple(widths[level] // base for level in sorted(widths)),
        res_blocks=sum(bool(block.fullmatch(key)) for key in state),
    )
