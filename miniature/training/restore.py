"""Restoring a run: weights that fit another model's sizes, and the states of several optimisers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from echogen_core.training.state_file import options_kept


def load_matching(module: nn.Module, state: dict[str, Tensor], fresh: str | None = None) -> list[str]:
    """Loads the tensors whose names and shapes match the module's, except names that contain `fresh`.

    Returns the names that were not loaded.
    """
    own = module.state_dict()
    kept = {
        name: tensor
        for name, tensor in state.items()
        if name in own and own[name].shape == tensor.shape and not (fresh and fresh in name)
    }
    module.load_state_dict({**own, **kept})
    return sorted(own.keys() - kept.keys())


def load_state(path: Path) -> dict[str, Any]:
    """A run's checkpoint, in memory: loading it into modules and optimisers brings it to their device.

    On a GPU the optimisers' step counters would have to be read back one by one in every step.
    """
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def load_optimizer_states(
    optimizers: Iterable[torch.optim.Optimizer], saved: Iterable[Mapping[str, Any]]
) -> None:
    """Loads the moments, not the options. Raises ValueError unless there is one state per optimiser."""
    for optimizer, state in zip(optimizers, saved, strict=True):
        with options_kept(optimizer):
            optimizer.load_state_dict(dict(state))
