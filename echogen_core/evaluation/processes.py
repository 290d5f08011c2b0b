"""Sharing work between the processes that `accelerate launch -m echogen_core.evaluation ...` starts."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch

from ..training.team import check_together, on_processors, started


@dataclass(frozen=True)
class Team:
    """This process among all: `rank` of `count`, its device, how to wait for the others and to leave them."""

    rank: int
    count: int
    device: torch.device
    wait: Callable[[], None]
    leave: Callable[[], None]


def join(device: str | None = None) -> Team:
    """The team that the launcher started; alone without one, which needs no accelerate.

    device: None for the first accelerator, or with several processes each its own.
    Raises ModuleNotFoundError when several processes were started without accelerate being installed, and
    ValueError when they cannot work together.
    """
    if started() < 2:
        chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
        return Team(0, 1, torch.device(chosen), _nothing, _nothing)
    try:
        library: Any = importlib.import_module("accelerate")
    except ImportError as error:
        raise ModuleNotFoundError(
            "Several processes were started, which needs accelerate: run `pip install accelerate`."
        ) from error
    # one process may have hours more to do than another
    cpu = device == "cpu" or on_processors()
    state = library.PartialState(cpu=cpu, timeout=timedelta(days=7))
    check_together(state.num_processes)
    return Team(
        state.process_index,
        state.num_processes,
        state.device,
        state.wait_for_everyone,
        state.destroy_process_group,
    )


def _nothing() -> None:
    """Nobody to wait for."""
