"""Peak memory of a run beside a naive one and the memory model: `python benchmarks/memory.py [--preset …]`.

On a GPU the allocator's own peak. Elsewhere tensors are counted without being computed (FakeTensorMode), so
that full size fits anywhere: what a kernel allocates inside itself, tens of megabytes, is then missing.
Random weights. Naive: see sampler.py. Bytes of the transformer alone; weights included, all on the device.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch._subclasses import FakeTensorMode

sys.path.extend(str(Path(__file__).resolve().parents[1] / folder) for folder in ("", "tests", "benchmarks"))

from live_bytes import LiveBytes
from naive_run import naive_sample
from random_models import random_conditions, random_transformer
from sampler import parse

from echogen_core.config import PRESETS, TransformerConfig
from echogen_core.dtypes import DTYPES, FP8
from echogen_core.model import EchoGenTransformer
from echogen_core.model.rope import sequence_rope
from echogen_core.sampling import PrefillCache, RunConditions, SamplingSettings, sample
from echogen_core.sampling.memory import GIGABYTE, Run, estimate_memory
from echogen_core.scales import find_schedule

Work = Callable[[EchoGenTransformer, RunConditions, Run, torch.device], object]


def ours(model: EchoGenTransformer, conditions: RunConditions, run: Run, device: torch.device) -> None:
    """Prefill and sampling as the nodes do them."""
    assert conditions.guidance is not None
    branches = PrefillCache(model).branches(*conditions)
    for _ in sample(
        model, branches, run.schedule, range(run.pictures), SamplingSettings(conditions.guidance)
    ):
        pass


def naive(model: EchoGenTransformer, conditions: RunConditions, run: Run, device: torch.device) -> None:
    """The same without our savings."""
    assert conditions.guidance is not None
    naive_sample(model, conditions, run, range(run.pictures), device, conditions.guidance)


def peak(work: Work, config: TransformerConfig, run: Run, device: torch.device) -> int:
    """Bytes at the peak of `work`, weights included."""
    conditions = random_conditions(config, run)
    if device.type == "cuda":
        model = random_transformer(config, run.dtype).to(device)
        gc.collect()
        torch.cuda.reset_peak_memory_stats(device)
        work(model, conditions, run, device)
        highest = int(torch.cuda.max_memory_allocated(device))
        del model
        return highest
    # kept for all runs, so it must not be made while nothing is computed
    sequence_rope(run.schedule, config.head_width, int(config.subject))
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = EchoGenTransformer(config, dtype=run.dtype).eval().requires_grad_(False)
        with LiveBytes(model) as counted:
            work(model, conditions, run, device)
        return counted.peak


def main() -> None:
    """Measure every setting and print."""
    args = parse(__doc__, runs=1)
    preset, device = PRESETS[args.preset], torch.device(args.device)
    plain = Run(find_schedule(preset.budget), args.pictures, dtype=DTYPES[args.dtype], prompt_tokens=24)
    rows = {
        "equal γ (two branches)": plain,
        "γ apart (three branches)": replace(plain, branches=3),
        "equal γ, cache fp8": replace(plain, cache_dtype=FP8),
    }
    how = torch.cuda.get_device_name(device) if device.type == "cuda" else "counted, not computed"
    print(f"{args.preset}, random weights, {args.dtype}, {args.pictures} picture(s), {how}; GB")
    heads = ("ours", "naive", "ratio", "model", "off by", "two-phase", "streamed")
    print(f"{'run':28}" + "".join(f"{head:>10}" for head in heads))
    compared = peak(naive, preset.transformer, plain, device)
    for title, run in rows.items():
        measured = peak(ours, preset.transformer, run, device)
        said = estimate_memory(preset.transformer, run)
        print(
            f"{title:28}{measured / GIGABYTE:10.3f}{compared / GIGABYTE:10.3f}{measured / compared:10.2f}"
            f"{said.resident / GIGABYTE:10.3f}{said.resident / measured - 1:10.1%}"
            f"{said.two_phase / GIGABYTE:10.3f}{said.streamed / GIGABYTE:10.3f}"
        )


if __name__ == "__main__":
    main()
