"""The grids of a γ Sweep: what varies between them, and how their cells are drawn."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor

from echogen_core.features import TextFeatures
from echogen_core.pictures import to_pil
from echogen_core.sampling import Bits, Guidance, ScaleStep
from echogen_core.utils.number_list import format_number, parse_numbers, parse_whole_numbers
from echogen_core.utils.printable import counted

from . import adapters, memory_checks, runtime
from .drawing import PictureRun
from .labelled_grid import MAX_SIDE, LabelledGrid
from .sampling import SEEDS, settings_for

MAX_VALUES = 12
"""Values in each of the three lists."""
VARIED = ("nothing", "tau", "seed", "prompt")
_PAGE_EXACT = 2**53 - 1  # the largest whole number that a browser keeps exact
_THUMBNAIL = 384  # pixels a side in the node: 144 large pictures would fill the browser's memory
_TITLE = 300  # characters of a prompt that the front end gets
_GRID_BYTES = 3 * (1 + 3 * 4)  # per pixel: as bytes, then as floats, concatenated, and passed on


class Page(NamedTuple):
    """What all cells of one grid share."""

    title: str
    text: TextFeatures | None
    seed: int
    tau: float
    top_p: float
    top_k: int


class Cell(NamedTuple):
    """One picture of a sweep; row 0 has the highest γ_I, as on the sampler's pad."""

    page: int
    row: int
    column: int
    gamma_t: float
    gamma_i: float


@dataclass
class Sheet:
    """One page's grid while it fills; cells: as the front end gets them."""

    page: Page
    grid: LabelledGrid
    cells: list[dict[str, Any]] = field(default_factory=list)


def pages_of(vary: str, values: str, base: Page, text_encoder: runtime.Managed | None) -> list[Page]:
    """The grids to draw: `base` with each of the values of what varies.

    values: as written in the node. Raises ValueError for values that cannot be read or are too many.
    """
    if vary == "prompt":
        prompts = list(dict.fromkeys(filter(None, (line.strip() for line in values.splitlines()))))
        if not 1 <= len(prompts) <= MAX_VALUES:
            raise ValueError(f"prompt: expected 1 to {MAX_VALUES} prompts, one per line, got {len(prompts)}.")
        if text_encoder is None:
            raise ValueError("The third axis is the prompt: connect text encoder, from Load EchoGen.")
        encoder, device = runtime.loaded(text_encoder), text_encoder.device
        encoded = [encoder.encode(prompt, device=device) for prompt in prompts]
        return [base._replace(title=prompt, text=text) for prompt, text in zip(prompts, encoded, strict=True)]
    if vary == "seed":
        seeds = parse_whole_numbers(values, "seed", 0, SEEDS - 1, MAX_VALUES)
        return [base._replace(title=f"seed {seed}", seed=seed) for seed in seeds]
    if vary == "tau":
        numbers = parse_numbers(values, "tau", 0.01, 10, MAX_VALUES)
        return [base._replace(title=f"tau {format_number(n)}", tau=n) for n in numbers]
    assert vary == "nothing", vary  # input_checks lets nothing else through
    return [base]


class SweepRun:
    """Draws one run of a sweep, cell by cell."""

    def __init__(
        self,
        run: PictureRun,
        tokenizer: runtime.Managed,
        pages: Sequence[Page],
        columns: Sequence[float],
        rows: Sequence[float],
    ) -> None:
        """run: of every cell, but for the page's prompt. columns: γ_t; rows: γ_I, top first.

        Raises MemoryError where the grids do not fit into memory.
        """
        self.total = len(pages) * len(columns) * len(rows)
        self.missed = 0  # pictures in which no subject was found to be placed
        self._run, self._tokenizer = run, tokenizer
        self._columns, self._rows = columns, rows
        cell_hw = tokenizer.module.config.drawn_hw(run.schedule.scales[-1])
        _require_memory(len(pages), len(columns), len(rows), cell_hw)
        across, down = ([format_number(value) for value in values] for values in (columns, rows))
        self._sheets = [
            Sheet(page, LabelledGrid(cell_hw, across, down, title, ("prompt", "subject")))
            for page, title in ((page, page.title or f"seed {page.seed}") for page in pages)
        ]

    def table(self, vary: str) -> dict[str, Any]:
        """The sweep without its cells, as the front end reads it, with a run id of its own.

        A page's "set" is what a click on its cells sets on the sampler besides γ_t and γ_I; a seed that the
        page's numbers can't hold is a text.
        """
        varied = [vary] if vary in ("tau", "seed") else []
        pages = [
            {"title": page.title[:_TITLE], "set": {name: _exact(getattr(page, name)) for name in varied}}
            for page in (sheet.page for sheet in self._sheets)
        ]
        axes = {"columns": self._columns, "rows": self._rows}
        return {"run": uuid.uuid4().hex, **axes, "pages": pages, "cells": []}

    def draw(self) -> Iterator[tuple[dict[str, Any], Bits]]:
        """Every cell, as the front end gets it, with its bits on the CPU. Raises Interrupted on cancel."""
        progress = runtime.progress_bar(self.total)
        for cell, step in self._steps():
            drawn = self._add(cell, step)
            yield drawn, replace(step.bits, scales=tuple(bits.cpu() for bits in step.bits.scales))
            progress.update(1)

    def finished(self) -> tuple[Tensor, list[dict[str, Any]]]:
        """The grids with at least one cell as an IMAGE, and all cells."""
        sheets = [sheet for sheet in self._sheets if sheet.cells]
        grids = torch.cat([adapters.image_from_pil(sheet.grid.image)[0] for sheet in sheets])
        return adapters.to_intermediate(grids), [cell for sheet in sheets for cell in sheet.cells]

    def _steps(self) -> Iterator[tuple[Cell, ScaleStep]]:
        """The last scale of every cell; all cells of a page share one prefill."""
        scales = len(self._run.schedule.scales)
        for number, sheet in enumerate(self._sheets):
            page = sheet.page
            run = self._run._replace(conditions=self._run.conditions._replace(text=page.text))
            for (row, gamma_i), (column, gamma_t) in product(enumerate(self._rows), enumerate(self._columns)):
                guidance = Guidance.constant(gamma_t, gamma_i, scales)
                settings = settings_for(run.model.preset, guidance, page.tau, page.top_p, page.top_k)
                draw, edit, _ = run.prepare([page.seed], settings, self._tokenizer)
                self.missed += edit is not None and bool(edit.canvas and edit.canvas.missed)
                *_, last = draw()
                del draw  # its branches would outlast the page
                yield Cell(number, row, column, gamma_t, gamma_i), last

    def _add(self, cell: Cell, step: ScaleStep) -> dict[str, Any]:
        """Decodes a cell's picture into its grid; returns the cell for the front end."""
        sheet = self._sheets[cell.page]
        picture = to_pil(runtime.decode(self._tokenizer, step.codes_BdHW)[0])
        sheet.grid.put(cell.row, cell.column, picture)
        picture.thumbnail((_THUMBNAIL, _THUMBNAIL))
        drawn = {**cell._asdict(), "picture": adapters.save_preview(picture, "sweep")}
        sheet.cells.append(drawn)
        return drawn


def _exact(number: float) -> float | str:
    return number if number <= _PAGE_EXACT else str(number)


def _require_memory(pages: int, columns: int, rows: int, cell_hw: tuple[int, int]) -> None:
    """Raises MemoryError where main memory has no room for the grids."""
    height, width = cell_hw
    across, down = min(MAX_SIDE, columns * width), min(MAX_SIDE, rows * height)
    memory_checks.require(
        pages * across * down * _GRID_BYTES,
        f"{counted(pages, 'grid')} of {across}×{down} px",
        "Use shorter lists, or a smaller size.",
    )
