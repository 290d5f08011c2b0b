"""Encoder features on disk, one safetensors file each, keyed by content.

A key is a hash of the picture's bytes or the prompt, the encoder's weights and all settings that matter:
changed data or another encoder makes new files, and nothing goes stale. Entries are written whole or not at
all; a damaged one counts as missing.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..checkpoints.formats.safetensors_writer import write_safetensors
from ..checkpoints.read import read_weights

logger = logging.getLogger(__name__)


def encoder_identity(module: nn.Module, *facts: object) -> str:
    """A digest of the very weights that compute, and of whatever else a module's output depends on.

    Types count, and every byte: the same model rounded to another type gives other features.
    """
    digest = hashlib.sha256(repr(facts).encode())
    for name, tensor in sorted({**dict(module.named_buffers()), **module.state_dict()}.items()):
        digest.update(f"\n{name} {list(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


@dataclass(frozen=True)
class FeatureCache:
    """folder: where entries are stored. identities: kind of features -> digest of their encoder."""

    folder: Path
    identities: Mapping[str, str]

    def key(self, kind: str, content: bytes, *settings: object) -> str:
        """The key of an entry, hexadecimal."""
        digest = hashlib.sha256(content)
        digest.update(repr((self.identities[kind], settings)).encode())
        return digest.hexdigest()

    def read(self, kind: str, key: str) -> dict[str, Tensor]:
        """An entry's tensors by name; empty if there is no usable entry."""
        path = self._path(kind, key)
        if not path.is_file():
            return {}
        try:
            return {name: tensor.clone() for name, tensor in read_weights(path).tensors.items()}
        except (ValueError, OSError) as error:
            logger.warning("A cached feature is computed again: %s", error)
            return {}

    def write(self, kind: str, key: str, tensors: Mapping[str, Tensor]) -> None:
        """Store an entry. Raises OSError when the disk is full."""
        write_safetensors(self._path(kind, key), tensors, {"kind": kind})

    def _path(self, kind: str, key: str) -> Path:
        return self.folder / kind / key[:2] / f"{key}.safetensors"
