"""What a weight in the prompt does to nano's pictures: `python benchmarks/prompt_weights.py [--seeds N]`.

A phrase with a weight stands in the prompt alone, or beside a rival. Each picture is compared with those of
the same subject and seed whose prompt has no weight: 0 is the picture without the phrase (with the rival), 1
the one with it, as far as small versions of them tell. *Extrapolated* goes on from the features without the
phrase through those with it, token by token, as ComfyUI's own text encoders do.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from echogen_core.encoders.prompt_weights import parse_weights, token_weights
from echogen_core.features import Subject, TextFeatures
from echogen_core.pictures import from_pil
from echogen_core.pipeline import EchoGenPipeline
from echogen_core.subject.samples import open_sample, sample_names

WEIGHTS = (0.0, 0.4, 0.7, 1.0, 1.4, 2.0, 3.0)
CASES = (
    ("a {} on a meadow{}", " on the left", ""),
    ("a {} in a city{}", " on the right", ""),
    ("a {}{}", " in a forest", ""),
    ("a {}{}", " in Venice", ""),
    ("a {} on a meadow{}", " on the left", " on the right"),
    ("a {} in a city{}", " on the right", " on the left"),
    ("a {}{}", " in a forest", " in Venice"),
    ("a {}{}", " on a meadow", " in a city"),
)
"""Prompt with places for the subject's name and the phrases; phrase with a weight; its rival."""

Encode = Callable[[str], TextFeatures]


class Bench:
    """nano with its sample subjects, each drawn with every seed."""

    def __init__(self, seeds: int) -> None:
        self.pipeline = EchoGenPipeline.from_bundle("nano")
        self._seeds = range(seeds)
        self._subjects = {
            name.split(".")[0].replace("_", " "): self.pipeline.subject(from_pil(open_sample(name))[None])
            for name in sample_names()
        }

    def small_pictures(self, template: str, phrase: str, encode: Encode) -> Tensor:
        """Pictures of all subjects and seeds, 16 x 16 averages as rows, [N, 768]."""
        return torch.cat(
            [
                self._drawn(encode(template.format(name, phrase)), subject)
                for name, subject in self._subjects.items()
            ]
        )

    def extrapolated(self, prompt: str) -> TextFeatures:
        """The prompt's rows, each moved away from the empty prompt's by its weight."""
        weighted, encoder = parse_weights(prompt), self.pipeline.bundle.text
        rows_LC = encoder.encode(weighted.text).tokens_LC
        empty_C = encoder.encode("", allow_empty=True).tokens_LC[-1]
        spans = encoder.tokenizer(weighted.text, return_offsets_mapping=True)["offset_mapping"]
        weights_L1 = torch.tensor(token_weights(weighted.segments, spans))[:, None]
        return TextFeatures(empty_C + weights_L1 * (rows_LC - empty_C))

    def _drawn(self, text: TextFeatures, subject: Subject) -> Tensor:
        branches = self.pipeline.prefill.branches(text, subject.semantic, subject.content)
        images_B3HW = self.pipeline.generate(branches, self._seeds).images_B3HW
        return F.adaptive_avg_pool2d(images_B3HW, 16).flatten(1)


def way_to(pictures_ND: Tensor, without_ND: Tensor, with_ND: Tensor) -> Tensor:
    """How far the pictures are on the straight way between two others, [N]; 0: the first, 1: the second."""
    way_ND = with_ND - without_ND
    return ((pictures_ND - without_ND) * way_ND).sum(1) / way_ND.square().sum(1)


def main() -> None:
    """Print a row for each prompt and way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=8, help="pictures of each subject (default: 8)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(options.seeds)
    plain = bench.pipeline.text
    print(f"| prompt | features | {' | '.join(f'{weight:g}' for weight in WEIGHTS)} |")
    print("|---" * (len(WEIGHTS) + 2) + "|")
    for template, phrase, rival in CASES:
        without_ND = bench.small_pictures(template, rival, plain)
        with_ND = bench.small_pictures(template, phrase, plain)
        for name, encode in (("layers", plain), ("extrapolated", bench.extrapolated)):
            ways = [
                way_to(
                    bench.small_pictures(template, f" ({phrase[1:]}:{weight}){rival}", encode),
                    without_ND,
                    with_ND,
                )
                for weight in WEIGHTS
            ]
            figures = " | ".join(
                f"{way_N.mean():.2f} ± {way_N.std() / len(way_N) ** 0.5:.2f}" for way_N in ways
            )
            print(f"| {template.format('…', f' ({phrase[1:]}:w){rival}')} | {name} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
