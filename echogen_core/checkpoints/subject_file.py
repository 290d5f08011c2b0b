"""A subject's features as one safetensors file: to keep, and to share without the picture file.

Metadata: format, version and kind as in our weight files (kind "subject"), and the strength of each path.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..features import ContentFeatures, SemanticFeatures, Subject
from .format import FORMAT, VERSION, is_ours
from .read import read_weights
from .write import write_safetensors

KIND = "subject"
_AXES = {"semantic.cls": 2, "semantic.patches": 3, "content.latents": 4}


def save_subject(path: str | Path, subject: Subject) -> Path:
    """Writes the features, as they are; the file appears whole or not at all.

    Raises ValueError when there is nothing to save, or values that are no numbers.
    """
    tensors: dict[str, Tensor] = {}
    metadata = {"format": FORMAT, "version": VERSION, "kind": KIND}
    if subject.semantic is not None:
        tensors |= {"semantic.cls": subject.semantic.cls_VC, "semantic.patches": subject.semantic.patches_VPC}
        metadata["semantic.strength"] = repr(subject.semantic.strength)
    if subject.content is not None:
        tensors["content.latents"] = subject.content.latents_VCHW
        metadata["content.strength"] = repr(subject.content.strength)
    if not tensors:
        raise ValueError("Expected features of a subject, got none. Connect semantic, content or both.")
    _check(tensors)
    return write_safetensors(path, {name: t.detach().cpu() for name, t in tensors.items()}, metadata)


def load_subject(path: str | Path) -> Subject:
    """The features in a file of `save_subject`.

    Raises FileNotFoundError or ValueError: nothing there, damaged, or not a subject.
    """
    raw = read_weights(path)
    if (
        not is_ours(raw.metadata)
        or raw.metadata.get("kind") != KIND
        or raw.metadata.get("version") != VERSION
    ):
        raise ValueError(
            f"{path} is no subject file of version {VERSION}. Expected a file that Save Subject has written."
        )
    tensors = raw.tensors
    semantic = content = None
    try:
        _check(tensors)
        if "semantic.cls" in tensors:
            strength = float(raw.metadata["semantic.strength"])
            semantic = SemanticFeatures(tensors["semantic.cls"], tensors["semantic.patches"], strength)
        if "content.latents" in tensors:
            content = ContentFeatures(tensors["content.latents"], float(raw.metadata["content.strength"]))
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path} is a damaged subject file ({error}). Save the subject again.") from error
    return Subject(semantic, content)


def is_subject(path: str | Path) -> bool:
    """Whether a file calls itself a subject; its header alone is read."""
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("kind") == KIND
    except (SafetensorError, OSError, ValueError):
        return False


def _check(tensors: dict[str, Tensor]) -> None:
    """ValueError for a tensor that belongs to no subject, has other axes, or values that are no numbers."""
    for name, tensor in tensors.items():
        if tensor.ndim != _AXES.get(name) or not tensor.is_floating_point():
            raise ValueError(
                f"unexpected tensor {name} of shape {list(tensor.shape)} and type {tensor.dtype}"
            )
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{name} holds values that are not numbers")
