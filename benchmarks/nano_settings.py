"""Measures choices of γ_t, γ_I and tau for the miniature, on subjects it was trained on.

`python benchmarks/nano_settings.py --data DATA [--weights BUNDLE]`. Prints subject retrieval@1, similarity
and scene accuracy of every combination. Features are EfficientNet-Lite0's: Lite2 judges the held-out subjects
and must not have chosen anything.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from echogen_core.checkpoints import load_bundle
from echogen_core.config import find_preset
from echogen_core.utils.option_types import Joined, gammas, numbers
from miniature.data.dataset import Compositor
from miniature.evaluation.evaluator import Evaluator
from miniature.evaluation.generation import Miniature
from miniature.evaluation.judge import Judge
from miniature.evaluation.protocol import OTHER_VIEW, Task, make_task
from miniature.evaluation.results import Row
from miniature.training.options import add_options, check_picture_size, find_device

SEED = 9000


def main() -> None:
    """Print the figures of every combination of settings."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder made by `python -m miniature prepare`"
    )
    parser.add_argument("--weights", type=Path, help="bundle folder (default: the one in the pack)")
    parser.add_argument("--subjects", type=int, default=60, help="number of training subjects (default: 60)")
    parser.add_argument("--gamma-t", type=gammas, nargs="+", action=Joined, default=[2.0, 3.0, 4.0, 5.0])
    parser.add_argument("--gamma-i", type=gammas, nargs="+", action=Joined, default=[2.0, 3.0, 4.0])
    parser.add_argument("--tau", type=numbers(0.01, 10), nargs="+", action=Joined, default=[0.3, 0.5, 0.7])
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default: 2)")
    add_options(parser)
    options = parser.parse_args()
    check_picture_size(options.data, find_preset(options.preset))
    torch.set_num_threads(options.threads)
    device = find_device(options.device)
    miniature = Miniature(load_bundle(options.preset, options.weights, device=device))
    evaluator = Evaluator(
        Judge(device, lite=0), training_task(options.data, options.subjects), options.data, SEED
    )
    print("| γ_t γ_I tau | retrieval@1 | similarity | scene accuracy |\n|---|---|---|---|")
    line(evaluator.row("real, next view", evaluator.task.real(OTHER_VIEW)))
    for gamma_t, gamma_i, tau in itertools.product(options.gamma_t, options.gamma_i, options.tau):
        settings = replace(miniature.preset, gamma_t=gamma_t, gamma_i=gamma_i, tau=tau)
        line(evaluator.row(f"{gamma_t:g} {gamma_i:g} {tau:g}", miniature.generate(evaluator.task, settings)))


def training_task(data: Path, subjects: int) -> Task:
    """One prompt for each of `subjects` training subjects."""
    seen = Compositor(data, "train", seed=SEED, icons=False)
    # spread over the list, which is sorted by name: neighbours are of one kind
    step = max(1, len(seen.subjects) // subjects)
    seen.views_NVHW4, seen.subjects = seen.views_NVHW4[::step][:subjects], seen.subjects[::step][:subjects]
    subjects_N = torch.arange(len(seen.subjects))
    return make_task(seen, subjects_N, subjects_N % len(seen.scenes), SEED)


def line(row: Row) -> None:
    """Print a row of the table."""
    figures = " | ".join(f"{row.measure(name).value:.3f}" for name in ("retrieved", "similarity", "scenes"))
    print(f"| {row.name} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
