"""Seconds of prefill, sampling and decoding beside a naive run: `python benchmarks/sampler.py [--preset …]`.

Random weights, so that any machine can measure any size: `--preset echogen-2b --device cuda --dtype bf16`.
Naive is the same model in the same process with three branches always, a prefill for every run, keys and
values that grow by concatenation, and dense masks. Medians; a ratio below 1 is in our favour.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.extend(str(Path(__file__).resolve().parents[1] / folder) for folder in ("", "tests"))

from naive_run import naive_sample
from random_models import random_conditions, random_transformer

from echogen_core.config import PRESETS
from echogen_core.dtypes import DTYPES
from echogen_core.sampling import Guidance, PrefillCache, SamplingSettings, sample
from echogen_core.sampling.memory import Run
from echogen_core.scales import find_schedule
from echogen_core.tokenizer import BitTokenizer


def parse(description: str | None, runs: int) -> argparse.Namespace:
    """The options that both benchmarks take."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--preset", choices=list(PRESETS), default="nano")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--dtype", choices=list(DTYPES), default="bf16" if torch.cuda.is_available() else "fp32"
    )
    parser.add_argument("--pictures", type=int, default=1)
    parser.add_argument("--runs", type=int, default=runs)
    return parser.parse_args()


def median_seconds(work: Callable[[], object], runs: int, device: torch.device) -> float:
    """Median wall time, the device's own work included, after one run that warms up."""
    times = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def measure(args: argparse.Namespace) -> list[tuple[str, float, float | None]]:
    """Stage, our seconds, the naive run's."""
    preset, device, dtype = PRESETS[args.preset], torch.device(args.device), DTYPES[args.dtype]
    model = random_transformer(preset.transformer, dtype).to(device)
    run = Run(find_schedule(preset.budget), args.pictures, dtype=dtype, prompt_tokens=24)
    prefill = PrefillCache(model)
    seeds = list(range(args.pictures))
    equal = Guidance.constant(2.5, 2.5, len(run.schedule.scales))
    apart = Guidance.constant(3.0, 2.0, len(run.schedule.scales))
    conditions = random_conditions(preset.transformer, run)._replace(guidance=None)

    def branches(guidance: Guidance, cold: bool) -> object:
        if cold:
            prefill.clear()
        return prefill.branches(*conditions[:3], guidance)

    def ours(guidance: Guidance, cold: bool) -> torch.Tensor:
        made = branches(guidance, cold)
        return list(sample(model, made, run.schedule, seeds, SamplingSettings(guidance)))[-1].codes_BdHW

    def naive(guidance: Guidance) -> torch.Tensor:
        return naive_sample(model, conditions, run, seeds, device, guidance)

    def seconds(work: Callable[[], object]) -> float:
        return median_seconds(work, args.runs, device)

    codes = ours(equal, True)
    tokenizer = BitTokenizer(preset.tokenizer, dtype=model.dtype, device=device).eval()
    plain = seconds(lambda: naive(equal))
    three = seconds(lambda: naive(apart))
    return [
        ("prefill, equal γ", seconds(lambda: branches(equal, True)), None),
        ("cold run, equal γ", seconds(lambda: ours(equal, True)), plain),
        ("cold run, γ apart", seconds(lambda: ours(apart, True)), three),
        ("only γ or seed changed, equal γ", seconds(lambda: ours(equal, False)), plain),
        ("only γ or seed changed, γ apart", seconds(lambda: ours(apart, False)), three),
        ("decoding", seconds(lambda: tokenizer.decode(codes)), None),
    ]


def main() -> None:
    """Measure and print."""
    args = parse(__doc__, runs=5)
    machine = torch.cuda.get_device_name(args.device) if args.device.startswith("cuda") else "CPU"
    print(
        f"{args.preset}, random weights, {args.dtype}, {args.pictures} picture(s), {machine}, "
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, median of {args.runs}"
    )
    print(f"{'stage':34}{'ours':>12}{'naive':>12}{'ratio':>8}")
    for stage, ours, naive in measure(args):
        compared = f"{naive * 1000:9.1f} ms{ours / naive:8.2f}" if naive else ""
        print(f"{stage:34}{ours * 1000:9.1f} ms{compared}")


if __name__ == "__main__":
    main()
