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
from ..model import BranchCache
from ..pipeline import NO_SUBJECT, EchoGenPipeline
from ..sampling import Branches, PrefillCache
from ..subject import notes
from ..subject.cutout import Cutout
from ..subject.drawn_box import DrawnBox
from ..subject.masks import MaskError
from ..utils.option_checks import OptionError
from .jobs_file import Fault, FaultyCell
from .plan import Job
from .rows import OF_REFERENCE, Reference, Row

logger = logging.getLogger(__name__)

KEPT_PREFILLS = 4 << 30
"""Bytes of keys and values that are kept from one batch to the next, most recently used ones."""
KEPT_SUBJECTS = 64
"""Subjects besides a batch's own whose features are kept: a MB each."""


class Files(Protocol):
    """Reads what rows name.

    Raises ValueError or OSError for what the user can mend; OptionError where a column other than the file's
    own is at fault.
    """

    def read_mask(self, path: Path) -> Tensor:
        """[1, H, W] in 0..1."""

    def cut(self, path: Path, mask_1HW: Tensor | None, box: DrawnBox | None, phrase: str) -> Cutout:
        """The subject of a picture on white."""


class Drawn(NamedTuple):
    """pictures: [3, H, W] in 0..1, each with its job. faults: of the rows that were left out."""

    pictures: list[tuple[Job, Tensor]]
    faults: list[Fault]


class _Latest(NamedTuple):
    """The last batch's rows' conditions, and the bytes of their prefills."""

    conditions: frozenset[Hashable]
    nbytes: int


class Worker:
    """Draws one batch after another."""

    def __init__(self, pipeline: EchoGenPipeline, files: Files) -> None:
        self._pipeline = pipeline
        # its number of branches is no limit here: their bytes are, see `draw`
        pipeline.prefill = PrefillCache(pipeline.bundle.transformer, capacity=1 << 20)
        self._files = files
        # most recently used ones last; column and message of those that can't be used
        self._known: dict[Reference, Subject | tuple[str, str]] = {}
        self._latest = _Latest(frozenset(), 0)

    @property
    def prefills(self) -> int:
        """How many were computed so far."""
        return self._pipeline.prefill.computed

    def draw(self, batch: Sequence[Job], done: Container[object]) -> Drawn:
        """The pictures of a batch whose keys are not in `done`.

        All of the batch are drawn, so that each is rounded as ever. A row that can't be drawn is left out.
        """
        self._make_room(batch)
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
            except FaultyCell as error:
                faults[row.number] = row.fault(error)
        self._latest = _Latest(frozenset(branches), _nbytes(branches.values()))
        if missing <= faults.keys():
            return Drawn([], list(faults.values()))
        jobs = [job for job in batch if job.row.number not in faults]
        drawn = self._draw(jobs, branches)
        new = [(job, image_3HW) for job, image_3HW in drawn.pictures if job.key not in done]
        return Drawn(new, [*faults.values(), *drawn.faults])

    def _make_room(self, batch: Sequence[Job]) -> None:
        """Drops what neither a batch nor, in all likelihood, the next ones need.

        Where it shares prefills with the last batch, all of that one's stay: there was room for them, and the
        same prompts may come with a third γ.
        """
        shares = any(job.row.conditions in self._latest.conditions for job in batch)
        kept = max(KEPT_PREFILLS, self._latest.nbytes if shares else 0)
        prefill = self._pipeline.prefill
        prefill.free(max(0, prefill.nbytes - kept))
        own = dict.fromkeys(job.row.reference for job in batch)
        others = [reference for reference in self._known if reference not in own]
        used = [reference for reference in own if reference in self._known]
        self._known = {each: self._known[each] for each in (*others[-KEPT_SUBJECTS:], *used)}

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
        """Raises FaultyCell."""
        for column, prompt in (("prompt", row.prompt), ("negative", row.negative)):
            if prompt is not None:
                self._check_prompt(column, prompt)
        subject = self._subject(row)
        try:
            return self._pipeline.branches(row.prompt, subject, row.settings, row.negative)
        except ValueError as error:
            raise FaultyCell("reference" if row.reference else "", str(error)) from error

    def _check_prompt(self, column: str, prompt: str) -> None:
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
            raise FaultyCell(column, str(error)) from error

    def _subject(self, row: Row) -> Subject:
        """Encoded once for neighbours; a reference that can't be read isn't read again for them either."""
        if row.reference is None:
            return NO_SUBJECT
        if row.reference not in self._known:
            try:
                self._known[row.reference] = self._encoded(row.number, row.reference)
            except (ValueError, OSError) as error:
                cell = _faulty_cell(error)
                self._known[row.reference] = cell.column, cell.message
        known = self._known[row.reference]
        if isinstance(known, Subject):
            return known
        raise FaultyCell(*known)

    def _encoded(self, number: int, reference: Reference) -> Subject:
        files = reference.files
        masks = [self._mask(path) for path in reference.masks]
        if len(files) == 1 and is_subject(files[0]):
            for column, given in zip(OF_REFERENCE, reference[1:], strict=True):
                if given:
                    raise FaultyCell(column, "it has no effect on a subject file. Leave it empty.")
            return load_subject(files[0])
        side = self._pipeline.preset.reference_size
        views = [
            reference_picture(self._cut(number, path, mask_1HW, reference), side)
            for path, mask_1HW in zip_longest(files, masks)
        ]
        return self._pipeline.encode_reference(torch.cat(views))

    def _mask(self, path: Path) -> Tensor:
        """Raises FaultyCell."""
        try:
            return self._files.read_mask(path)
        except (ValueError, OSError) as error:
            raise FaultyCell("mask", str(error)) from error

    def _cut(self, number: int, path: Path, mask_1HW: Tensor | None, reference: Reference) -> Tensor:
        """The subject on white, [1, 3, S, S] in 0..1; nobody would see a note about one of a million.

        Raises FaultyCell for a mask or a box that isn't used.
        """
        made = self._files.cut(path, mask_1HW, reference.box, reference.phrase)
        (source,), (note,) = made.sources, made.notes
        if mask_1HW is not None and source != "mask":
            raise FaultyCell("mask", f"{note or notes.EMPTY_MASK} Mend it, or leave this empty.")
        if notes.BOX_BESIDE_MASK in note:
            raise FaultyCell("box", f"{note} Change it, or leave this empty.")
        if note:
            logger.warning("Row %d: %s", number, note)
        return made.images_B3SS


def _faulty_cell(error: Exception) -> FaultyCell:
    """Which cell of a reference is at fault."""
    if isinstance(error, FaultyCell):
        return error
    if isinstance(error, OptionError):
        return FaultyCell.of(error)
    return FaultyCell("mask" if isinstance(error, MaskError) else "reference", str(error))


def _nbytes(prefills: Iterable[Branches]) -> int:
    """Of their keys and values, each counted once."""
    caches = [cache for each in prefills for cache in (each.full, each.text, each.null)]
    return sum({id(cache): cache.nbytes for cache in caches if isinstance(cache, BranchCache)}.values())
