"""How long a run trains, and how often it saves what it has."""

from __future__ import annotations

import time

import torch

LOG_SECONDS = 5.0
"""Seconds between two lines of a log at least: figures take time, and a GPU makes many steps in it."""


def total_seconds(minutes: float, elapsed: float, deadline: float | None) -> float:
    """Seconds that a run trains in total, with the `elapsed` ones of earlier commands.

    deadline: time.monotonic() at which it has to end; None: after `minutes`. At least a step is left.
    """
    if deadline is None:
        return 60 * minutes
    return elapsed + max(deadline - time.monotonic(), 1e-3)


def checkpoint_seconds(device: torch.device) -> float:
    """Seconds between two checkpoints: on a GPU a minute is a thousand steps, and it may be gone at once."""
    return 120.0 if device.type == "cpu" else 30.0
