"""Several processes of one command, as `accelerate launch` or torchrun starts them."""

from __future__ import annotations

import os

import torch


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
