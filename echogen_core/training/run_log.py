"""The log of a run: log.jsonl, sample sheets as PNG, and TensorBoard where it is installed."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from torch import Tensor

from ..pictures import to_pil
from ..utils.writing import append_line, write_picture, write_text

logger = logging.getLogger(__name__)

LOG_FILE = "log.jsonl"


class RunLog:
    """Writes into a run's folder; steps that a resumed run repeats replace their first records."""

    def __init__(self, out: Path, step: int) -> None:
        """step: where the run resumes; records of later steps are removed."""
        self._out = out
        self._log = out / LOG_FILE
        if self._log.is_file():
            lines = self._log.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if _step_of(line) <= step]
            if kept != lines:
                write_text(self._log, "".join(f"{line}\n" for line in kept))
        self._board = _tensorboard(out, step)

    def record(self, step: int, record: Mapping[str, Any]) -> None:
        """One line; numbers, and lists with a number per scale, go to TensorBoard as well."""
        append_line(self._log, json.dumps({"step": step, **record}))
        if self._board is None:
            return
        for name, value in record.items():
            if isinstance(value, int | float):
                self._board.add_scalar(name, value, step)
            elif isinstance(value, list):
                for scale, number in enumerate(value, start=1):
                    self._board.add_scalar(f"{name}/scale_{scale:02}", number, step)

    def pictures(self, step: int, images_3HW: Tensor) -> Path:
        """One sheet, [3, H, W] in 0..1, as pictures/<step>.png."""
        path = sheet_path(self._out, step)
        write_picture(path, to_pil(images_3HW), "PNG")
        if self._board is not None:
            self._board.add_image("reference, target, generated", images_3HW.clamp(0, 1), step)
        return path

    def close(self) -> None:
        """Closes TensorBoard's file; the others are closed after each line."""
        if self._board is not None:
            self._board.close()


def sheet_path(out: Path, step: int) -> Path:
    """Path of a step's sample sheet."""
    return out / "pictures" / f"{step:07}.png"


def progress(step: int, steps: int, record: Mapping[str, Any], pace: float) -> str:
    """A record as a line on the console. pace: seconds per step."""
    first, *_, last = record["bit_accuracy"]
    left = timedelta(seconds=round((steps - step) * pace))
    words = (
        f"step {step} of {steps}: loss {record['loss']:.4f}, bits right {first:.1%} (first scale) to "
        f"{last:.1%} (last), {pace:.2f} s per step, {left} left"
    )
    faults = sum(record["faults"].values())
    return f"{words}, faults in the data: {faults}" if faults else words


def _step_of(line: str) -> float:
    """The step of a record; infinite for a line that a killed run left unfinished."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def _tensorboard(out: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        logger.info(
            "No TensorBoard (pip install tensorboard for curves); everything is in %s.", out / LOG_FILE
        )
        return None
    make: Any = SummaryWriter
    return make(str(out / "tensorboard"), purge_step=step + 1)
