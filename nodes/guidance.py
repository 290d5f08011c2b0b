"""Guidance Schedule: γ_t and γ_I as curves over the scales."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from echogen_core.sampling import GuidanceSchedule
from echogen_core.sampling.guidance import SHAPES
from echogen_core.utils.number_list import parse_numbers

from . import adapters
from .adapters import CATEGORY, schema

GAMMA_MAX = 8.0
"""Largest γ of all nodes."""
MAX_POINTS = 32
_SYMBOLS = {"points_t": "γ_t", "points_i": "γ_I"}
_LABELS = {name: f"{symbol} points" for name, symbol in _SYMBOLS.items()}


class Schedule(io.ComfyNode):
    """Guidance from a shape, or from points drawn by hand."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenGuidanceSchedule",
            display_name="Guidance Schedule (CFG curve)",
            category=f"{CATEGORY}/sampling",
            description="Changes γ_t and γ_I from scale to scale, for the sampler's guidance input: strong "
            "while the layout forms, off at the end, or along curves that you draw.",
            search_aliases=["cfg schedule", "cfg", "gamma curve", "guidance curve", "dynamic cfg"],
            inputs=[*_shape_widgets(), *_point_widgets()],
            outputs=[
                adapters.Guidance.Output(
                    "guidance", display_name="guidance", tooltip="For the sampler's guidance input."
                )
            ],
        )

    @classmethod
    def execute(
        cls, shape: str, gamma_t: float, gamma_i: float, end: float, points_t: str, points_i: str
    ) -> io.NodeOutput:
        drawn = {"points_t": points_t, "points_i": points_i} if shape == "drawn" else {}
        points = {name: _points(text, _LABELS[name]) for name, text in drawn.items()}
        return io.NodeOutput(GuidanceSchedule(shape, gamma_t, gamma_i, end, **points))


def _points(text: str, label: str) -> tuple[float, ...]:
    return tuple(parse_numbers(text, label, 0.0, GAMMA_MAX, MAX_POINTS, repeats=True))


def _shape_widgets() -> list[Any]:
    ranges = dict(min=0.0, max=GAMMA_MAX, step=0.05)
    return [
        io.Combo.Input(
            "shape",
            options=list(SHAPES),
            default="late off",
            tooltip="constant: the same at every scale. early only: the first third of the scales. off at "
            "end: off in the last third, which takes most of the time. linear, cosine: falling to the end "
            "value. drawn by hand: through the points below.",
        ),
        io.Float.Input(
            "gamma_t",
            display_name="γ_t (prompt)",
            default=2.5,
            **ranges,
            tooltip="Where the prompt's curve starts, 0 to 8. Not used if drawn by hand.",
        ),
        io.Float.Input(
            "gamma_i",
            display_name="γ_I (subject)",
            default=2.5,
            **ranges,
            tooltip="Where the subject's curve starts, 0 to 8. Not used if drawn by hand.",
        ),
        io.Float.Input(
            "end",
            display_name="end value",
            default=1.0,
            **ranges,
            tooltip="Where both curves end, 0 to 8. 1: no guidance, at a third of the cost. Not used if "
            "constant or drawn by hand.",
        ),
    ]


def _point_widgets() -> list[Any]:
    return [
        io.String.Input(
            name,
            display_name=_LABELS[name],
            default="2.5, 2.5, 2.5, 2.5, 1",
            tooltip=f"The curve of {symbol} if drawn by hand: 1 to {MAX_POINTS} numbers from 0 to 8, "
            "separated by commas, spread evenly from the first scale to the last.",
        )
        for name, symbol in _SYMBOLS.items()
    ]


NODES: list[type[Any]] = [Schedule]
