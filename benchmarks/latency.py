"""Seconds per picture, apart by stage: `python benchmarks/latency.py [--model nano] [--runs 15]`.

Cold: everything computed. Warm: only γ changed, so subject and prompt come from the prefill cache. The ratios
compare, in the same run, guidance that needs two branches with guidance that needs three, and a warm with a
cold picture. Medians; the machine and the threads are printed because the seconds mean nothing without them.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from echogen_core.pipeline import EchoGenPipeline, Settings
from echogen_core.sampling import Guidance, SamplingSettings, sample
from echogen_core.scales import find_schedule


def median_seconds(run: Callable[[int], object], runs: int) -> float:
    """Median wall time of `run(i)`, after one run that warms up."""
    run(-1)
    times = []
    for index in range(runs):
        began = time.perf_counter()
        run(index)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def measure(pipeline: EchoGenPipeline, runs: int) -> dict[str, float]:
    """Stage -> median seconds."""
    preset = pipeline.preset
    side = preset.reference_size
    reference = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    prompt = "a teddy bear in a forest"
    subject = pipeline.encode_reference(reference)
    branches = pipeline.branches(prompt, subject)
    schedule = find_schedule(preset.budget)

    def prefill(_: int) -> None:
        pipeline.prefill.clear()
        pipeline.branches(prompt, subject)

    def draw(index: int, gamma_t: float, gamma_i: float, seeds: int = 1) -> torch.Tensor:
        guidance = Guidance.constant(gamma_t, gamma_i, len(schedule.scales))
        settings = SamplingSettings(guidance, preset.tau, preset.top_p)
        steps = sample(
            pipeline.bundle.transformer,
            branches,
            schedule,
            list(range(index + 1, index + 1 + seeds)),
            settings,
        )
        return list(steps)[-1].codes_BdHW

    codes = draw(0, 2.0, 3.0)

    def cold(index: int) -> None:
        pipeline.prefill.clear()
        fresh = pipeline.encode_reference(reference)
        pipeline.generate(pipeline.branches(prompt, fresh), [index + 1])

    def warm(index: int) -> None:
        settings = Settings(gamma_t=2.0 + 0.01 * index, gamma_i=3.0)
        pipeline.generate(pipeline.branches(prompt, subject), [0], settings)

    return {
        "encode reference": median_seconds(lambda _: pipeline.encode_reference(reference), runs),
        "encode text": median_seconds(lambda _: pipeline.bundle.text.encode(prompt), runs),
        "prefill, three branches": median_seconds(prefill, runs),
        "sampling, three branches": median_seconds(lambda i: draw(i, 2.0, 3.0), runs),
        "sampling, two branches (equal γ)": median_seconds(lambda i: draw(i, 2.5, 2.5), runs),
        "sampling, one branch (γ = 1)": median_seconds(lambda i: draw(i, 1.0, 1.0), runs),
        "sampling, batch of 8, each": median_seconds(lambda i: draw(i, 2.0, 3.0, 8), runs) / 8,
        "decoding": median_seconds(lambda _: pipeline.bundle.tokenizer.decode(codes), runs),
        "whole picture, cold": median_seconds(cold, runs),
        "whole picture, only γ changed": median_seconds(warm, runs),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--runs", type=int, default=15)
    args = parser.parse_args()
    seconds = measure(EchoGenPipeline.from_bundle(args.model, args.weights), args.runs)
    print(f"{args.model}, torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}")
    for stage, value in seconds.items():
        print(f"{stage:36} {value * 1000:8.1f} ms")
    two, three = seconds["sampling, two branches (equal γ)"], seconds["sampling, three branches"]
    print(f"two branches / three branches        {two / three:8.2f}")
    warm, cold = seconds["whole picture, only γ changed"], seconds["whole picture, cold"]
    print(f"only γ changed / cold                {warm / cold:8.2f}")


if __name__ == "__main__":
    main()
