"""γ Sweep: one picture for every pair of γ_t and γ_I, in a grid."""

from __future__ import annotations

from collections import deque
from typing import Any

from comfy_api.latest import io

from echogen_core.encoders.known_words import scene_notes
from echogen_core.encoders.prompt_weights import parse_weights
from echogen_core.features import ContentFeatures, SemanticFeatures, TextFeatures
from echogen_core.sampling import Bits, RunConditions
from echogen_core.utils.number_list import SYNTAX, parse_numbers
from echogen_core.utils.printable import counted

from . import adapters, notices, runtime
from .adapters import CATEGORY, schema
from .drawing import PictureRun
from .edit_wires import PictureEdit, RegionInputs
from .guidance import GAMMA_MAX
from .sampling import Sampler, editing_sockets, negative_notes, schedule_for, valid_ratio
from .sweep_grids import MAX_VALUES, VARIED, Page, SweepRun, pages_of

_cancelled: deque[tuple[str, dict[str, Any]]] = deque(maxlen=100)
"""Node id and values of cancelled sweeps, so that ComfyUI does not reuse their partial grids."""


class Sweep(io.ComfyNode):
    """A grid over γ_t and γ_I."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenGammaSweep",
            display_name="γ Sweep (CFG grid)",
            category=f"{CATEGORY}/sampling",
            description="Draws the picture once for every pair of γ_t and γ_I, in a labelled grid. Subject "
            "and prompt are computed once. Cancel ends the run and keeps the finished pictures.",
            search_aliases=["xy plot", "xyz plot", "grid search", "gamma sweep", "parameter sweep", "cfg"],
            inputs=[
                *_connected_inputs(),
                *_list_widgets(),
                *_sampler_inputs("seed", "aspect_ratio", "size", "tau", "top_p", "top_k"),
                *editing_sockets(),
            ],
            outputs=[
                io.Image.Output(
                    "grid",
                    display_name="grid",
                    tooltip="The labelled grid, one for each value of the third axis.",
                ),
                adapters.Bits.Output(
                    "bits",
                    display_name="bits",
                    is_output_list=True,
                    tooltip="The bits of each picture as a list: left to right, top to bottom, grid by grid.",
                ),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.extra_pnginfo],
            is_output_node=True,  # shows its cells with nothing connected behind it, and from ComfyUI's cache
        )

    @classmethod
    def fingerprint_inputs(cls, **values: Any) -> int:
        """How often a sweep with these values was cancelled; None is a value that comes over a link."""
        known = [(name, value) for name, value in values.items() if value is not None]
        cancelled = [each for node, each in _cancelled if node == runtime.running_node()]
        return sum(all(each.get(name, value) == value for name, value in known) for each in cancelled)

    @classmethod
    def validate_inputs(cls, aspect_ratio: str | None = None) -> bool | str:
        return valid_ratio(aspect_ratio)

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
        edit: PictureEdit | None = None,
        regions: tuple[RegionInputs, ...] = (),
        negative: TextFeatures | None = None,
    ) -> io.NodeOutput:
        columns = parse_numbers(gamma_t, "γ_t", 0.0, GAMMA_MAX, MAX_VALUES)
        rows = sorted(parse_numbers(gamma_i, "γ_I", 0.0, GAMMA_MAX, MAX_VALUES), reverse=True)
        pages = pages_of(vary, values, Page("", text, seed, tau, top_p, top_k), text_encoder)
        schedule, notes = schedule_for(model.preset, size, aspect_ratio, edit)
        conditions = RunConditions(text, semantic, content, negative=negative)
        run = PictureRun(model, schedule, conditions, regions, edit)
        notes += run.check(1)
        notes += negative_notes(negative, columns, regions)
        sweep = SweepRun(run, tokenizer, pages, columns, rows)
        table = sweep.table(vary)
        _send(cls.hidden, table)
        drawn: list[Bits] = []
        try:
            for cell, bits in sweep.draw():
                drawn.append(bits)
                _send(cls.hidden, {**table, "cells": [cell]})
        except runtime.Interrupted:
            if not drawn:
                raise
            if len(drawn) < sweep.total:
                values_drawn = dict(gamma_t=gamma_t, gamma_i=gamma_i, vary=vary, values=values, seed=seed)
                values_drawn |= dict(aspect_ratio=aspect_ratio, size=size, tau=tau, top_p=top_p, top_k=top_k)
                _cancelled.append((runtime.running_node(), values_drawn))
            runtime.interrupt_prompt()
        grids, cells = sweep.finished()
        notes += _prompt_notes(model.preset.name, [page.title for page in pages]) if vary == "prompt" else []
        if sweep.missed:
            notes.append(
                f"No subject stood out in {sweep.missed} of {counted(len(drawn), 'picture')}, so the mask "
                "was drawn anew as a whole there."
            )
        shown = {**notices.shown(notes), "echogen_sweep": [{**table, "cells": cells}]}
        return io.NodeOutput(grids, drawn, ui=shown)


def _prompt_notes(preset: str, prompts: list[str]) -> list[str]:
    weights = [note for prompt in prompts for note in parse_weights(prompt).notes]
    return [*dict.fromkeys(weights), *scene_notes(preset, prompts)]


def _send(hidden: Any, table: dict[str, Any]) -> None:
    """Sends a sweep, or its newest cell, to the browser, addressed to the node in its workflow."""
    saved = hidden.extra_pnginfo
    workflow = saved.get("workflow") if isinstance(saved, dict) else None
    graph = workflow.get("id") if isinstance(workflow, dict) else None
    address = {"node": hidden.unique_id, "graph": graph}
    runtime.send_event("echogen.cell", {**address, **table})


def _connected_inputs() -> list[Any]:
    return [
        *_sampler_inputs("model"),
        adapters.Tokenizer.Input(
            "tokenizer", tooltip="From Load EchoGen. It turns the bits into the grid's pictures."
        ),
        *_sampler_inputs("text", "semantic", "content"),
        adapters.TextEncoder.Input(
            "text_encoder",
            display_name="text encoder",
            optional=True,
            tooltip="From Load EchoGen. Needed only if the third axis is the prompt.",
        ),
    ]


def _sampler_inputs(*names: str) -> list[Any]:
    """Inputs defined as the sampler's."""
    fields = {field.id: field for field in Sampler.define_schema().inputs}
    return [fields[name] for name in names]


def _list_widgets() -> list[Any]:
    gammas = {
        "gamma_t": ("γ_t (prompt)", "Columns"),
        "gamma_i": ("γ_I (subject)", "Rows, highest on top"),
    }
    return [
        *(
            io.String.Input(
                name,
                display_name=label,
                default="1-4",
                tooltip=f"{place}: up to {MAX_VALUES} values from 0 to 8. {SYNTAX}",
            )
            for name, (label, place) in gammas.items()
        ),
        io.Combo.Input(
            "vary",
            display_name="third axis",
            options=list(VARIED),
            default="nothing",
            tooltip="Draws one grid for each value of tau, seed or prompt.",
        ),
        io.String.Input(
            "values",
            display_name="third axis values",
            multiline=True,
            default="",
            tooltip=f"Up to {MAX_VALUES} values for the third axis: numbers written as above, or one prompt "
            "per line. Not used if it is none.",
        ),
    ]


NODES: list[type[Any]] = [Sweep]
