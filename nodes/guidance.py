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


class Schedule(io.ComfyNode):
    """Guidance from a shape, or from points drawn by hand."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenGuidanceSchedule",
            display_name="Guidance Schedule (EchoGen)",
            category=f"{CATEGORY}/sampling",
            description="γ_t and γ_I scale by scale, coarse to fine, for the sampler's guidance input: "
            "strong while the layout forms, off for the last scales, or along curves that you draw.",
            search_aliases=["cfg schedule", "gamma curve", "guidance curve", "dynamic cfg"],
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
        points = {name: _points(text, name) for name, text in drawn.items()}
        return io.NodeOutput(GuidanceSchedule(shape, gamma_t, gamma_i, end, **points))


def _points(text: str, name: str) -> tuple[float, ...]:
    return tuple(parse_numbers(text, name, 0.0, GAMMA_MAX, MAX_POINTS, repeats=True))


def _shape_widgets() -> list[Any]:
    ranges = dict(min=0.0, max=GAMMA_MAX, step=0.05)
    return [
        io.Combo.Input(
            "shape",
            options=list(SHAPES),
            default="late off",
            tooltip="constant: the same at every scale. early: in the first third of the scales only. late "
            "off: off in the last third, which takes most of the time. linear, cosine: falling to the end. "
            "drawn: through the points below.",
        ),
        io.Float.Input(
            "gamma_t",
            display_name="γ_t (prompt)",
            default=2.5,
            **ranges,
            tooltip="Start of the prompt's curve, 0 to 8. No effect if drawn.",
        ),
        io.Float.Input(
            "gamma_i",
            display_name="γ_I (subject)",
            default=2.5,
            **ranges,
            tooltip="Start of the subject's curve, 0 to 8. No effect if drawn.",
        ),
        io.Float.Input(
            "end",
            default=1.0,
            **ranges,
            tooltip="Value of both curves where they are off or have fallen, 0 to 8. 1: no amplification, "
            "and only one of three branches is computed. No effect on constant and drawn.",
        ),
    ]


def _point_widgets() -> list[Any]:
    names = {"points_t": "γ_t", "points_i": "γ_I"}
    return [
        io.String.Input(
            name,
            default="2.5, 2.5, 2.5, 2.5, 1",
            tooltip=f"{symbol} of the shape drawn: 1 to {MAX_POINTS} numbers from 0 to 8 separated by "
            "commas, evenly from the first scale to the last, straight lines between them.",
        )
        for name, symbol in names.items()
    ]


NODES: list[type[Any]] = [Schedule]
