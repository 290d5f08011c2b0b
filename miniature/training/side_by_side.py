"""Stages in processes of their own, beside each other on one device."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

MODULES = [
    f"miniature.training.{name}" for name in ("tokenizer", "semantic", "content", "transformer", "decoder")
]
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
}
"""What suits the stages where nothing else is set; see miniature/README.md."""

STOPPING_SECONDS = 1.0
"""What a process gets to clean up before it is killed."""


def prepare() -> None:
    """Begins importing what the stages need, once for all of them."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if _forks():
        from multiprocessing import forkserver

        multiprocessing.set_forkserver_preload(MODULES)
        forkserver.ensure_running()


def start(stage: str, arguments: Sequence[str], output: Path, end: float | None) -> BaseProcess:
    """Starts a stage, which appends to the file `output` what it says.

    end: time.monotonic() at which it has to end; None: it ends by itself.
    """
    # what prepares data needn't wait for the imports that training needs
    kind = "forkserver" if _forks() and end is not None else "spawn"
    context = multiprocessing.get_context(kind)
    process: BaseProcess = context.Process(  # type: ignore[attr-defined]
        target=run_stage, args=(stage, list(arguments), output, end), name=stage
    )
    process.start()
    return process


def run_stage(stage: str, arguments: Sequence[str], output: Path, end: float | None) -> None:
    """What such a process does; its exit status is the stage's."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the parent as well, which ends this
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("ab") as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())
    from ..__main__ import main

    raise SystemExit(main([stage, *arguments, *within(end)]))


def within(end: float | None) -> list[str]:
    """The option that ends a stage at this time.monotonic(), or after one step if it has passed."""
    return [] if end is None else ["--within", f"{max((end - time.monotonic()) / 60, 1e-6):.6f}"]


def stop(processes: Sequence[BaseProcess]) -> None:
    """Ends processes, whatever they are doing."""
    for process in processes:
        process.terminate()
    until = time.monotonic() + STOPPING_SECONDS
    for process in processes:
        process.join(max(0.0, until - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()


def end_with_parent() -> None:
    """Waits until the process that started this one has ended, and ends it: nobody else would."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _forks() -> bool:
    return "forkserver" in multiprocessing.get_all_start_methods()
