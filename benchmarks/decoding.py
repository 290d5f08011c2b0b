"""Processor seconds of decoding with the fast convolutions and without: `python benchmarks/decoding.py`.

Random weights at a preset's own size (`--preset`, 0.1B's 256 px unless said otherwise), in float32 on the
processor. With more than two threads (`OMP_NUM_THREADS`) both are the usual ones. "of the limit": of the
speed of one large matrix product, measured first, at the multiply-adds of the usual convolutions; above 100 %
there are fewer of them.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

sys.path.append(str(Path(__file__).resolve().parents[1]))

from echogen_core.config import PRESETS
from echogen_core.scales import find_schedule
from echogen_core.tokenizer import BitTokenizer, convolution


def processor_seconds(work: Callable[[], object], runs: int) -> float:
    """Median over all threads, after one run that warms up."""
    times = []
    for _ in range(runs + 1):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return statistics.median(times[1:])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=list(PRESETS), default="echogen-0.1b")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    preset = PRESETS[args.preset]
    tokenizer = BitTokenizer(preset.tokenizer).eval()
    codes_1DHW = torch.randn(1, preset.tokenizer.bits, *find_schedule(preset.budget).scales[-1])
    square = torch.randn(2048, 2048)
    speed = 2 * 2048**3 / processor_seconds(lambda: square @ square, args.runs)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        plain(lambda: tokenizer.decode(codes_1DHW))
    operations = counter.get_total_flops()
    print(f"{preset.name}: {operations / 1e9:.1f} GFLOP, {torch.get_num_threads()} threads, a matrix product")
    print(f"at {speed / 1e9:.0f} GFLOP/s: {operations / speed:.3f} s")
    usual = processor_seconds(lambda: plain(lambda: tokenizer.decode(codes_1DHW)), args.runs)
    fast = processor_seconds(lambda: tokenizer.decode(codes_1DHW), args.runs)
    for name, seconds in (("usual", usual), ("fast", fast)):
        print(f"{name:6}{seconds:8.3f} s, {operations / seconds / speed:.0%} of the limit")
    shown = tokenizer.decode(codes_1DHW)
    apart = (shown - plain(lambda: tokenizer.decode(codes_1DHW))).abs().max().item()
    print(f"ratio {fast / usual:.2f}, largest difference {apart * 255:.4f} of 255")


def plain(work: Callable[[], torch.Tensor]) -> torch.Tensor:
    """The result of `work` with PyTorch's convolutions alone."""
    kept, convolution._LEAST_WORK = convolution._LEAST_WORK, sys.maxsize
    try:
        return work()
    finally:
        convolution._LEAST_WORK = kept


if __name__ == "__main__":
    main()
