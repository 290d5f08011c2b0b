"""Commands of this pack in processes of their own that begin with torch and the pack imported.

Importing takes most of a small command's processor time. A server imports once and forks whatever a test
starts; Windows has no fork, and imports each time. How a command starts from nothing is shown elsewhere, by
torchrun (tests/repository) and by test_program.

Import it as tests.core.warm_process: another process finds its functions by that name.
"""

from __future__ import annotations

import multiprocessing
import os
import pkgutil
import sys
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
IMPORTED = [
    "pytest",  # the parent's program, which every child of multiprocessing looks at
    "torch._dynamo",  # what optimisers import at their first step
    "torch.distributed.fsdp",
    "torch.utils.tensorboard",
    "transformers.models.clip.modeling_clip",
    "transformers.models.dinov2.modeling_dinov2",
    "transformers.models.t5.modeling_t5",
    "transformers.models.vit.modeling_vit",
    "echogen_core.training.batch_encoder",
    "echogen_core.training.run_log",
    "echogen_core.training.subject_model",
    "echogen_core.training.trainer",
    "echogen_core.evaluation.command_dreambench",
    "echogen_core.commands.batch",
    "echogen_core.commands.convert",
]


def start(
    program: str,
    arguments: list[Any],
    environment: Mapping[str, str],
    said: Path | None = None,
    daemon: bool = True,
) -> BaseProcess:
    """Starts MODULE:FUNCTION, which returns its exit status, on one thread; stderr goes to `said`.

    daemon: it ends with the tests at the latest, and must not start processes itself.
    """
    forks = hasattr(os, "fork")
    context = multiprocessing.get_context("forkserver" if forks else "spawn")
    if forks:
        context.set_forkserver_preload(IMPORTED)
    own = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    process = context.Process(target=_run, args=(program, arguments, own, said), daemon=daemon)
    with mock.patch.dict(os.environ, OMP_NUM_THREADS="1", PYTHONPATH=str(ROOT)):  # the server's own
        process.start()
    return process


def status(process: BaseProcess, seconds: float = 550) -> int:
    """The exit status, once it has ended."""
    process.join(seconds)
    assert process.exitcode is not None, f"still running after {seconds:.0f} s"
    return process.exitcode


def _run(program: str, arguments: list[Any], environment: dict[str, str], said: Path | None) -> None:
    os.environ.clear()
    os.environ.update(environment)
    if said is not None:
        with said.open("wb") as file:
            os.dup2(file.fileno(), 2)
    sys.exit(pkgutil.resolve_name(program)(arguments))
