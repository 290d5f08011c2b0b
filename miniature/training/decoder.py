"""Fine-tunes a bundle's decoder to draw sharply what its transformer's codes stand for.

`python -m miniature decoder --data DATA --start BUNDLE --out RUN`; run it again to continue. Half of each
batch has the encoder's codes, half codes whose last scale the transformer draws. A decoder that draws at
twice the size (`super_resolution`) learns from pictures prepared at that size, and begins as bicubic
enlargement. Besides errors of pixels and of Lite0's features, an adversary that is trained beside it says
what does not look real: without it, whatever the codes leave open becomes a blur. Only the decoder changes:
the bits keep their meaning, and the transformer stays valid.
Shapes: B pictures, H W pixels, D bits per token, h w tokens.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from echogen_core.checkpoints import Bundle, load_bundle, save_bundle
from echogen_core.config import find_preset
from echogen_core.pictures import to_pil
from echogen_core.scales import find_schedule
from echogen_core.tokenizer import BitTokenizer
from echogen_core.tokenizer.autoencoder import Decoder
from echogen_core.training.run_folder import only_run
from echogen_core.utils.option_types import whole
from echogen_core.utils.writing import write_picture, write_text

from ..data.attribution import attribution
from ..data.compose import MaskedImages
from ..data.dataset import load_scenes
from ..encoded_size import without_super_resolution
from ..psnr import psnr
from .discriminator import Discriminator, discriminator_loss, generator_loss
from .encoder_trainer import EncoderTrainer, OptimiserSettings, Stateful, StepLoss
from .group_norm import TrainingOperations
from .options import check_picture_size, encoder_parser, find_device, seed, weight
from .perceptual import SMALLEST, Perceptual
from .sampled_codes import ExpectedCodes, PaintedPictures, paint_pictures
from .tokenizer_trainer import pixel_terms

logger = logging.getLogger(__name__)

HELDOUT = 32
"""Held-out pictures that a run is evaluated on."""
EMA = 0.997
"""Share of the averaged weights that a step keeps."""


@dataclass(frozen=True)
class DecoderRecipe:
    """Settings of a run, which ends after `minutes` (on a CPU: of processor time), or at `deadline`, a
    value of time.monotonic().

    subject: additional weight of the subject's pixels. adversarial: the adversary's gradient as a share of
    the other losses'; 0: none. alone: share of the run in which the adversary learns alone, and after which
    it gains its weight during as long again.
    """

    minutes: float = 80.0
    deadline: float | None = None
    batch: int = 6
    learning_rate: float = 4e-4
    muon: float = 0.002
    edges: float = 0.5
    subject: float = 2.0
    perceptual: float = 0.6
    adversarial: float = 0.4
    adversary_rate: float = 4e-4
    alone: float = 0.03
    seed: int = 0


def larger(tokenizer: BitTokenizer, times: int) -> BitTokenizer:
    """The tokenizer that draws `times` as large as it encodes; by bicubic enlargement, without that part or
    with one for another size so far.
    """
    if tokenizer.config.super_resolution == times:
        return tokenizer
    plain = without_super_resolution(tokenizer)
    grown = BitTokenizer(replace(plain.config, super_resolution=times))
    grown.load_state_dict({**grown.state_dict(), **plain.state_dict()})
    assert grown.decoder.super_resolution is not None
    for parameter in grown.decoder.super_resolution.conv_out.parameters():
        nn.init.zeros_(parameter)
    return grown.eval()


def drawn_times(data: Path, bundle: Bundle) -> int:
    """How many times larger than encoded prepared pictures are, at least as large as the decoder draws."""
    side = load_scenes(data, "train")[0].crops_KHW3.shape[1]
    times: int = side // find_schedule(bundle.preset.budget).pixels_hw[0]
    return max(times, bundle.tokenizer.config.super_resolution)


class DecoderLoss:
    """The loss of a step; it also trains the adversary and averages the decoder's weights.

    `beside` is what a checkpoint keeps beside the decoder.
    """

    def __init__(
        self,
        decoder: Decoder,
        top_p: float,
        pictures: PaintedPictures,
        recipe: DecoderRecipe,
        perceptual: Perceptual | None,
        device: torch.device,
    ) -> None:
        self._decoder, self._top_p, self._pictures = decoder, top_p, pictures
        self._recipe, self._perceptual, self._device = recipe, perceptual, device
        self.averaged = AveragedModel(decoder, multi_avg_fn=get_ema_multi_avg_fn(EMA))
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)
            self._adversary = Discriminator(perceptual.channels if perceptual else ()).to(device)
        self._adversary_optimizer = torch.optim.AdamW(
            self._adversary.parameters(), recipe.adversary_rate, betas=(0.5, 0.99), weight_decay=1e-3
        )
        self._balance = 0.0
        self.beside: dict[str, Stateful] = {
            "averaged": self.averaged, "adversary": self._adversary, "optimizer": self._adversary_optimizer
        }  # fmt: skip

    def __call__(self, step: int, progress: float) -> StepLoss:
        """The loss of step n at a share of the run, on pictures that n determines."""
        recipe = self._recipe
        if step:
            self.averaged.update_parameters(self._decoder)
        rng = np.random.default_rng([recipe.seed, step])
        some = self._pictures.some(recipe.batch, rng)
        codes_BDhw = mixed_codes(some, self._top_p, int(rng.integers(2**31))).to(self._device)
        wanted_B3HW = some.pictures_N3HW.to(self._device) / 255
        pictures = MaskedImages(wanted_B3HW, some.subject_N1HW.to(self._device) / 255)
        made_B3HW = (self._decoder(codes_BDhw) + 1) / 2
        parts = pixel_terms(made_B3HW, pictures, recipe.subject)
        corners = rng.integers(0, wanted_B3HW.shape[-1] - SMALLEST + 1, (recipe.batch, 2))
        wanted, made = (crops(pictures, corners) for pictures in (wanted_B3HW, made_B3HW))
        total = parts["l1"] + parts["mse"] + recipe.edges * parts["edges"]
        real, seen = [], []
        if self._perceptual is not None:
            with torch.no_grad():
                real = self._perceptual.features(wanted)
            seen = self._perceptual.features(made)
            parts["perceptual"] = self._perceptual.between(seen, real)
            total = total + recipe.perceptual * parts["perceptual"]
        if recipe.adversarial:
            share = min(1.0, max(0.0, progress / recipe.alone - 1))
            self._adversary.requires_grad_(False)
            unreal = generator_loss(self._adversary(made, seen))
            if step % 20 == 0 or not self._balance:
                self._rebalance(total, unreal, made)
            self._adversary.requires_grad_(True)
            parts["told_apart"] = self._train_adversary((wanted, real), (made, seen))
            total = total + recipe.adversarial * share * self._balance * unreal
        return StepLoss(total, parts)

    def _rebalance(self, total: Tensor, unreal: Tensor, made: Tensor) -> None:
        """Makes both gradients equally long in the pictures, as VQGAN does (Esser et al. 2021)."""
        lengths = [torch.autograd.grad(loss, made, retain_graph=True)[0].norm() for loss in (total, unreal)]
        balance = float(lengths[0] / lengths[1].clamp_min(1e-9))
        self._balance = 0.8 * self._balance + 0.2 * balance if self._balance else balance

    def _train_adversary(
        self, real: tuple[Tensor, Sequence[Tensor]], made: tuple[Tensor, Sequence[Tensor]]
    ) -> Tensor:
        """A step of the adversary, on pictures with their features; returns its loss, without gradients."""
        (wanted, wanted_features), (output, output_features) = real, made
        detached = [feature.detach() for feature in output_features]
        loss = discriminator_loss(
            self._adversary(wanted, wanted_features), self._adversary(output.detach(), detached)
        )
        self._adversary_optimizer.zero_grad()
        loss.backward()
        self._adversary_optimizer.step()
        return loss.detach()


def mixed_codes(pictures: ExpectedCodes, top_p: float, seed: int) -> Tensor:
    """Codes [N, D, h, w]: the encoder's, and drawn ones for every second picture."""
    drawn_NDhw = pictures.drawn(top_p, torch.Generator().manual_seed(seed))
    odd_N = torch.arange(len(drawn_NDhw)) % 2 == 1
    return torch.where(odd_N[:, None, None, None], drawn_NDhw, pictures.true_NDhw.float())


def crops(pictures_B3HW: Tensor, corners_B2: np.ndarray) -> Tensor:
    """Squares as large as the perceptual network wants them, at (top, left), [B, 3, side, side]."""
    return torch.stack(
        [
            picture[:, top : top + SMALLEST, left : left + SMALLEST]
            for picture, (top, left) in zip(pictures_B3HW, corners_B2.tolist(), strict=True)
        ]
    )


@torch.no_grad()
def figures(
    decoder: nn.Module, codes_NDhw: Tensor, pictures_N3HW: Tensor, perceptual: Perceptual | None
) -> dict[str, float]:
    """PSNR in dB and, given its network, Lite0's distance of what codes become.

    Codes are mixed ones: figures of the encoder's and of the drawn ones are apart.
    """
    ratios, distances = [], []
    for codes, pictures in zip(codes_NDhw.split(8), pictures_N3HW.split(8), strict=True):
        made = ((decoder(codes) + 1) / 2).clamp(0, 1)
        ratios.append(psnr((made - pictures).square().mean((1, 2, 3))))
        if perceptual is not None:
            pairs = zip(made.split(1), pictures.split(1), strict=True)
            distances += [float(perceptual.distance(*pair)) for pair in pairs]
    found = {"psnr": torch.cat(ratios).cpu().numpy()}
    found |= {"lite0": np.array(distances)} if distances else {}
    return {
        f"{name}_{kind}": round(float(values[start::2].mean()), 4)
        for name, values in found.items()
        for start, kind in enumerate(("encoded", "drawn"))
    }


def train_decoder(
    bundle: Bundle,
    recipe: DecoderRecipe,
    pictures: PaintedPictures,
    heldout: PaintedPictures,
    out: Path,
    device: torch.device,
) -> Path:
    """A whole run; returns the folder of the bundle, whose decoder draws at the pictures' size."""
    some = heldout.first(HELDOUT)
    grown = larger(
        bundle.tokenizer,
        some.pictures_N3HW.shape[-1] // find_schedule(bundle.preset.budget).pixels_hw[1],
    )
    model = BitTokenizer(grown.config, operations=TrainingOperations)
    model.load_state_dict(grown.state_dict())
    perceptual = Perceptual.lite0(device) if recipe.perceptual else None
    codes_NDhw = mixed_codes(some, bundle.preset.top_p, 0).to(device)
    real_N3HW = some.pictures_N3HW.to(device) / 255
    measured = partial(figures, codes_NDhw=codes_NDhw, pictures_N3HW=real_N3HW, perceptual=perceptual)
    decoder = model.decoder.to(device)
    loss = DecoderLoss(decoder, bundle.preset.top_p, pictures, recipe, perceptual, device)
    settings = OptimiserSettings(recipe.learning_rate, recipe.muon, weight_decay=1e-3)
    trainer = EncoderTrainer(
        out, decoder, settings, recipe.minutes, device, deadline=recipe.deadline, beside=loss.beside
    )
    logger.info("At first: %s.", measured(decoder))
    trainer.train(
        lambda step: loss(step, trainer.elapsed / trainer.seconds), lambda: measured(loss.averaged.module)
    )
    loss.averaged.update_parameters(decoder)  # by the last step
    model.decoder.load_state_dict(loss.averaged.module.state_dict())
    grown.load_state_dict(model.cpu().state_dict())
    folder = out / "bundle"
    save_bundle(replace(bundle, tokenizer=grown), folder)
    write_sheet(bundle.tokenizer, grown, codes_NDhw.cpu(), real_N3HW.cpu(), out / "sheet.png")
    return folder


@torch.no_grad()
def write_sheet(
    before: BitTokenizer,
    after: BitTokenizer,
    codes_NDhw: Tensor,
    real_N3HW: Tensor,
    path: Path,
    count: int = 8,
) -> None:
    """Writes a PNG, a row a picture: what its codes became before, what they become now, and the real one."""
    former = F.interpolate(before.reconstruct(codes_NDhw[:count]), real_N3HW.shape[-2:], mode="bicubic")
    former = former.clamp(0, 1)
    shown = torch.stack([former, after.decode(codes_NDhw[:count]), real_N3HW[:count]], 1)
    write_picture(path, to_pil(shown.permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)), "PNG")


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of this stage; returns the exit code."""
    options = _parser().parse_args(argv)
    torch.set_num_threads(options.threads)
    preset, device = find_preset(options.preset), find_device(options.device)
    recipe = DecoderRecipe(
        minutes=options.minutes,
        deadline=options.within,
        batch=options.batch,
        perceptual=options.perceptual,
        adversarial=options.adversarial,
        seed=options.seed,
    )
    with only_run(options.out):
        bundle = load_bundle(preset.name, options.start, device=device)
        check_picture_size(options.data, preset, drawn_times(options.data, bundle))
        paint = partial(paint_pictures, bundle, options.data, device=device)
        heldout = paint("heldout", HELDOUT, options.out / "heldout", seed=1)
        pictures = paint("train", options.pictures, options.out / "pictures", seed=1000 * (recipe.seed + 1))
        folder = train_decoder(bundle, recipe, pictures, heldout, options.out, device)
        write_text(folder / "ATTRIBUTION.md", attribution(options.data))
    logger.info("Bundle written to %s.", folder)
    return 0


def _parser() -> argparse.ArgumentParser:
    defaults = DecoderRecipe()
    parser = encoder_parser("decoder", __doc__)
    parser.set_defaults(minutes=defaults.minutes)
    parser.add_argument("--start", type=Path, required=True, help="bundle folder to start from")
    parser.add_argument(
        "--pictures", type=whole(1), default=1280, help="pictures that are composed first, to train with"
    )
    parser.add_argument("--batch", type=whole(1), default=defaults.batch, help="pictures per step")
    parser.add_argument(
        "--perceptual", type=weight, default=defaults.perceptual, help="weight of the perceptual loss; 0: off"
    )
    parser.add_argument(
        "--adversarial",
        type=weight,
        default=defaults.adversarial,
        help="the adversary's gradient as a share of the other losses'; 0: none",
    )
    parser.add_argument("--seed", type=seed, default=defaults.seed, help="seed of everything random")
    return parser
