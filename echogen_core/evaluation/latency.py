"""Seconds per picture, stage by stage as in the paper: segmentation, encoders, sampling, decoding.

Every run starts from scratch, as for a new picture and prompt. Sampling is the backbone: the prefill of the
branches that the guidance needs, and every scale. Loading the models isn't counted.
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
from ..utils.json_text import read_json
from ..utils.printable import counted, printable
from . import paper_figures
from .reference_cut import Segmentation
from .variants import Model, Variant

FILE = "latency.json"
_FORMER_NAMES = {"type of the numbers": "dtype", "segmentation by": "segmenter", "counted": "protocol"}
_PARTS = ("about", "seconds")
_CONDITIONS = ("machine", "dtype", "settings", "segmenter", "protocol")
T = TypeVar("T")

STAGES = ("segmentation", "text encoder", "semantic encoder", "content encoder", "sampling", "decoding")


class Case(NamedTuple):
    """The picture of the subject, what a detector looks for in it, and the prompt."""

    image: Image.Image
    phrase: str
    prompt: str


class Measured(NamedTuple):
    """Stage -> median seconds; medians of all encoders together, and of everything."""

    stages: dict[str, float]
    encoders: float
    total: float


def measure(
    pipeline: EchoGenPipeline, segmentation: Segmentation, case: Case, variant: Variant, runs: int
) -> Measured:
    """Medians over `runs` pictures after a warm-up. Raises ValueError unless runs is at least 1."""
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
    """Settings and machine, in words."""
    schedule = find_schedule(pipeline.preset.budget)
    height, width = pipeline.bundle.tokenizer.config.drawn_hw(schedule.scales[-1])
    scales, tokens = counted(len(schedule.scales), "scale"), counted(schedule.tokens, "token")
    return {
        "model": model.title,
        "settings": f"{variant.label}, tau {pipeline.preset.tau:g}, top_p {pipeline.preset.top_p:g}",
        "picture": f"{width} x {height} px, {scales}, {tokens}",
        "segmenter": segmentation.name,
        "dtype": model.dtype,
        "machine": machine(model.device),
        "torch": f"{torch.__version__}, {counted(torch.get_num_threads(), 'thread')}",
        "protocol": f"medians of {counted(runs, 'single picture')} after a warm-up; loading not counted",
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
    """The content of latency.json."""
    return {"about": dict(about), "seconds": measured._asdict()}


def read_measured(path: Path) -> tuple[dict[str, str], float]:
    """Settings and machine (as `describe`), and total seconds, of a latency.json.

    Raises ValueError naming the file when it isn't one; OSError when there is none.
    """
    try:
        content = read_json(path)
        about, seconds = (content.get(name) if isinstance(content, dict) else None for name in _PARTS)
        if not isinstance(about, dict) or not isinstance(seconds, dict):
            raise ValueError(f"expected an object with {' and '.join(_PARTS)}")
        about = {_FORMER_NAMES.get(name, name): str(value) for name, value in about.items()}
        if missing := [name for name in _CONDITIONS if name not in about]:
            raise ValueError(f"it has no {', no '.join(missing)}")
        total = seconds.get("total")
        if not isinstance(total, int | float):
            raise ValueError(f"seconds.total is {total!r}, expected a number")
    except ValueError as error:
        raise ValueError(
            f"{printable(path)} is not as `latency` writes it ({error}). Delete it, or run `latency` again "
            "with the same --out."
        ) from error
    return about, float(total)


def conditions(about: Mapping[str, str]) -> str:
    """Under which conditions was measured, in one line."""
    *first, protocol = (about[name] for name in _CONDITIONS)
    return f"{', '.join(first)}; {protocol}"


def markdown(measured: Measured, about: Mapping[str, str]) -> str:
    """The content of latency.md: a table beside the paper's figures for EchoGen-2B."""
    ours = {
        "segmentation": measured.stages["segmentation"],
        "encoders": measured.encoders,
        **{f"– {stage}": measured.stages[stage] for stage in STAGES if stage.endswith("encoder")},
        "sampling": measured.stages["sampling"],
        "decoding": measured.stages["decoding"],
        "all": measured.total,
    }
    published = {name: f"{seconds:.2f} s" for name, seconds in paper_figures.LATENCY.items()}
    published |= {"all": paper_figures.COMPARISON[-1].latency}
    rows = [f"| {name} | {seconds:.3f} s | {published.get(name, '–')} |" for name, seconds in ours.items()]
    return "\n".join(
        [
            f"| part | {about['model']}, measured here | EchoGen-2B on an H20, published |",
            "|---|---|---|",
            *rows,
            "",
            *(f"- {name}: {value}" for name, value in about.items()),
            "",
            "The paper gives no seconds for decoding alone, and doesn't say where the text encoder counts.",
            "",
        ]
    )


def _one_picture(
    pipeline: EchoGenPipeline, segmentation: Segmentation, case: Case, variant: Variant, seed: int
) -> dict[str, float]:
    """Stage -> seconds of one picture made from scratch."""
    fresh, seconds = EchoGenPipeline(pipeline.bundle), {}  # no cache
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
    """The clock, after the device has finished: GPU calls return before they are done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()
