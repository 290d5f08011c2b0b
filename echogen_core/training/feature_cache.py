"""Features on the disk, one safetensors file each, keyed by what they are made of.

A key is a hash over the picture's bytes or the prompt, the encoder's weights and all settings that matter:
changed data or another encoder are other files, nothing has to be cleared. Entries are written whole or not
at all; a damaged one counts as absent.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from ..checkpoints.adapter import tensor_digests, total_digest
from ..checkpoints.read import read_weights
from ..checkpoints.safetensors_writer import write_safetensors

logger = logging.getLogger(__name__)


def encoder_identity(module: nn.Module, *facts: object) -> str:
    """A digest over a module's numbers and whatever else decides its output."""
    state = module.state_dict()
    numbers = total_digest(tensor_digests(lambda: {k: t.cpu() for k, t in state.items()}, list(state)))
    return hashlib.sha256(repr((numbers, *facts)).encode()).hexdigest()


@dataclass(frozen=True)
class FeatureCache:
    """folder: where the entries are. identities: kind of features -> digest of their encoder."""

    folder: Path
    identities: Mapping[str, str]

    def key(self, kind: str, content: bytes, *settings: object) -> str:
        """Name of an entry."""
        digest = hashlib.sha256(content)
        digest.update(repr((self.identities[kind], settings)).encode())
        return digest.hexdigest()

    def read(self, kind: str, key: str) -> dict[str, Tensor]:
        """An entry's tensors; empty when there is none."""
        path = self._path(kind, key)
        if not path.is_file():
            return {}
        try:
            return {name: tensor.clone() for name, tensor in read_weights(path).tensors.items()}
        except (ValueError, OSError) as error:
            logger.warning("A cached feature is made again: %s", error)
            return {}

    def write(self, kind: str, key: str, tensors: Mapping[str, Tensor]) -> None:
        """Keep an entry. OSError when the disk is full."""
        write_safetensors(self._path(kind, key), tensors, {"kind": kind})

    def _path(self, kind: str, key: str) -> Path:
        return self.folder / kind / key[:2] / f"{key}.safetensors"
