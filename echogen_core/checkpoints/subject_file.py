"""A subject's features as one safetensors file: to keep, and to share without the picture file.

Metadata: format, version and kind as in our weight files (kind "subject"), and the strength of each path.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from ..features import ContentFeatures, SemanticFeatures, Subject
from ..utils.printable import printable
from ..utils.writing import Target
from .format import FORMAT, VERSION, is_ours
from .formats.safetensors_header import read_header
from .formats.safetensors_writer import write_safetensors
from .mismatches import join_names
from .read import RawFile, read_weights

KIND = "subject"
STRENGTHS = (0.0, 2.0)
"""What the encoders' nodes offer."""
_AXES = {"semantic.cls": 2, "semantic.patches": 3, "content.latents": 4}
_MAX_VIEWS, _MAX_CELLS, _MAX_CHANNELS = 1024, 1 << 20, 1 << 14  # cells: of 8192 pixels a side


def save_subject(target: Target, subject: Subject) -> Path:
    """Write the features atomically and return the path; see writing.write_atomically.

    Raises ValueError when there is nothing to save, or something that `load_subject` would refuse.
    """
    tensors: dict[str, Tensor] = {}
    metadata = {"format": FORMAT, "version": VERSION, "kind": KIND}
    if subject.semantic is not None:
        tensors |= {"semantic.cls": subject.semantic.cls_VC, "semantic.patches": subject.semantic.patches_VPC}
        metadata["semantic.strength"] = repr(float(subject.semantic.strength))
    if subject.content is not None:
        tensors["content.latents"] = subject.content.latents_VCHW
        metadata["content.strength"] = repr(float(subject.content.strength))
    _check(subject)
    return write_safetensors(target, {name: t.detach().cpu() for name, t in tensors.items()}, metadata)


def load_subject(path: str | Path) -> Subject:
    """The features in a file of `save_subject`.

    Raises FileNotFoundError or ValueError: nothing there, damaged, or not a subject (tensors or axes that
    belong to none, values that are no numbers, a strength outside STRENGTHS).
    """
    raw = read_weights(path)
    if (
        not is_ours(raw.metadata)
        or raw.metadata.get("kind") != KIND
        or raw.metadata.get("version") != VERSION
    ):
        raise ValueError(
            f"{path} is not a subject file of version {VERSION}. Expected a file written by Save Subject."
        )
    tensors = raw.tensors
    semantic = content = None
    try:
        if unknown := [name for name in raw.tree if name not in _AXES]:
            raise ValueError(f"unknown tensors {join_names(unknown)}")
        if "semantic.cls" in tensors or "semantic.patches" in tensors:
            semantic = SemanticFeatures(
                _tensor(raw, "semantic.cls"), _tensor(raw, "semantic.patches"), _strength(raw, "semantic")
            )
        if "content.latents" in tensors:
            content = ContentFeatures(tensors["content.latents"], _strength(raw, "content"))
        subject = Subject(semantic, content)
        _check(subject)
    except ValueError as error:
        raise ValueError(
            f"Can't use the subject file {path} ({printable(error, 500)}). Save the subject again."
        ) from error
    return subject


def is_subject(path: str | Path) -> bool:
    """Whether a file calls itself a subject; its header alone is read."""
    try:
        path = Path(path)
        return path.is_file() and read_header(path).metadata.get("kind") == KIND
    except (OSError, ValueError):
        return False


def _tensor(raw: RawFile, name: str) -> Tensor:
    if name not in raw.tensors:
        raise ValueError(f"{name} is missing")
    return raw.tensors[name]


def _strength(raw: RawFile, part: str) -> float:
    name = f"{part}.strength"
    try:
        return float(raw.metadata[name])
    except (KeyError, ValueError) as error:
        raise ValueError(f"{name}: expected a number, got {printable(raw.metadata.get(name))}") from error


def _check(subject: Subject) -> None:
    """ValueError for features that no encoder makes."""
    semantic, content = subject
    if semantic is None and content is None:
        raise ValueError("Expected features of a subject, got none. Connect semantic, content or both.")
    if semantic is not None:
        _check_tensor("semantic.cls", semantic.cls_VC)
        _check_tensor("semantic.patches", semantic.patches_VPC)
        _check_strength("semantic", semantic.strength)
        (views, channels), (patch_views, _, patch_channels) = (
            semantic.cls_VC.shape,
            semantic.patches_VPC.shape,
        )
        if (views, channels) != (patch_views, patch_channels):
            raise ValueError(
                f"semantic.patches: expected {views} views and {channels} channels, as semantic.cls has, "
                f"got shape {list(semantic.patches_VPC.shape)}"
            )
    if content is not None:
        _check_tensor("content.latents", content.latents_VCHW)
        _check_strength("content", content.strength)


def _check_strength(part: str, strength: float) -> None:
    low, high = STRENGTHS
    if not (math.isfinite(strength) and low <= strength <= high):
        raise ValueError(f"{part}.strength: expected {low:g} to {high:g}, got {strength}")


def _check_tensor(name: str, tensor: Tensor) -> None:
    """ValueError for other axes than the name says, none of something or too many, or what is no number."""
    shape = list(tensor.shape)
    if len(shape) != _AXES[name] or not tensor.is_floating_point():
        raise ValueError(f"unexpected tensor {name} of shape {shape} and type {tensor.dtype}")
    channels = shape[1] if name == "content.latents" else shape[-1]
    cells = tensor.numel() // max(1, shape[0] * channels)
    if not (0 < shape[0] <= _MAX_VIEWS and 0 < channels <= _MAX_CHANNELS and 0 < cells <= _MAX_CELLS):
        raise ValueError(
            f"{name}: expected 1 to {_MAX_VIEWS} views of 1 to {_MAX_CHANNELS} channels in 1 to "
            f"{_MAX_CELLS} places, got shape {shape}"
        )
    if not bool(torch.isfinite(tensor.float()).all()):
        raise ValueError(f"{name} has NaN or infinite values")
