"""Several processes of one command, as `accelerate launch` or torchrun starts them."""

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


def started() -> int:
    """How many processes the launcher started; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is the process that writes, of those that the launcher started."""
    return os.environ.get("RANK", "0") == "0"


def on_processors() -> bool:
    """What to give accelerate as `cpu`: on a machine without GPU, processes find each other with it alone."""
    accelerator = getattr(torch, "accelerator", torch.cuda)  # torch.accelerator came with 2.6
    return started() > 1 and not accelerator.is_available()


def check_together(count: int) -> None:
    """Raises ValueError when accelerate sees too few: each would do all the work, into one folder.

    count: processes by accelerate's account.
    """
    if count < started():
        raise ValueError(
            f"{started()} processes were started, accelerate sees {count}: this machine's accelerator cannot "
            "be shared. Set ACCELERATE_USE_CPU=true to use the processors, or start one process."
        )


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
