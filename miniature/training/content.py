"""Trains the content encoder: `python -m miniature content --data DATA --tokenizer FILE --out RUN`.

Linear heads predict each cell's pixels, the tokenizer's latents and the cell's row and column from its
latent. What the transformer copies is then almost linear in what it has to predict, and a cell's position can
be read from its latent, since content tokens have no positional encoding. Run it again to continue.

`--start FILE --keep` goes on with an encoder without changing what its latents mean: the heads are fitted to
it as it is and stay so. A transformer that has learnt to read the latents can then read the new ones.

Shape suffixes: B pictures, C channels, H and W pixels, h and w cells.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echogen_core.checkpoints import load_part
from echogen_core.checkpoints.save import save_part
from echogen_core.config import find_preset
from echogen_core.encoders import ContentEncoder, ContentEncoderConfig
from echogen_core.encoders.reference import reference_picture
from echogen_core.encoders.sizes import find_encoders
from echogen_core.tokenizer import BitTokenizer
from echogen_core.training.run_folder import only_run
from echogen_core.utils.option_checks import Unused, refuse_unused
from echogen_core.utils.option_types import whole

from ..data.dataset import Compositor, Mix
from ..psnr import psnr
from .encoder_trainer import EncoderTrainer, OptimiserSettings, StepLoss
from .options import check_picture_size, encoder_parser, find_device, share
from .restore import load_matching

STATISTICS, HELDOUT = 128, 64
"""Pictures for the latents' mean and deviation, and held-out pictures that a run is evaluated on."""

FITTING, KEPT = 100, 0.2
"""With --keep: iterations that fit the heads, and the rates' factor."""

UNUSED = (Unused("--keep", lambda args: args.start is None, "without --start. Add it, or drop --keep."),)


@dataclass(frozen=True)
class ContentRecipe:
    """Settings of a run; the defaults trained the shipped weights.

    pictures: per step. icons: share of icons among them. photographic: share of subjects with another
    texture, and of those in another light (photographic.py). background: weight of cells without the subject.
    deviation: standard deviation of the exported latents.
    """

    pictures: int = 48
    icons: float = 0.4
    photographic: float = 0.0
    optimisation: OptimiserSettings = field(
        default_factory=lambda: OptimiserSettings(2e-3, muon=0.01, weight_decay=0.01)
    )
    pixel_weight: float = 4.0
    place_weight: float = 0.1
    unit_weight: float = 0.05
    background: float = 0.15
    deviation: float = 7.0
    seed: int = 11


class HeadOutputs(NamedTuple):
    """The heads' predictions: pixels in -1..1, the tokenizer's latents, logits of row and column."""

    pixels_BChw: Tensor
    latents_BDhw: Tensor
    rows_BGhw: Tensor
    columns_BGhw: Tensor


class ContentBatch(NamedTuple):
    """References at the encoder's size, with the tokenizer's latents standardised per channel."""

    references_B3HW: Tensor
    latents_BDhw: Tensor


class ContentWithHeads(nn.Module):
    """The encoder with its prediction heads, which are discarded after training."""

    def __init__(self, tokenizer: BitTokenizer, config: ContentEncoderConfig, recipe: ContentRecipe) -> None:
        super().__init__()
        self.recipe, self.patch, self.grid = recipe, config.factor, config.grid
        self.encoder = ContentEncoder(config)
        self.widths = (3 * self.patch**2, tokenizer.config.bits, self.grid, self.grid)
        self.heads = nn.Conv2d(config.latent_channels, sum(self.widths), 1)

    def forward(self, batch: ContentBatch) -> StepLoss:
        """Scalar losses of the heads' predictions from pictures [B, 3, H, W] and latents [B, D, h, w]."""
        return self.losses(self.encoder(batch.references_B3HW).float(), batch)

    def losses(self, latents_BChw: Tensor, batch: ContentBatch) -> StepLoss:
        """The same from the encoder's latents [B, C, h, w]."""
        images_B3HW, latents_BDhw = batch
        predicted = HeadOutputs(*self.heads(latents_BChw).float().split(self.widths, dim=1))
        pixels_BChw = F.pixel_unshuffle(images_B3HW * 2 - 1, self.patch)
        weight_B1hw = self._weight(images_B3HW)
        losses = {
            "pixels": ((predicted.pixels_BChw - pixels_BChw).square() * weight_B1hw).mean(),
            "latents": ((predicted.latents_BDhw - latents_BDhw).square() * weight_B1hw).mean(),
            "place": self._place_loss(predicted),
            "unit": latents_BChw.mean((0, 2, 3)).square().mean()
            + (latents_BChw.var((0, 2, 3)) - 1).square().mean(),
        }
        recipe = self.recipe
        total = recipe.pixel_weight * losses["pixels"] + losses["latents"]
        total = total + recipe.place_weight * losses["place"] + recipe.unit_weight * losses["unit"]
        return StepLoss(total, {name: loss.detach() for name, loss in losses.items()})

    def _weight(self, images_B3HW: Tensor) -> Tensor:
        """Weights of the cells: subjects are whatever is not white."""
        seen_B1HW = (images_B3HW < 0.98).any(1, keepdim=True).float()
        return self.recipe.background + (1 - self.recipe.background) * F.avg_pool2d(seen_B1HW, self.patch)

    def _place_loss(self, predicted: HeadOutputs) -> Tensor:
        cells = torch.arange(self.grid, device=predicted.rows_BGhw.device)
        shape = (len(predicted.rows_BGhw), self.grid, self.grid)
        return F.cross_entropy(predicted.rows_BGhw, cells[:, None].expand(shape)) + F.cross_entropy(
            predicted.columns_BGhw, cells.expand(shape)
        )


class BatchSource:
    """Draws references with the tokenizer's latents of them; size: of the encoder's input in pixels."""

    def __init__(
        self, data: Path, tokenizer: BitTokenizer, size: int, recipe: ContentRecipe, device: torch.device
    ) -> None:
        self.tokenizer, self.size = tokenizer.to(device), size
        self.train = Compositor(data, "train", seed=recipe.seed, device=device)
        self.heldout = Compositor(data, "heldout", seed=recipe.seed, device=device)
        self.mix = Mix(icons=recipe.icons, textured=recipe.photographic, relit=recipe.photographic)
        latents_BDhw = self._latents(self._draw(self.train, STATISTICS, 0))
        self.mean_1D11 = latents_BDhw.mean((0, 2, 3), keepdim=True)
        self.deviation_1D11 = latents_BDhw.std((0, 2, 3), keepdim=True)

    def draw(self, source: Compositor, count: int, seed: int) -> ContentBatch:
        """`count` references of `train` or `heldout`, always the same for a seed."""
        images_B3HW = self._draw(source, count, seed)
        return ContentBatch(images_B3HW, (self._latents(images_B3HW) - self.mean_1D11) / self.deviation_1D11)

    def _draw(self, source: Compositor, count: int, seed: int) -> Tensor:
        source.generator.manual_seed(seed)
        return reference_picture(source.batch(count, self.mix).references_B3HW, self.size)

    @torch.no_grad()
    def _latents(self, images_B3HW: Tensor) -> Tensor:
        return self.tokenizer.latent(images_B3HW).float()


@torch.no_grad()
def evaluate(model: ContentWithHeads, source: BatchSource) -> dict[str, float]:
    """On held-out subjects: PSNR of pixels, explained variance of latents, cross-entropy of position."""
    model.eval()
    batch = source.draw(source.heldout, HELDOUT, model.recipe.seed)
    images_B3HW, latents_BDhw = batch
    losses = model(batch).parts
    predicted = HeadOutputs(*model.heads(model.encoder(images_B3HW)).float().split(model.widths, dim=1))
    error = F.mse_loss(predicted.pixels_BChw / 2, F.pixel_unshuffle(images_B3HW * 2 - 1, model.patch) / 2)
    unexplained = F.mse_loss(predicted.latents_BDhw, latents_BDhw) / latents_BDhw.var()
    model.train()
    return {
        "heldout_psnr": round(float(psnr(error)), 2),
        "heldout_explained": round(1 - float(unexplained), 3),
        "heldout_place": round(float(losses["place"]), 3),
    }


def keep_meaning(model: ContentWithHeads, source: BatchSource) -> None:
    """Fits the heads to the encoder as it is, and freezes them: its latents can then only become truer."""
    batch = source.draw(source.train, STATISTICS, model.recipe.seed)
    with torch.no_grad():
        latents_BChw = model.encoder(batch.references_B3HW).float()
    fitting = torch.optim.LBFGS(model.heads.parameters(), max_iter=FITTING, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        fitting.zero_grad()
        loss = model.losses(latents_BChw, batch).total
        loss.backward()
        return loss

    fitting.step(closure)
    model.heads.requires_grad_(False).zero_grad()  # the last gradient would still be applied


def scale_latents(encoder: ContentEncoder, factor: float) -> ContentEncoder:
    """Multiplies the encoder's latents by a factor, in place; returns the encoder."""
    channels, last = encoder.config.latent_channels, encoder.conv_out
    assert last.bias is not None
    with torch.no_grad():
        last.weight[:channels] *= factor
        last.bias[:channels] *= factor
    return encoder


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of this stage; returns the exit code."""
    parser = encoder_parser("content", __doc__)
    parser.add_argument(
        "--tokenizer", type=Path, required=True, help="tokenizer.safetensors of the tokenizer stage"
    )
    parser.add_argument(
        "--start", type=Path, help="content.safetensors to start from; layers of other sizes start anew"
    )
    parser.add_argument("--pictures", type=whole(1), default=ContentRecipe.pictures, help="pictures per step")
    parser.add_argument(
        "--keep",
        action="store_true",
        help="with --start: keep what the latents mean, at a fifth of the rates",
    )
    parser.add_argument(
        "--photographic",
        type=share,
        default=ContentRecipe.photographic,
        help="share of subjects with a photograph's texture, and of those in another light",
    )
    arguments = parser.parse_args(argv)
    refuse_unused(arguments, UNUSED, parser)
    with only_run(arguments.out):
        train(arguments)
    return 0


def train(options: argparse.Namespace) -> None:
    """A whole run: training, and content.safetensors."""
    torch.set_num_threads(options.threads)
    device = find_device(options.device)
    recipe = ContentRecipe(pictures=options.pictures, photographic=options.photographic)
    if options.keep:
        rates = recipe.optimisation
        slow = replace(rates, learning_rate=KEPT * rates.learning_rate, muon=KEPT * rates.muon)
        recipe = replace(recipe, optimisation=slow)
    check_picture_size(options.data, find_preset(options.preset))
    torch.manual_seed(recipe.seed)
    tokenizer = load_part(options.tokenizer, "tokenizer")
    model = ContentWithHeads(tokenizer, find_encoders(options.preset).content, recipe)
    if options.start:
        load_matching(model.encoder, load_part(options.start, "content").state_dict())
        scale_latents(model.encoder, 1 / recipe.deviation)
    source = BatchSource(options.data, tokenizer, model.encoder.config.reference_size, recipe, device)
    if options.keep:
        keep_meaning(model.to(device), source)
    run = EncoderTrainer(options.out, model, recipe.optimisation, options.minutes, device, options.within)

    def objective(step: int) -> StepLoss:
        batch = source.draw(source.train, recipe.pictures, recipe.seed * 1_000_003 + step)
        result: StepLoss = model(batch)
        return result

    run.train(objective, lambda: evaluate(model, source))
    encoder = scale_latents(model.encoder, recipe.deviation)
    save_part(options.out / "content.safetensors", "content", encoder, encoder.config)
