"""What a picture costs, the whole way, in one table: `python benchmarks/end_to_end.py [--device cuda]`.

The parts, one after the other (`--only` for some of them):

graph     the quickstart with nano through a real ComfyUI: cold, after a change of γ, with previews and
          without, node by node. `ECHOGEN_COMFYUI` names the ComfyUI folder, whose Python this must be.
stages    prefill, sampling and decoding apart
growth    sampling and decoding with size, pictures at once, and regions
memory    the most that a run takes, and what the nodes expect it to take
golden    the official code's numbers on this device

All but the graph have random weights, so that any machine can measure any size. On a CPU these are models
that a CPU can draw with (--only memory counts EchoGen-2B's without computing); on a card it is EchoGen-2B at
its full size, in a few minutes. --tiny: the same with models that only show that this runs. Figures are
medians; the ratio compares with a naive run of the same model (tests/naive_run.py) in the same process, or
with what the table names.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import torch

sys.path.extend(str(Path(__file__).resolve().parents[1] / folder) for folder in ("", "tests", "benchmarks"))

import golden
import model_runs
from devices import Processor, find_device
from model_runs import Case, Figure
from random_models import SMALL

from echogen_core.config import PRESETS, Preset, TokenizerConfig
from echogen_core.dtypes import FP8
from echogen_core.sampling.memory import Run
from echogen_core.scales import find_schedule

TARGETS = {
    "sampling with prefill, γ_t = γ_I": 1.0,
    "sampling, only γ changed, γ_t = γ_I": 0.6,
    "decoding": 0.15,
}
"""Seconds on a card of the H100's class, for EchoGen-2B at about 1024 px."""
TARGET_MEMORY = {torch.bfloat16: 14.0, FP8: 8.0}
"""Type of the matrices -> GB, with the KV cache in fp8."""
TINY = Preset(
    "tiny",
    replace(SMALL, depth=1, width=64, heads=2, content_length=64, semantic_length=17),
    TokenizerConfig(
        bits=SMALL.bits, base_channels=8, channel_multipliers=(1, 1, 1, 1, 1), res_blocks=1, norm_groups=8
    ),
    budget="0.06M",
    reference_size=64,
)
PROMPT_TOKENS = 24


class Plan(NamedTuple):
    """What is measured.

    growing: the case from which size, pictures and regions grow. targets: seconds of the stages.
    """

    stages: Sequence[Case]
    growing: Case
    sizes: Sequence[str]
    memory: Sequence[Case]
    targets: Mapping[str, float]

    @property
    def growth(self) -> dict[str, list[Case]]:
        """What grows -> cases."""
        start = self.growing
        return {
            "regions": [replace(start, regions=count) for count in (0, 1, 2)],
            "pictures": [replace(start, run=replace(start.run, pictures=count)) for count in (1, 2, 4)],
            "size": [case(start.preset, start.run.dtype, budget) for budget in self.sizes],
        }


def case(
    preset: Preset, dtype: torch.dtype, budget: str = "", cache_dtype: torch.dtype | None = None
) -> Case:
    """One picture; budget "": the preset's own."""
    schedule = find_schedule(budget or preset.budget)
    return Case(preset, Run(schedule, dtype=dtype, prompt_tokens=PROMPT_TOKENS, cache_dtype=cache_dtype))


def plan(card: bool, tiny: bool, preset: str | None = None) -> Plan:
    """Sizes for a card or a CPU; preset: the one model whose stages are measured (None: the usual ones)."""
    large = TINY if tiny else PRESETS["echogen-2b"]
    packed = [case(large, dtype, cache_dtype=FP8) for dtype in TARGET_MEMORY]
    plain = case(large, torch.bfloat16)
    if card or tiny:
        stages, growing = [plain, packed[-1]], case(large, torch.bfloat16, "0.06M")
    else:
        models = PRESETS["nano"], PRESETS["echogen-0.1b"]
        stages = [case(model, dtype) for model in models for dtype in (torch.float32, torch.bfloat16)]
        growing = case(models[-1], torch.float32)
    if preset:
        dtypes = (torch.bfloat16,) if card else (torch.float32, torch.bfloat16)
        stages = [case(PRESETS[preset], dtype) for dtype in dtypes]
    sizes = ("0.06M", "0.25M") if tiny else ("0.06M", "0.25M", "1M")
    in_memory = packed[-1:] if tiny else [plain, *packed]
    return Plan(stages, growing, sizes, in_memory, TARGETS if card else {})


def graph_part(plan: Plan, device: Processor, runs: int) -> Iterator[Figure]:
    """Needs what the tests need, which the other parts do without."""
    import graph_runs

    yield from graph_runs.figures(runs)


def stages_part(plan: Plan, device: Processor, runs: int) -> Iterator[Figure]:
    for each in plan.stages:
        yield from model_runs.stages(each, device, runs, plan.targets)


def growth_part(plan: Plan, device: Processor, runs: int) -> Iterator[Figure]:
    yield from model_runs.growth(plan.growth, device, runs)


def memory_part(plan: Plan, device: Processor, runs: int) -> Iterator[Figure]:
    for each in plan.memory:
        target = TARGET_MEMORY[each.run.dtype] if plan.targets and each.run.cache_dtype == FP8 else None
        yield from model_runs.memory(each, device, target)


def golden_part(plan: Plan, device: Processor, runs: int) -> Iterator[Figure]:
    found = [*golden.differences(device.device.type)]
    title = f"{len(found)} cases, {sum(each.of_bits for each in found)} bits"
    yield Figure("golden", title, "bits that differ", sum(each.bits for each in found), "")
    for measure in ("logits", "codes"):
        worst = max(getattr(each, measure) for each in found)
        yield Figure("golden", title, f"{measure}: largest difference, as a share of the largest", worst, "")


PARTS: dict[str, Callable[[Plan, Processor, int], Iterator[Figure]]] = {
    "graph": graph_part,
    "stages": stages_part,
    "growth": growth_part,
    "memory": memory_part,
    "golden": golden_part,
}


def as_json(figure: Figure) -> str:
    """One line."""
    name, other = figure.against or (None, None)
    compared = {"against": name, "against_value": other, "ratio": figure.value / other if other else None}
    return json.dumps({**figure._asdict(), **compared}, ensure_ascii=False)


def markdown(figures: Sequence[Figure]) -> str:
    """A table for each part; the longer of cases and measures goes down."""
    tables = []
    for part, of_part in groupby(figures, key=lambda figure: figure.part):
        rows = list(of_part)
        cases, measures = (
            list(dict.fromkeys(getattr(r, name) for r in rows)) for name in ("case", "measure")
        )
        cells = {(row.case, row.measure): cell(row) for row in rows}
        if len(measures) > len(cases):
            cells = {(measure, case): text for (case, measure), text in cells.items()}
            cases, measures = measures, cases
        lines = [[part, *measures], ["---"] * (1 + len(measures))]
        lines += [[case, *(cells.get((case, measure), "") for measure in measures)] for case in cases]
        tables.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    return "\n\n".join(tables)


def cell(figure: Figure) -> str:
    """The value, its ratio, and its target."""
    words = f"{figure.value:.3g} {figure.unit}".rstrip()
    if figure.against and figure.against[1]:
        words += f", {figure.value / figure.against[1]:.2f} × {figure.against[0]}"
    if figure.target is not None:
        words += f" (target {figure.target:g}: {'met' if figure.value <= figure.target else 'missed'})"
    return words


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--tiny", action="store_true", help="models too small to mean anything, in seconds")
    parser.add_argument("--preset", choices=list(PRESETS), help="measure the stages of this model alone")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), help="default: all; the graph on a CPU")
    parser.add_argument("--runs", type=int, default=3, help="that medians are taken of (default: 3)")
    parser.add_argument("--out", type=Path, help="file that a JSON line is added to for each figure")
    return parser.parse_args()


def main() -> None:
    """Measure, print each figure as it comes, and the tables at the end."""
    args = parse()
    device = find_device(args.device)
    chosen = args.only or [part for part in PARTS if part != "graph" or args.device == "cpu"]
    print(f"{device.name}, median of {args.runs}", flush=True)
    figures, planned = [], plan(args.device == "cuda", args.tiny, args.preset)
    for part in chosen:
        for figure in PARTS[part](planned, device, args.runs):
            figures.append(figure)
            line = as_json(figure)
            print(line, flush=True)
            if args.out:
                with args.out.open("a", encoding="utf-8") as out:
                    out.write(line + "\n")
    print(markdown(figures))


if __name__ == "__main__":
    main()
