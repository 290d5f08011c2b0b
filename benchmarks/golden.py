"""How far each run lies from the official code's numbers: `python benchmarks/golden.py [--device cuda]`.

Per golden case the largest difference of the guided logits as a share of their largest magnitude, and of the
summed codes, and the bits that differ. The tests hold these to bounds; this shows them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from torch import Tensor

from tests.core import golden
from tests.core.sampling.test_sampling_golden import CASES, INFINITY_CASES, Case


class Difference(NamedTuple):
    """From one golden case; logits and codes as shares of the largest magnitude."""

    case: str
    logits: float
    codes: float
    bits: int
    of_bits: int


def differences(device: str) -> Iterator[Difference]:
    """Of every golden case. The golden models are on that device from then on."""
    for name in CASES + INFINITY_CASES:
        case = Case(name)
        golden.model(case.subject).to(device)
        steps = case.run()
        spans = case.schedule.spans
        logits = max(
            share(step.logits_BLd2, case.expected["logits_cfg"][:, start:end])
            for step, (start, end) in zip(steps, spans, strict=True)
        )
        bits = sum(
            int((step.bits.scales[-1].cpu().flatten(1, 2) != case.expected["bits"][:, start:end]).sum())
            for step, (start, end) in zip(steps, spans, strict=True)
        )
        codes = share(steps[-1].codes_BdHW, case.expected["summed_codes"])
        yield Difference(name, logits, codes, bits, case.expected["bits"].numel())


def share(ours: Tensor, official: Tensor) -> float:
    """Largest difference over the largest magnitude."""
    return float((ours.cpu() - official).abs().max() / official.abs().max())


def main() -> None:
    """Print the differences of every golden case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    print(f"{'case':40} {'logits':>9} {'codes':>9} {'bits that differ':>17}")
    for each in differences(parser.parse_args().device):
        print(f"{each.case:40} {each.logits:9.1e} {each.codes:9.1e} {each.bits:6} of {each.of_bits}")


if __name__ == "__main__":
    main()
