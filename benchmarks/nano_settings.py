"""Which γ_t, γ_I and tau suit the miniature, on subjects that it was trained on.

`python benchmarks/nano_settings.py --data DATA [--weights BUNDLE]`. Prints, for every choice, how often the
picture's subject is found among the references, how like it is, and how often the scene is told. Features are
EfficientNet-Lite0's: Lite2 judges the held-out subjects and must not have chosen anything.
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
from miniature.data.dataset import Compositor
from miniature.evaluation import examination
from miniature.evaluation.draw import Miniature
from miniature.evaluation.judge import Judge
from miniature.evaluation.protocol import OTHER_VIEW, Task, make_task
from miniature.training.options import add_options, check_size, device_of

SEED = 9000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, help="another bundle than the pack's own")
    parser.add_argument("--subjects", type=int, default=60)
    parser.add_argument("--gamma-t", type=float, nargs="+", default=[2.0, 3.0, 4.0, 5.0])
    parser.add_argument("--gamma-i", type=float, nargs="+", default=[2.0, 3.0, 4.0])
    parser.add_argument("--tau", type=float, nargs="+", default=[0.3, 0.5, 0.7])
    add_options(parser)
    options = parser.parse_args()
    check_size(options.data, find_preset(options.preset))
    torch.set_num_threads(2)
    device = device_of(options.device)
    miniature = Miniature(load_bundle(options.preset, options.weights, device=device))
    examiner = examination.Examiner(
        Judge(device, lite=0), training_task(options.data, options.subjects), options.data, SEED
    )
    print("| γ_t γ_I tau | retrieval@1 | likeness | scene |\n|---|---|---|---|")
    line(examiner.row("real, next view", examiner.task.real(OTHER_VIEW)))
    for gamma_t, gamma_i, tau in itertools.product(options.gamma_t, options.gamma_i, options.tau):
        ask = replace(miniature.preset, gamma_t=gamma_t, gamma_i=gamma_i, tau=tau)
        line(examiner.row(f"{gamma_t:g} {gamma_i:g} {tau:g}", miniature.pictures(examiner.task, ask)))


def training_task(data: Path, subjects: int) -> Task:
    """One question about each of so many subjects of the training."""
    seen = Compositor(data, "train", seed=SEED, icons=False)
    # spread over the list, which is sorted by name: neighbours are of one kind
    step = max(1, len(seen.subjects) // subjects)
    seen.views_NVHW4, seen.subjects = seen.views_NVHW4[::step][:subjects], seen.subjects[::step][:subjects]
    subjects_N = torch.arange(len(seen.subjects))
    return make_task(seen, subjects_N, subjects_N % len(seen.scenes), SEED)


def line(row: examination.Row) -> None:
    figures = " | ".join(f"{row.measure(name).value:.3f}" for name in ("retrieved", "similarity", "scenes"))
    print(f"| {row.name} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
