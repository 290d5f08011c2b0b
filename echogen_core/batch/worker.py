"""Draws batches: the models of one process, with the features and prefills that neighbours share."""

from __future__ import annotations

import logging
from collections.abc import Container, Hashable, Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ..checkpoints.subject_file import is_subject, load_subject
from ..encoders.reference import reference_picture
from ..features import Subject
from ..pipeline import NO_SUBJECT, EchoGenPipeline
from ..sampling import Branches, PrefillCache
from ..subject import notes
from ..subject.cutout import Cutout
from ..subject.drawn_box import DrawnBox
from .jobs_file import Fault, FaultyRow
from .plan import Job
from .rows import Reference, Row

logger = logging.getLogger(__name__)

KEPT_PREFILLS = 4 << 30
"""Bytes of keys and values that are kept from one batch to the next, most recently used ones."""


class Files(Protocol):
    """Reads what rows name. Raises ValueError or OSError for what the user can mend."""

    def read_mask(self, path: Path) -> Tensor:
        """[1, H, W] in 0..1."""

    def cut(self, path: Path, mask_1HW: Tensor | None, box: DrawnBox | None, phrase: str) -> Cutout:
        """The subject of a picture on white."""


class Drawn(NamedTuple):
    """pictures: [3, H, W] in 0..1, each with its job. faults: of the rows that were left out."""

    pictures: list[tuple[Job, Tensor]]
    faults: list[Fault]


class Worker:
    """Draws one batch after another."""

    def __init__(self, pipeline: EchoGenPipeline, files: Files) -> None:
        self._pipeline = pipeline
        # its number of branches is no limit here: their bytes are, see `draw`
        pipeline.prefill = PrefillCache(pipeline.bundle.transformer, capacity=1 << 20)
        self._files = files
        self._known: dict[Hashable, Subject | FaultyRow] = {}

    @property
    def prefills(self) -> int:
        """How many were computed so far."""
        return self._pipeline.prefill.computed

    def draw(self, batch: Sequence[Job], done: Container[object]) -> Drawn:
        """The pictures of a batch whose keys are not in `done`.

        All of the batch are drawn, so that each is rounded as ever. A row that can't be drawn is left out.
        """
        self._known = {ref: self._known[ref] for ref in _references(batch) if ref in self._known}
        branches: dict[Hashable, Branches] = {}  # of each row's conditions
        faults: dict[int, Fault] = {}
        missing = {job.row.number for job in batch if job.key not in done}
        rows = {job.row.number: job.row for job in batch}.values()
        for row in sorted(rows, key=lambda row: row.number not in missing):
            if missing <= faults.keys():
                break  # all others are done
            try:
                if row.conditions not in branches:
                    branches[row.conditions] = self._branches(row)
            except FaultyRow as error:
                faults[row.number] = Fault(row.number, *error.fault[1:])
        if missing <= faults.keys():
            return Drawn([], list(faults.values()))
        jobs = [job for job in batch if job.row.number not in faults]
        drawn = self._draw(jobs, branches)
        prefill = self._pipeline.prefill
        prefill.free(max(0, prefill.nbytes - KEPT_PREFILLS))
        new = [(job, image_3HW) for job, image_3HW in drawn.pictures if job.key not in done]
        return Drawn(new, [*faults.values(), *drawn.faults])

    def _draw(self, jobs: Sequence[Job], branches: dict[Hashable, Branches]) -> Drawn:
        """In one run; apart by row where the numbers of one of them are unusable."""
        rows = {job.row.number: job.row for job in jobs}
        try:
            picture = self._pipeline.generate(
                [branches[job.row.conditions] for job in jobs],
                [job.seed for job in jobs],
                jobs[0].row.settings,
            )
        except ValueError as error:
            if len(rows) == 1:
                return Drawn([], [Fault(number, "", str(error)) for number in rows])
            drawn = Drawn([], [])
            for number in rows:
                alone = self._draw([job for job in jobs if job.row.number == number], branches)
                drawn.pictures.extend(alone.pictures)
                drawn.faults.extend(alone.faults)
            return drawn
        return Drawn(list(zip(jobs, picture.images_B3HW.float().cpu(), strict=True)), [])

    def _branches(self, row: Row) -> Branches:
        """Raises FaultyRow."""
        for column, prompt in (("prompt", row.prompt), ("negative", row.negative)):
            if prompt is not None:
                self._check_prompt(row.number, column, prompt)
        subject = self._subject(row)
        try:
            return self._pipeline.branches(row.prompt, subject, row.settings, row.negative)
        except ValueError as error:
            raise FaultyRow(Fault(row.number, "reference" if row.reference else "", str(error))) from error

    def _check_prompt(self, number: int, column: str, prompt: str) -> None:
        """Encodes it; nobody would see a warning about one of a million that is cut off."""
        text = self._pipeline.bundle.text
        try:
            tokens = text.token_count(prompt)
            if tokens > text.config.max_tokens:
                raise ValueError(
                    f"it has {tokens} tokens, and the model reads {text.config.max_tokens}. Shorten it."
                )
            self._pipeline.text(prompt)
        except ValueError as error:
            raise FaultyRow(Fault(number, column, str(error))) from error

    def _subject(self, row: Row) -> Subject:
        """Encoded once for neighbours; a reference that can't be read isn't read again for them either."""
        if row.reference is None:
            return NO_SUBJECT
        if row.reference not in self._known:
            column = "mask"
            try:
                masks = [self._files.read_mask(path) for path in row.reference.masks]
                column = "reference"
                self._known[row.reference] = self._encoded(row.number, row.reference, masks)
            except FaultyRow as error:
                self._known[row.reference] = error
            except (ValueError, OSError) as error:
                self._known[row.reference] = FaultyRow(Fault(row.number, column, str(error)))
        known = self._known[row.reference]
        if isinstance(known, FaultyRow):
            raise known
        return known

    def _encoded(self, number: int, reference: Reference, masks: Sequence[Tensor]) -> Subject:
        files = reference.files
        if len(files) == 1 and is_subject(files[0]):
            if reference != Reference(files):
                raise ValueError("mask, box and phrase have no effect on a subject file. Leave them empty.")
            return load_subject(files[0])
        side = self._pipeline.preset.reference_size
        views = [
            reference_picture(self._cut(number, path, mask_1HW, reference), side)
            for path, mask_1HW in zip_longest(files, masks)
        ]
        return self._pipeline.encode_reference(torch.cat(views))

    def _cut(self, number: int, path: Path, mask_1HW: Tensor | None, reference: Reference) -> Tensor:
        """The subject on white, [1, 3, S, S] in 0..1; nobody would see a note about one of a million.

        Raises FaultyRow for a mask or a box that isn't used.
        """
        made = self._files.cut(path, mask_1HW, reference.box, reference.phrase)
        (source,), (note,) = made.sources, made.notes
        if mask_1HW is not None and source != "mask":
            raise FaultyRow(
                Fault(number, "mask", f"{note or notes.EMPTY_MASK} Mend it, or leave this empty.")
            )
        if notes.BOX_BESIDE_MASK in note:
            raise FaultyRow(Fault(number, "box", f"{note} Change it, or leave this empty."))
        if note:
            logger.warning("Row %d: %s", number, note)
        return made.images_B3SS


def _references(batch: Iterable[Job]) -> set[Reference | None]:
    return {job.row.reference for job in batch}
