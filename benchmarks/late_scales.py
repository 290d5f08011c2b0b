"""What leaving branches out at the last scales saves and changes: `python benchmarks/late_scales.py`.

Every way is a guidance schedule, as the node Guidance Schedule makes them: a branch of no weight isn't
computed. Against constant γ with the same seeds, by turns: the processor's seconds, and the share of the bits
that are others, for EchoGen-0.1B with random weights. With `--data DATA`, a folder of `python -m miniature
prepare` (128 px), also for nano, on the held-out subjects, judged as `python -m miniature evaluate` does:
subject retrieval@1, scene accuracy, and the mean difference of a pixel from constant γ, of 255.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

sys.path.extend(str(Path(__file__).resolve().parents[1] / folder) for folder in ("", "tests"))

from random_models import GUIDANCE, random_conditions, random_transformer

from echogen_core.config import PRESETS
from echogen_core.model import EchoGenTransformer
from echogen_core.pictures import reduced
from echogen_core.pipeline import EchoGenPipeline
from echogen_core.sampling import Bits, Branches, Guidance, PrefillCache, SamplingSettings, sample
from echogen_core.sampling.memory import Run
from echogen_core.scales import ScaleSchedule, find_schedule
from miniature.evaluation.evaluator import Evaluator
from miniature.evaluation.judge import Judge
from miniature.evaluation.protocol import Task, build_task
from miniature.training.options import check_picture_size

PRESET = "echogen-0.1b"  # of random weights
SEED = 1000
BATCH = 20


class Way(NamedTuple):
    """How many of the last scales have one branch (γ_t = γ_I = 1); how many before them two (γ_t = γ_I)."""

    one: int = 0
    two: int = 0

    def guidance(self, gamma_t: float, gamma_i: float, scales: int) -> Guidance:
        """γ at the other scales; of two branches both have γ_I."""
        first = scales - self.one - self.two
        curves = (
            (gamma,) * first + (gamma_i,) * self.two + (1.0,) * self.one for gamma in (gamma_t, gamma_i)
        )
        return Guidance(*curves)

    @property
    def title(self) -> str:
        """In the tables."""
        if self == CONSTANT:
            return "constant"
        scales, branches = (self.one, "one branch") if self.one else (self.two, "two branches")
        return f"{branches} at the last {'scale' if scales == 1 else f'{scales} scales'}"


CONSTANT = Way()
ONE = (CONSTANT, Way(one=1), Way(one=2), Way(one=3))
TWO = (CONSTANT, Way(two=1), Way(two=2))


class Drawn(NamedTuple):
    """Bits and summed codes of pictures, and the processor's seconds that they took."""

    bits: Bits
    codes_BdHW: Tensor
    seconds: float


def draw(
    model: EchoGenTransformer,
    branches: Branches | Sequence[Branches],
    schedule: ScaleSchedule,
    seeds: Sequence[int],
    settings: SamplingSettings,
) -> Drawn:
    """Pictures, up to their decoding."""
    began = time.process_time()
    *_, step = sample(model, branches, schedule, seeds, settings)
    return Drawn(step.bits, step.codes_BdHW, time.process_time() - began)


def changed_bits(drawn: Drawn, constant: Drawn) -> float:
    """Share of all bits."""
    pairs = zip(drawn.bits.scales, constant.bits.scales, strict=True)
    other = [bits_BhwD.ne(before_BhwD).flatten() for bits_BhwD, before_BhwD in pairs]
    return torch.cat(other).float().mean().item()


def of_random_weights(runs: int) -> Iterator[str]:
    """Lines of the table of random weights, for equal γ and for different ones.

    Random weights' branches hardly differ, so that few bits change: only the seconds are a model's.
    """
    preset = PRESETS[PRESET]
    schedule = find_schedule(preset.budget)
    model = random_transformer(preset.transformer)
    text, semantic, content, *_ = random_conditions(preset.transformer, Run(schedule))
    branches = PrefillCache(model).branches(text, semantic, content)
    for gammas, ways in ((GUIDANCE[2], ONE), (GUIDANCE[3], TWO)):
        drawn: dict[Way, list[Drawn]] = {way: [] for way in ways}
        for seed in range(runs):
            for way in ways:
                settings = SamplingSettings(way.guidance(*gammas, len(schedule.scales)))
                drawn[way].append(draw(model, branches, schedule, [seed], settings))
        constant = drawn[CONSTANT]
        for way, pictures in drawn.items():
            share = seconds(pictures) / seconds(constant)
            changed = statistics.mean(map(changed_bits, pictures, constant))
            yield f"| {gammas[0]:g} {gammas[1]:g} | {way.title} | {share:.2f} | {changed:.3f} |"


def seconds(pictures: Sequence[Drawn]) -> float:
    """Median of all."""
    return statistics.median(each.seconds for each in pictures)


def judged(data: Path, subjects: int, prompts: int) -> Iterator[str]:
    """Lines of nano's table, at its own γ."""
    task = build_task(data, subjects, prompts, SEED)
    evaluator = Evaluator(Judge(torch.device("cpu")), task, data, SEED)
    drawn: dict[Way, list[Drawn]] = {way: [] for way in ONE}
    images: dict[Way, list[Tensor]] = {way: [] for way in ONE}
    for way, batch, images_B3HW in pictures_of(task):
        drawn[way].append(batch)
        images[way].append(images_B3HW)
    constant_N3HW = torch.cat(images[CONSTANT])
    for way in ONE:
        images_N3HW = torch.cat(images[way])
        row = evaluator.row(way.title, images_N3HW)
        measures = (row.measure(name) for name in ("retrieved", "scenes"))
        judgement = " | ".join(f"{value:.3f} ± {error:.3f}" for value, error in measures)
        apart = (images_N3HW - constant_N3HW).abs().mean().item() * 255
        share = seconds(drawn[way]) / seconds(drawn[CONSTANT])
        changed = statistics.mean(map(changed_bits, drawn[way], drawn[CONSTANT]))
        yield f"| {way.title} | {share:.2f} | {judgement} | {changed:.3f} | {apart:.1f} |"


def pictures_of(task: Task) -> Iterator[tuple[Way, Drawn, Tensor]]:
    """A task's pictures, every way of one batch before the next."""
    pipeline = EchoGenPipeline.from_bundle("nano")
    pipeline.prefill = PrefillCache(pipeline.bundle.transformer, capacity=2 * BATCH + 16)
    preset, subjects = pipeline.preset, task.subjects_N.tolist()
    schedule = find_schedule(preset.budget)
    for start in range(0, len(subjects), BATCH):
        rows = range(start, min(start + BATCH, len(subjects)))
        references = {
            subjects[row]: pipeline.encode_reference(task.references_S3HW[subjects[row]][None])
            for row in rows
        }
        branches = [pipeline.branches(task.prompts[row], references[subjects[row]]) for row in rows]
        seeds = [task.seeds[row] for row in rows]
        for way in ONE:
            guidance = way.guidance(preset.gamma_t, preset.gamma_i, len(schedule.scales))
            settings = SamplingSettings(guidance, preset.tau, preset.top_p)
            drawn = draw(pipeline.bundle.transformer, branches, schedule, seeds, settings)
            images = torch.cat([*pipeline.bundle.tokenizer.decode_each(drawn.codes_BdHW)])
            yield way, drawn, reduced(images, schedule.pixels_hw)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder made by `python -m miniature prepare`")
    parser.add_argument("--subjects", type=int, default=60, help="held-out subjects (default: 60)")
    parser.add_argument("--prompts", type=int, default=5, help="scenes for each of them (default: 5)")
    parser.add_argument("--runs", type=int, default=3, help="of the random weights, each way (default: 3)")
    args = parser.parse_args()
    if args.data is not None:
        check_picture_size(args.data, PRESETS["nano"])
    print(f"{PRESET}, random weights\n| γ_t γ_I | | time | bits changed |\n|---|---|---|---|")
    for line in of_random_weights(args.runs):
        print(line, flush=True)
    if args.data is not None:
        print("\nnano, held-out subjects")
        print("| | time | retrieval@1 | scene accuracy | bits changed | pixels |\n|---|---|---|---|---|---|")
        for line in judged(args.data, args.subjects, args.prompts):
            print(line, flush=True)


if __name__ == "__main__":
    main()
