"""γ Sweep: one picture for every pair of γ_t and γ_I, in a grid."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple

import torch
from comfy_api.latest import io

from echogen_core.features import ContentFeatures, SemanticFeatures, Subject, TextFeatures
from echogen_core.sampling import Bits, Guidance, RunConditions, ScaleStep, sample
from echogen_core.scales import ScaleSchedule
from echogen_core.subject.pictures import to_pil

from . import adapters, room, runs, runtime
from .adapters import CATEGORY, schema
from .grid import LONGEST, LabelledGrid
from .guidance import GAMMA_MAX
from .number_list import SYNTAX, parse_numbers
from .sampling import Sampler, schedule_for, settings_for

MOST = 12
"""Values along each of the three lists."""
_EXACT = 1 << 53  # whole numbers up to here survive a float
_SHOWN = 384  # pixels of a cell in the node: 144 large pictures would fill a browser's memory
VARIED = ("nothing", "tau", "seed", "prompt")

_TITLE = 300  # characters of a prompt that the front end is told
_BYTES = 3 * (1 + 3 * 4)  # of a grid's pixel: as drawn, as numbers, joined, and handed on

_cuts: deque[tuple[str, dict[str, Any]]] = deque(maxlen=100)
"""Node and values of cancelled sweeps: ComfyUI must not take their partial grids for finished ones."""


class Page(NamedTuple):
    """What all cells of one grid share."""

    title: str
    text: TextFeatures | None
    seed: int
    tau: float
    top_p: float
    top_k: int


class Cell(NamedTuple):
    """One picture of a sweep; row 0 is the highest γ_I, as on the sampler's pad."""

    page: int
    row: int
    column: int
    gamma_t: float
    gamma_i: float


@dataclass
class Sheet:
    """One page's grid as it fills."""

    page: Page
    grid: LabelledGrid
    cells: list[dict[str, Any]]


class Sweep(io.ComfyNode):
    """A grid over γ_t and γ_I."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenGammaSweep",
            display_name="γ Sweep (EchoGen)",
            category=f"{CATEGORY}/sampling",
            description="Draws the same picture for every pair of γ_t and γ_I, in a labelled grid. Subject "
            "and prompt are computed once. Cancel keeps the cells that are done, and ends the run.",
            search_aliases=["xy plot", "grid search", "gamma sweep", "parameter sweep", "cfg grid"],
            inputs=[
                *_sockets(),
                *_lists(),
                *_samplers("seed", "aspect_ratio", "size", "tau", "top_p", "top_k"),
            ],
            outputs=[
                io.Image.Output(
                    "grid",
                    display_name="grid",
                    tooltip="The labelled grid; one for each value of the third list.",
                ),
                adapters.Bits.Output(
                    "bits",
                    display_name="bits",
                    is_output_list=True,
                    tooltip="The cells' bits as a list: left to right, top to bottom, grid by grid.",
                ),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.extra_pnginfo],
            is_output_node=True,  # it shows its cells: with nothing behind it, and from the cache
        )

    @classmethod
    def fingerprint_inputs(cls, **values: Any) -> int:
        """How often this very sweep was cancelled; None stands for a value that comes over a link."""
        known = [(name, value) for name, value in values.items() if value is not None]
        mine = [cut for node, cut in _cuts if node == runtime.running_node()]
        return sum(all(cut.get(name, value) == value for name, value in known) for cut in mine)

    @classmethod
    def execute(
        cls,
        model: runtime.ManagedModel,
        tokenizer: runtime.Managed,
        gamma_t: str,
        gamma_i: str,
        vary: str,
        values: str,
        seed: int,
        aspect_ratio: str,
        size: str,
        tau: float,
        top_p: float,
        top_k: int,
        text: TextFeatures | None = None,
        semantic: SemanticFeatures | None = None,
        content: ContentFeatures | None = None,
        text_encoder: runtime.Managed | None = None,
    ) -> io.NodeOutput:
        columns = parse_numbers(gamma_t, "γ_t", 0.0, GAMMA_MAX, MOST)
        rows = sorted(parse_numbers(gamma_i, "γ_I", 0.0, GAMMA_MAX, MOST), reverse=True)
        pages = pages_of(vary, values, Page("", text, seed, tau, top_p, top_k), text_encoder)
        schedule = schedule_for(model.preset, size, aspect_ratio)
        _check_room(len(pages), len(columns), len(rows), schedule)
        sheets = [_sheet(page, columns, rows, schedule) for page in pages]
        table = _table(columns, rows, pages, vary)
        _tell(cls.hidden, table)
        progress = runtime.progress_bar(len(pages) * len(rows) * len(columns))
        drawn: list[Bits] = []
        try:
            subject = Subject(semantic, content)
            for cell, step in _draw(model, tokenizer, sheets, columns, rows, subject, schedule):
                told = _put(sheets[cell.page], cell, step, tokenizer)
                drawn.append(replace(step.bits, scales=tuple(bits.cpu() for bits in step.bits.scales)))
                _tell(cls.hidden, {**table, "cells": [told]})
                progress.update(1)
        except runtime.Interrupted:
            if not drawn:
                raise
            if len(drawn) < len(pages) * len(rows) * len(columns):
                asked = dict(gamma_t=gamma_t, gamma_i=gamma_i, vary=vary, values=values, seed=seed)
                asked |= dict(aspect_ratio=aspect_ratio, size=size, tau=tau, top_p=top_p, top_k=top_k)
                _cuts.append((runtime.running_node(), asked))
            runtime.stop_what_follows()
        done = [sheet for sheet in sheets if sheet.cells]
        grids = adapters.handed_on(
            torch.cat([adapters.image_from_pil(sheet.grid.image)[0] for sheet in done])
        )
        cells = [cell for sheet in done for cell in sheet.cells]
        return io.NodeOutput(grids, drawn, ui={"echogen_sweep": [{**table, "cells": cells}]})


def pages_of(vary: str, values: str, own: Page, text_encoder: runtime.Managed | None) -> list[Page]:
    """The grids to draw: `own` when nothing is varied. Raises ValueError for values that do not fit."""
    if vary == "prompt":
        prompts = list(dict.fromkeys(filter(None, (line.strip() for line in values.splitlines()))))
        if not 1 <= len(prompts) <= MOST:
            raise ValueError(f"prompt: expected 1 to {MOST} prompts, one a line, got {len(prompts)}.")
        if text_encoder is None:
            raise ValueError("To vary the prompt connect text_encoder, from Load EchoGen.")
        encoder, device = runtime.loaded(text_encoder), text_encoder.device
        encoded = [encoder.encode(prompt, device=device) for prompt in prompts]
        return [own._replace(title=prompt, text=text) for prompt, text in zip(prompts, encoded, strict=True)]
    if vary == "seed":
        numbers = parse_numbers(values, "seed", 0, _EXACT, MOST)
        return [own._replace(title=f"seed {n:.0f}", seed=int(n)) for n in numbers]
    if vary == "tau":
        return [own._replace(title=f"tau {n:g}", tau=n) for n in parse_numbers(values, "tau", 0.01, 10, MOST)]
    return [own]


def _check_room(pages: int, columns: int, rows: int, schedule: ScaleSchedule) -> None:
    """MemoryError where main memory has no room for the grids."""
    height, width = schedule.pixels_hw
    across, down = min(LONGEST, columns * width), min(LONGEST, rows * height)
    room.check_room(
        pages * across * down * _BYTES,
        f"{pages} grids of {across}×{down} px",
        "Give shorter lists, or a smaller size.",
    )


def _table(columns: list[float], rows: list[float], pages: list[Page], vary: str) -> dict[str, Any]:
    """A sweep without its cells, as the front end knows it; run: unlike that of every other sweep.

    set: what a page takes to the sampler beside γ_t and γ_I.
    """
    varied = [vary] if vary in ("tau", "seed") else []
    told = [
        {"title": page.title[:_TITLE], "set": {name: getattr(page, name) for name in varied}}
        for page in pages
    ]
    return {"run": uuid.uuid4().hex, "columns": columns, "rows": rows, "pages": told, "cells": []}


def _tell(hidden: Any, table: dict[str, Any]) -> None:
    """Sends a sweep, or its newest cell, to the browser: for that node of that workflow, open or not."""
    saved = hidden.extra_pnginfo
    workflow = saved.get("workflow") if isinstance(saved, dict) else None
    graph = workflow.get("id") if isinstance(workflow, dict) else None
    address = {"node": hidden.unique_id, "graph": graph}
    runtime.tell_front_end("echogen.cell", {**address, **table})


def _sheet(page: Page, columns: list[float], rows: list[float], schedule: ScaleSchedule) -> Sheet:
    across, down = ([f"{value:g}" for value in values] for values in (columns, rows))
    grid = LabelledGrid(
        schedule.pixels_hw, across, down, page.title or f"seed {page.seed}", ("prompt", "subject")
    )
    return Sheet(page, grid, [])


def _draw(
    model: runtime.ManagedModel,
    tokenizer: runtime.Managed,
    sheets: list[Sheet],
    columns: list[float],
    rows: list[float],
    subject: Subject,
    schedule: ScaleSchedule,
) -> Iterator[tuple[Cell, ScaleStep]]:
    """The finished last scale of every cell; the branches are computed once for all cells of a page."""
    for number, sheet in enumerate(sheets):
        page = sheet.page
        conditions = RunConditions(page.text, subject.semantic, subject.content)
        branches = runs.prepare(model, conditions, schedule, 1, tokenizer)
        for (row, gamma_i), (column, gamma_t) in product(enumerate(rows), enumerate(columns)):
            guidance = Guidance.constant(gamma_t, gamma_i, len(schedule.scales))
            settings = settings_for(model.preset, guidance, page.tau, page.top_p, page.top_k)
            *_, last = sample(model.module, branches, schedule, [page.seed], settings)
            yield Cell(number, row, column, gamma_t, gamma_i), last
        del branches  # or they would still be there while the next page's are computed


def _put(sheet: Sheet, cell: Cell, step: ScaleStep, tokenizer: runtime.Managed) -> dict[str, Any]:
    """Decodes a cell's picture into the grid; what the front end is told of it."""
    picture = to_pil(runtime.decode(tokenizer, step.codes_BdHW)[0])
    sheet.grid.put(cell.row, cell.column, picture)
    picture.thumbnail((_SHOWN, _SHOWN))
    told = {**cell._asdict(), "picture": adapters.keep_for_session(picture, "sweep")}
    sheet.cells.append(told)
    return told


def _sockets() -> list[Any]:
    return [
        *_samplers("model"),
        adapters.Tokenizer.Input("tokenizer", tooltip="From Load EchoGen: makes the pictures of the cells."),
        *_samplers("text", "semantic", "content"),
        adapters.TextEncoder.Input(
            "text_encoder", optional=True, tooltip="From Load EchoGen. Only to vary the prompt."
        ),
    ]


def _samplers(*names: str) -> list[Any]:
    """Inputs that are the sampler's own."""
    own = {field.id: field for field in Sampler.define_schema().inputs}
    return [own[name] for name in names]


def _lists() -> list[Any]:
    gammas = {
        "gamma_t": ("γ_t (prompt)", "columns"),
        "gamma_i": ("γ_I (subject)", "rows, the highest on top"),
    }
    return [
        *(
            io.String.Input(
                name,
                display_name=label,
                default="1-4",
                tooltip=f"The {place}: up to {MOST} values from 0 to 8. {SYNTAX}",
            )
            for name, (label, place) in gammas.items()
        ),
        io.Combo.Input(
            "vary",
            options=list(VARIED),
            default="nothing",
            tooltip="A third list: one grid for each of its values.",
        ),
        io.String.Input(
            "values",
            multiline=True,
            default="",
            tooltip=f"The third list, up to {MOST} values: numbers for tau and seed, written as above; "
            "prompts one a line. Without effect when nothing is varied.",
        ),
    ]


NODES: list[type[Any]] = [Sweep]
