"""Writes parts and bundles: half precision on disk, whole files or none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .format import KINDS, write_metadata
from .formats.safetensors_writer import write_safetensors
from .keymap_semantic import to_hub_names
from .keymap_text import stored_text


def save_part(
    path: str | Path,
    kind: str,
    module: nn.Module,
    config: Any,
    dtype: torch.dtype | None = torch.float16,
) -> Path:
    """One part as a safetensors file that `load_part` reads.

    Floating tensors are cast to `dtype` (None keeps theirs). The file appears complete or not at all.
    ValueError when a tensor is not finite, or would not be after the cast.
    """
    if not isinstance(config, KINDS[kind]):
        raise ValueError(f"Expected a {KINDS[kind].__name__} for kind {kind!r}, got {type(config).__name__}.")
    state = _stored_form(kind, module.state_dict())
    tensors = {name: _cast(name, tensor, dtype) for name, tensor in state.items()}
    return write_safetensors(path, tensors, write_metadata(kind, config))


def _stored_form(kind: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The names under which this kind is stored: independent of the installed transformers."""
    if kind == "text":
        return stored_text({name.removeprefix("t5."): tensor for name, tensor in state.items()})
    if kind == "semantic":
        return to_hub_names({name.removeprefix("dino."): t for name, t in state.items()})
    return dict(state)


def _cast(name: str, tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    tensor = tensor.detach().to("cpu")
    if tensor.is_floating_point():
        tensor = tensor if dtype is None else tensor.to(dtype)
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(
                f"Expected finite weights, got NaN or infinity in {name} as {tensor.dtype}. "
                "Save it in bfloat16 or float32, or go back to an earlier checkpoint."
            )
    return tensor
