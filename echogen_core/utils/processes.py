"""Several processes of one command, as `accelerate launch` or torchrun starts them."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch

T = TypeVar("T")

TIMEOUT = timedelta(days=7)
"""How long a process waits at a barrier: another may have hours more to do."""


@dataclass(frozen=True)
class ProcessGroup:
    """This process among all: its rank and device, how to wait for the others, how to leave."""

    rank: int
    world_size: int
    device: torch.device
    barrier: Callable[[], None]
    destroy: Callable[[], None]

    def share(self, work: Sequence[T]) -> Sequence[T]:
        """This process's part: neighbours, which have features and prefills in common, stay together."""
        start, end = (len(work) * rank // self.world_size for rank in (self.rank, self.rank + 1))
        return work[start:end]


def world_size() -> int:
    """Number of processes that the launcher started; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_launched() -> bool:
    """Whether torchrun or `accelerate launch` has started this process, be it as the only one of its kind."""
    return "WORLD_SIZE" in os.environ


def is_main_process() -> bool:
    """Whether this process has rank 0: the one that writes. Known before accelerate is imported."""
    return os.environ.get("RANK", "0") == "0"


def needs_cpu_backend() -> bool:
    """Value of accelerate's `cpu` option: several processes on a machine without a GPU need it set."""
    accelerator = getattr(torch, "accelerator", torch.cuda)  # torch.accelerator came with 2.6
    return world_size() > 1 and not accelerator.is_available()


def check_world_size(count: int) -> None:
    """Checks that accelerate sees every process; otherwise each would do all the work in the same folder.

    count: number of processes that accelerate sees.
    Raises ValueError when it is smaller than the number started.
    """
    if count < world_size():
        raise ValueError(
            f"{world_size()} processes were started, but accelerate sees {count}: the accelerator of this "
            "machine can't be shared. Set ACCELERATE_USE_CPU=true to run on the CPU, or start one process."
        )


def join_group(device: str | None = None) -> ProcessGroup:
    """The launcher's process group; without a launcher a group of one, which doesn't need accelerate.

    device: None picks the first GPU, or one GPU for each of several processes.
    Raises ModuleNotFoundError when several processes were started and accelerate is not installed,
    ValueError when they can't work together (see `check_world_size`).
    """
    if world_size() < 2:
        chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
        return ProcessGroup(0, 1, torch.device(chosen), _nothing, _nothing)
    try:
        library: Any = importlib.import_module("accelerate")
    except ImportError as error:
        raise ModuleNotFoundError(
            "Running several processes needs the package accelerate: run `pip install accelerate`."
        ) from error
    cpu = device == "cpu" or needs_cpu_backend()
    state = library.PartialState(cpu=cpu, timeout=TIMEOUT)
    check_world_size(state.num_processes)
    return ProcessGroup(
        state.process_index,
        state.num_processes,
        state.device,
        state.wait_for_everyone,
        state.destroy_process_group,
    )


def _nothing() -> None:
    """Barrier and teardown of a group of one."""
