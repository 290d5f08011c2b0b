"""Sharing work between the processes that `accelerate launch -m echogen_core.evaluation ...` starts."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch


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
    Raises ModuleNotFoundError when several processes were started without accelerate being installed.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
        return Team(0, 1, torch.device(chosen), _nothing, _nothing)
    try:
        library: Any = importlib.import_module("accelerate")
    except ImportError as error:
        raise ModuleNotFoundError(
            "Several processes were started, which needs accelerate: run `pip install accelerate`."
        ) from error
    # one process may have hours more to do than another
    state = library.PartialState(cpu=device == "cpu", timeout=timedelta(days=7))
    return Team(
        state.process_index,
        state.num_processes,
        state.device,
        state.wait_for_everyone,
        state.destroy_process_group,
    )


def _nothing() -> None:
    """Nobody to wait for."""
