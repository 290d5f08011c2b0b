"""Trains the miniature's content encoder: latents that tell pixels, the tokenizer's latents, and their place.

`python -m miniature content --data DATA --tokenizer FILE --out RUN --minutes 12`; run again, it
goes on. Linear heads read each cell's own pixels, the tokenizer's latents there, and its row and column: what
the transformer copies from is then nearly linear in what it writes, and although content tokens carry no
position of their own, it can tell where a detail belongs.

Shape suffixes: B pictures, C channels, H and W pixels, h and w cells.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echogen_core.checkpoints import load_part
from echogen_core.checkpoints.save import save_part
from echogen_core.config import find_preset
from echogen_core.encoders import ContentEncoder, ContentEncoderConfig
from echogen_core.encoders.config import find_encoders
from echogen_core.encoders.pictures import reference_picture
from echogen_core.tokenizer import BitTokenizer
from echogen_core.training.run_folder import only_run
from echogen_core.training.state import fitting

from ..data.dataset import Compositor, Mix
from .encoder_run import EncoderRun, Objective, Optimisation
from .options import check_size, device_of, encoder_parser


@dataclass(frozen=True)
class Recipe:
    """Settings of a run; the defaults trained the shipped weights.

    pictures: a step. icons: share of icons among them. ground: weight of cells without any of the subject.
    deviation: standard deviation of the exported latents.
    """

    pictures: int = 48
    icons: float = 0.4
    optimisation: Optimisation = field(
        default_factory=lambda: Optimisation(2e-3, muon=0.01, weight_decay=0.01)
    )
    pixel_weight: float = 4.0
    place_weight: float = 0.1
    unit_weight: float = 0.05
    ground: float = 0.15
    deviation: float = 7.0
    seed: int = 11


class Readings(NamedTuple):
    """What the heads read: pixels in -1..1, the tokenizer's latents, logits of row and column."""

    pixels_BChw: Tensor
    latents_BDhw: Tensor
    rows_BGhw: Tensor
    columns_BGhw: Tensor


class Lesson(NamedTuple):
    """References at the encoder's size, and the tokenizer's latents of them, per channel at mean 0 and
    deviation 1.
    """

    references_B3HW: Tensor
    wanted_BDhw: Tensor


class Trainee(nn.Module):
    """The encoder with the heads that only training needs."""

    def __init__(self, tokenizer: BitTokenizer, config: ContentEncoderConfig, recipe: Recipe) -> None:
        super().__init__()
        self.recipe, self.patch, self.grid = recipe, config.factor, config.grid
        self.encoder = ContentEncoder(config)
        self.widths = (3 * self.patch**2, tokenizer.config.bits, self.grid, self.grid)
        self.heads = nn.Conv2d(config.latent_channels, sum(self.widths), 1)

    def forward(self, lesson: Lesson) -> Objective:
        """The losses of what the heads read."""
        images_B3HW, wanted_BDhw = lesson
        latents_BChw = self.encoder(images_B3HW).float()
        read = Readings(*self.heads(latents_BChw).float().split(self.widths, dim=1))
        pixels_BChw = F.pixel_unshuffle(images_B3HW * 2 - 1, self.patch)
        weight_B1hw = self._weight(images_B3HW)
        losses = {
            "pixels": ((read.pixels_BChw - pixels_BChw).square() * weight_B1hw).mean(),
            "latents": ((read.latents_BDhw - wanted_BDhw).square() * weight_B1hw).mean(),
            "place": self._place_loss(read),
            "unit": latents_BChw.mean((0, 2, 3)).square().mean()
            + (latents_BChw.var((0, 2, 3)) - 1).square().mean(),
        }
        recipe = self.recipe
        total = recipe.pixel_weight * losses["pixels"] + losses["latents"]
        total = total + recipe.place_weight * losses["place"] + recipe.unit_weight * losses["unit"]
        return Objective(total, {name: loss.detach() for name, loss in losses.items()})

    def _weight(self, images_B3HW: Tensor) -> Tensor:
        """Subjects stand on white: all else is theirs."""
        seen_B1HW = (images_B3HW < 0.98).any(1, keepdim=True).float()
        return self.recipe.ground + (1 - self.recipe.ground) * F.avg_pool2d(seen_B1HW, self.patch)

    def _place_loss(self, read: Readings) -> Tensor:
        cells = torch.arange(self.grid, device=read.rows_BGhw.device)
        shape = (len(read.rows_BGhw), self.grid, self.grid)
        return F.cross_entropy(read.rows_BGhw, cells[:, None].expand(shape)) + F.cross_entropy(
            read.columns_BGhw, cells.expand(shape)
        )


class Teacher:
    """Pictures of subjects on white with the tokenizer's latents of them. size: the encoder's."""

    def __init__(
        self, data: Path, tokenizer: BitTokenizer, size: int, recipe: Recipe, device: torch.device
    ) -> None:
        self.tokenizer, self.size = tokenizer.to(device), size
        self.seen = Compositor(data, "train", seed=recipe.seed, device=device)
        self.unseen = Compositor(data, "heldout", seed=recipe.seed, device=device)
        self.mix = Mix(icons=recipe.icons)
        latents_BDhw = self._latents(self._draw(self.seen, 128, 0))
        self.mean_1D11 = latents_BDhw.mean((0, 2, 3), keepdim=True)
        self.deviation_1D11 = latents_BDhw.std((0, 2, 3), keepdim=True)

    def lesson(self, source: Compositor, count: int, seed: int) -> Lesson:
        """`count` pictures out of `seen` or `unseen`."""
        images_B3HW = self._draw(source, count, seed)
        return Lesson(images_B3HW, (self._latents(images_B3HW) - self.mean_1D11) / self.deviation_1D11)

    def _draw(self, source: Compositor, count: int, seed: int) -> Tensor:
        source.generator.manual_seed(seed)
        return reference_picture(source.batch(count, self.mix).references_B3HW, self.size)

    @torch.no_grad()
    def _latents(self, images_B3HW: Tensor) -> Tensor:
        return self.tokenizer.latent(images_B3HW).float()


@torch.no_grad()
def evaluate(trainee: Trainee, teacher: Teacher) -> dict[str, float]:
    """On unseen subjects: pixels in dB, the explained share of the tokenizer's latents, the place's loss."""
    trainee.eval()
    lesson = teacher.lesson(teacher.unseen, 64, trainee.recipe.seed)
    images_B3HW, wanted_BDhw = lesson
    losses = trainee(lesson).parts
    read = Readings(*trainee.heads(trainee.encoder(images_B3HW)).float().split(trainee.widths, dim=1))
    error = F.mse_loss(read.pixels_BChw / 2, F.pixel_unshuffle(images_B3HW * 2 - 1, trainee.patch) / 2)
    rest = F.mse_loss(read.latents_BDhw, wanted_BDhw) / wanted_BDhw.var()
    trainee.train()
    return {
        "heldout_psnr": round(-10 * math.log10(float(error)), 2),
        "heldout_explained": round(1 - float(rest), 3),
        "heldout_place": round(float(losses["place"]), 3),
    }


def scaled(encoder: ContentEncoder, deviation: float) -> ContentEncoder:
    """The encoder with its latents so many times as large."""
    channels = encoder.config.latent_channels
    with torch.no_grad():
        encoder.conv_out.weight[:channels] *= deviation
        encoder.conv_out.bias[:channels] *= deviation
    return encoder


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = encoder_parser("content", __doc__)
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer.safetensors of its stage")
    parser.add_argument("--start", type=Path, help="content.safetensors to begin with, as far as it fits")
    parser.add_argument("--pictures", type=int, default=Recipe.pictures, help="pictures a step")
    arguments = parser.parse_args(argv)
    with only_run(arguments.out):
        train(arguments)
    return 0


def train(options: argparse.Namespace) -> None:
    """The whole of a run: steps, and the file it leaves."""
    torch.set_num_threads(options.threads)
    recipe, device = Recipe(pictures=options.pictures), device_of(options.device)
    check_size(options.data, find_preset(options.preset))
    torch.manual_seed(recipe.seed)
    tokenizer = load_part(options.tokenizer, "tokenizer")
    trainee = Trainee(tokenizer, find_encoders(options.preset).content, recipe)
    if options.start:
        fitting(trainee.encoder, load_part(options.start, "content").state_dict())
        scaled(trainee.encoder, 1 / recipe.deviation)
    run = EncoderRun(options.out, trainee, recipe.optimisation, options.minutes, device)
    teacher = Teacher(options.data, tokenizer, trainee.encoder.config.reference_size, recipe, device)

    def objective(step: int) -> Objective:
        lesson = teacher.lesson(teacher.seen, recipe.pictures, recipe.seed * 1_000_003 + step)
        result: Objective = trainee(lesson)
        return result

    run.train(objective, lambda: evaluate(trainee, teacher))
    encoder = scaled(trainee.encoder, recipe.deviation)
    save_part(options.out / "content.safetensors", "content", encoder, encoder.config)
