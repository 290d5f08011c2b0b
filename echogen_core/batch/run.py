"""The work of one process among others, however often it is interrupted: draw, store, record."""

from __future__ import annotations

import logging
from collections.abc import Container, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ..pictures import FORMATS, drawn_picture
from ..utils.printable import counted
from ..utils.processes import ProcessGroup
from ..utils.progress import Progress
from ..utils.writing import write_picture
from .jobs_file import Fault
from .picture_log import BrokenRows, Log, Record, record_of
from .plan import Batch, Job, Plan
from .worker import Worker

logger = logging.getLogger(__name__)


class Result(NamedTuple):
    """What all processes together have done: records in the plan's order, and faults."""

    records: list[Record]
    faults: list[Fault]


def run_batch(plan: Plan, folder: Path, ending: str, group: ProcessGroup, worker: Worker) -> Result:
    """Draws what is missing; a picture counts when it and its record are whole.

    ending: of the names, one of FORMATS. Only the first process gets the records. Raises ValueError when
    another process's records aren't in this folder, or the GPU has no room for a batch.
    """
    log, broken = Log(folder, group.rank), BrokenRows(folder, group.rank)
    done = {record.key for record in log.records()}
    batches = list(plan.batches())
    share = group.share([batch for batch in batches if any(job.key not in done for job in batch)])
    if group.rank == 0:
        broken.forget()
    group.barrier()  # nobody writes before everyone has read what is done
    missing = sum(job.key not in done for batch in share for job in batch)
    logger.info("%s to draw in this process", counted(missing, "picture"))
    with Progress("picture", missing, quiet=group.rank != 0) as progress:
        _draw_share(share, done, worker, _Store(folder, ending, log), broken, progress)
    logger.info("%s computed in this process", counted(worker.prefills, "prefill"))
    group.barrier()
    found = log.read() if group.rank == 0 else {}
    faults = sorted({*plan.faults, *broken.found()})
    group.barrier()  # nobody leaves while another reads
    unusable = {fault.row for fault in faults}
    jobs = list(chain.from_iterable(batches))
    expected = [job for job in jobs if job.row.number not in unusable]
    if group.rank == 0:
        log.check_complete([job.path(ending) for job in expected if job.key not in found], len(expected))
    return Result([found[job.key] for job in jobs if job.key in found], faults)


def _draw_share(
    share: Sequence[Batch],
    done: Container[object],
    worker: Worker,
    store: _Store,
    broken: BrokenRows,
    progress: Progress,
) -> None:
    """Draws a batch while the one before is stored: writing a large PNG can take as long as drawing it."""
    with ThreadPoolExecutor(1) as other:
        storing: Future[int] | None = None
        named: set[Fault] = set()  # a row may lie in several batches
        for batch in share:
            try:
                pictures, faults = worker.draw(batch, done)
            except torch.cuda.OutOfMemoryError as error:
                raise ValueError(
                    f"The GPU has no room to draw {counted(len(batch), 'picture')} at once. Choose a smaller "
                    "--batch-size, with another --out."
                ) from error
            for fault in [fault for fault in faults if fault not in named]:
                named.add(fault)
                logger.warning("%s", fault)
                broken.add(fault)
            if storing is not None:
                progress.step(storing.result())
            storing = other.submit(store, pictures)
        if storing is not None:
            progress.step(storing.result())


class _Store:
    """Writes pictures, and each one's record after it."""

    def __init__(self, folder: Path, ending: str, log: Log) -> None:
        self._folder = folder
        self._ending = ending
        self._log = log

    def __call__(self, pictures: Sequence[tuple[Job, Tensor]]) -> int:
        """How many there were."""
        for job, image_3HW in pictures:
            path, image = job.path(self._ending), drawn_picture(image_3HW)
            write_picture(self._folder / path, image, FORMATS[self._ending])
            self._log.add(record_of(job, path, image.size))
        return len(pictures)
