"""The record of each finished picture, and of each row that is broken."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..utils.disk import explained
from ..utils.json_text import parse_json
from ..utils.work_log import WorkLog
from ..utils.writing import append_line, write_text
from .jobs_file import Fault
from .plan import Job
from .rows import SEPARATOR

BROKEN = "broken.jsonl"
"""The rows that could not be drawn, when all is done."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a picture was made of. path: below the output folder; width, height: in pixels."""

    row: int
    seed: int
    path: str
    width: int
    height: int
    name: str
    reference: str
    prompt: str
    negative: str
    gamma_t: float
    gamma_i: float
    tau: float
    aspect_ratio: str

    @property
    def key(self) -> tuple[int, int]:
        """As Job.key."""
        return self.row, self.seed


def record_of(job: Job, path: str, size_wh: tuple[int, int]) -> Record:
    """The record of a picture that has been stored."""
    row, settings = job.row, job.row.settings
    assert settings.gamma_t is not None and settings.gamma_i is not None and settings.tau is not None
    files = row.reference.files if row.reference else ()
    return Record(
        row=row.number,
        seed=job.seed,
        path=path,
        width=size_wh[0],
        height=size_wh[1],
        name=row.name,
        reference=SEPARATOR.join(file.as_posix() for file in files),
        prompt=row.prompt,
        negative=row.negative or "",
        gamma_t=settings.gamma_t,
        gamma_i=settings.gamma_i,
        tau=settings.tau,
        aspect_ratio=settings.aspect_ratio,
    )


class Log(WorkLog[Record]):
    """The records of an output folder, in pictures-<process>.jsonl."""

    def __init__(self, folder: Path, process: int = 0) -> None:
        super().__init__(folder, "pictures", Record, process)


class BrokenRows:
    """The faults of this start, in broken-<process>.jsonl: a broken row is tried again at the next."""

    def __init__(self, folder: Path, process: int = 0) -> None:
        self._folder = folder
        self._own = folder / f"broken-{process}.jsonl"

    def forget(self) -> None:
        """Removes what an earlier start has found."""
        for path in (*self._folder.glob("broken-*.jsonl"), self._folder / BROKEN):
            with explained(path):
                path.unlink(missing_ok=True)

    def add(self, fault: Fault) -> None:
        """Writes one line."""
        append_line(self._own, _line(fault))

    def found(self) -> list[Fault]:
        """By all processes."""
        paths = sorted(self._folder.glob("broken-*.jsonl"))
        return [Fault(**parse_json(line)) for path in paths for line in path.read_bytes().splitlines()]

    def settle(self, faults: Sequence[Fault]) -> Path | None:
        """Writes all of them into one file, in the place of the processes' own; None for none."""
        self.forget()
        if not faults:
            return None
        return write_text(self._folder / BROKEN, "".join(f"{_line(fault)}\n" for fault in faults))


def _line(fault: Fault) -> str:
    return json.dumps(fault._asdict(), ensure_ascii=False)
