"""Seconds of a picture, part by part, as the paper counts: segmentation, encoders, sampling, decoding.

Everything is done anew in every run, as for a picture and a prompt never seen. Sampling is the backbone: the
prefill of the branches that the guidance needs, and every scale. The models are loaded before, not counted.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from PIL import Image

from ..features import Subject as Features
from ..pipeline import EchoGenPipeline
from ..sampling import ScaleStep
from ..scales import find_schedule
from . import paper_figures
from .reference_cut import Segmentation
from .variants import Model, Variant

FILE = "latency.json"
T = TypeVar("T")

STAGES = ("segmentation", "text encoder", "semantic encoder", "content encoder", "sampling", "decoding")


class Case(NamedTuple):
    """What is asked for: a picture of the subject, what a detector looks for in it, and the prompt."""

    image: Image.Image
    phrase: str
    prompt: str


class Measured(NamedTuple):
    """Stage -> median seconds, and the medians of the encoders together and of everything."""

    stages: dict[str, float]
    encoders: float
    total: float


def measure(
    pipeline: EchoGenPipeline, segmentation: Segmentation, case: Case, variant: Variant, runs: int
) -> Measured:
    """Medians over `runs` pictures after one that warms up. Raises ValueError for no runs."""
    if runs < 1:
        raise ValueError(f"Expected at least one run, got {runs}.")
    rows = [_one_picture(pipeline, segmentation, case, variant, seed) for seed in range(runs + 1)][1:]
    encoders = [sum(row[stage] for stage in STAGES if stage.endswith("encoder")) for row in rows]
    return Measured(
        {stage: statistics.median(row[stage] for row in rows) for stage in STAGES},
        statistics.median(encoders),
        statistics.median(sum(row.values()) for row in rows),
    )


def describe(
    model: Model, variant: Variant, pipeline: EchoGenPipeline, segmentation: Segmentation, runs: int
) -> dict[str, str]:
    """The settings and the machine, without which seconds mean nothing."""
    schedule = find_schedule(pipeline.preset.budget)
    height, width = schedule.pixels_hw
    return {
        "model": model.title,
        "settings": f"{variant.label}, tau {pipeline.preset.tau:g}, top_p {pipeline.preset.top_p:g}",
        "picture": f"{width} x {height} px, {len(schedule.scales)} scales, {schedule.tokens} tokens",
        "segmentation by": segmentation.name,
        "type of the numbers": model.dtype,
        "machine": machine(model.device),
        "torch": f"{torch.__version__}, {torch.get_num_threads()} threads",
        "counted": f"medians of {runs} single pictures after one to warm up; loading not counted",
    }


def machine(device: torch.device) -> str:
    """The processor or the accelerator by name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    names = Path("/proc/cpuinfo")
    lines = names.read_text(encoding="utf-8").splitlines() if names.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.processor() or platform.machine()}, {platform.system()}"


def as_json(measured: Measured, about: Mapping[str, str]) -> dict[str, Any]:
    """For machines, and for the page of a benchmark in the same folder."""
    return {"about": dict(about), "seconds": measured._asdict()}


def markdown(measured: Measured, about: Mapping[str, str]) -> str:
    """For people, beside what the paper says of EchoGen-2B."""
    ours = {
        "segmentation": measured.stages["segmentation"],
        "encoders": measured.encoders,
        **{f"– {stage}": measured.stages[stage] for stage in STAGES if stage.endswith("encoder")},
        "sampling": measured.stages["sampling"],
        "decoding": measured.stages["decoding"],
        "all": measured.total,
    }
    theirs = {name: f"{seconds:.2f} s" for name, seconds in paper_figures.LATENCY.items()}
    theirs |= {"all": paper_figures.COMPARISON[-1].latency}
    rows = [f"| {name} | {seconds:.3f} s | {theirs.get(name, '–')} |" for name, seconds in ours.items()]
    return "\n".join(
        [
            f"| part | {about['model']}, measured here | EchoGen-2B on an H20, published |",
            "|---|---|---|",
            *rows,
            "",
            *(f"- {name}: {value}" for name, value in about.items()),
            "",
            "The paper gives no seconds of decoding apart, and does not say where the text encoder counts.",
            "",
        ]
    )


def _one_picture(
    pipeline: EchoGenPipeline, segmentation: Segmentation, case: Case, variant: Variant, seed: int
) -> dict[str, float]:
    """Stage -> seconds of one picture from nothing."""
    fresh, seconds = EchoGenPipeline(pipeline.bundle), {}  # nothing remembered
    bundle, device = pipeline.bundle, pipeline.bundle.transformer.null_text.device

    def timed(stage: str, run: Callable[[], T]) -> T:
        began = _now(device)
        result = run()
        seconds[stage] = _now(device) - began
        return result

    cut_13SS = timed("segmentation", lambda: segmentation.cut(case.image, case.phrase))
    timed("text encoder", lambda: fresh.text(case.prompt))
    semantic = timed("semantic encoder", lambda: bundle.semantic.encode(cut_13SS))
    content = timed("content encoder", lambda: bundle.content.encode(cut_13SS))
    sampled: list[float] = []

    def after_scale(step: ScaleStep) -> None:
        if step.last:
            sampled.append(_now(device))

    began = _now(device)
    branches = fresh.branches(case.prompt, Features(semantic, content), variant.settings)
    fresh.generate(branches, [seed], variant.settings, on_scale=after_scale)
    seconds |= {"sampling": sampled[0] - began, "decoding": _now(device) - sampled[0]}
    return seconds


def _now(device: torch.device) -> float:
    """Seconds, when all that was asked of the device is done: an accelerator outlives the call."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()
