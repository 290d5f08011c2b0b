"""What the state dict of a transformer has, without building the model each time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

import torch
from torch import Tensor

from ..config import TransformerConfig
from ..model import EchoGenTransformer


@lru_cache(maxsize=8)
def empty_state(config: TransformerConfig, dtype: torch.dtype | None = None) -> Mapping[str, Tensor]:
    """Name -> meta tensor, in the state dict's order. dtype: as EchoGenTransformer's."""
    return MappingProxyType(EchoGenTransformer(config, dtype=dtype, device="meta").state_dict())
