"""How far each run lies from the official code's numbers: `python benchmarks/golden.py`.

Per golden case the largest difference of the guided logits as a share of their largest magnitude, and of the
summed codes, and the bits that differ. The tests hold these to bounds; this shows them.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from torch import Tensor

from tests.core.sampling.test_sampling_golden import CASES, INFINITY_CASES, Case


def share(ours: Tensor, official: Tensor) -> float:
    """Largest difference over the largest magnitude."""
    return float((ours - official).abs().max() / official.abs().max())


def main() -> None:
    """Print the differences of every golden case."""
    print(f"{'case':40} {'logits':>9} {'codes':>9} {'bits that differ':>17}")
    for name in CASES + INFINITY_CASES:
        case = Case(name)
        steps = case.run()
        spans = case.schedule.spans
        logits = max(
            share(step.logits_BLd2, case.expected["logits_cfg"][:, start:end])
            for step, (start, end) in zip(steps, spans, strict=True)
        )
        bits = sum(
            int((step.bits.scales[-1].flatten(1, 2) != case.expected["bits"][:, start:end]).sum())
            for step, (start, end) in zip(steps, spans, strict=True)
        )
        codes = share(steps[-1].codes_BdHW, case.expected["summed_codes"])
        print(f"{name:40} {logits:9.1e} {codes:9.1e} {bits:6} of {case.expected['bits'].numel()}")


if __name__ == "__main__":
    main()
