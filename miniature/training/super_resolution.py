"""Trains a bundle's tokenizer to draw its pictures at twice their size.

`python -m miniature super-resolution --data DATA --start BUNDLE --out RUN`, with pictures prepared at that
size; run it again to continue. Nothing else changes: encoder and decoder stay as they are, so that the bits
keep their meaning. It begins as bicubic enlargement.
Shapes: B crops, H W pixels of the decoded picture, Y X pixels of the larger one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from echogen_core.checkpoints import Bundle, load_bundle, save_bundle
from echogen_core.config import find_preset
from echogen_core.layers import LayerFactory
from echogen_core.pictures import to_pil
from echogen_core.tokenizer import BitTokenizer
from echogen_core.tokenizer.super_resolution import SuperResolution, enlarged
from echogen_core.training.run_folder import only_run
from echogen_core.utils.option_parser import OptionParser
from echogen_core.utils.option_types import output_folder, threads, whole
from echogen_core.utils.writing import write_picture, write_text

from ..data.attribution import attribution
from ..encoded_size import SUPER_RESOLUTION, without_super_resolution
from ..psnr import psnr
from .encoder_trainer import EncoderTrainer, OptimiserSettings, StepLoss
from .options import add_options, check_picture_size, find_device, minutes, seed, share, weight
from .perceptual import Perceptual
from .super_resolution_pictures import Drawn, DrawnPictures, draw_pictures

logger = logging.getLogger(__name__)

TIMES = 2
"""How much larger pictures become."""
HELDOUT = 32
"""Held-out pictures that a run is evaluated on."""


@dataclass(frozen=True)
class SuperResolutionRecipe:
    """Settings of a run, which ends after `minutes` (on a CPU: of processor time).

    cells: side of the training crops in features. perceptual_start: share of the run before that loss sets
    in. perceptual_share: of the crops that it is computed for.
    """

    minutes: float = 60.0
    batch: int = 12
    cells: int = 16
    learning_rate: float = 5e-4
    muon: float = 0.002
    edges: float = 1.0
    perceptual: float = 3.0
    perceptual_start: float = 0.1
    perceptual_share: float = 0.25
    seed: int = 0


class SuperResolutionLoss:
    """Absolute errors in -1..1 of crops and of their gradients, and later a perceptual distance."""

    def __init__(
        self,
        trainer: EncoderTrainer,
        pictures: DrawnPictures,
        recipe: SuperResolutionRecipe,
        perceptual: Perceptual | None,
    ) -> None:
        self._trainer, self._pictures, self._recipe = trainer, pictures, recipe
        self._perceptual = perceptual

    def __call__(self, step: int) -> StepLoss:
        """The loss of a step on crops that its number determines."""
        recipe, device = self._recipe, self._trainer.device
        rng = np.random.default_rng([recipe.seed, step])
        drawn = Drawn(*(part.to(device) for part in self._pictures.crops(recipe.batch, recipe.cells, rng)))
        output_B3YX = self._trainer.model(drawn.decoded_N3HW, _channels_last(drawn.features_NFhw))
        parts = _pixel_errors(output_B3YX, drawn.wanted_N3YX * 2 - 1)
        total = parts["l1"] + recipe.edges * parts["edges"]
        if (
            self._perceptual is not None
            and self._trainer.elapsed >= recipe.perceptual_start * self._trainer.seconds
        ):
            some = max(1, round(recipe.batch * recipe.perceptual_share))
            parts["perceptual"] = self._perceptual.distance(
                (output_B3YX[:some] + 1) / 2, drawn.wanted_N3YX[:some]
            )
            total = total + recipe.perceptual * parts["perceptual"]
        return StepLoss(total, parts)


def _pixel_errors(output_B3YX: Tensor, wanted_B3YX: Tensor) -> dict[str, Tensor]:
    error_B3YX = output_B3YX - wanted_B3YX
    edges = error_B3YX.diff(dim=-1).abs().mean() + error_B3YX.diff(dim=-2).abs().mean()
    return {"l1": error_B3YX.abs().mean(), "edges": edges}


def _channels_last(x_BCHW: Tensor) -> Tensor:
    return x_BCHW.contiguous(memory_format=torch.channels_last)


def lanczos(decoded_B3HW: Tensor, times: int) -> Tensor:
    """Pictures in -1..1 enlarged by Lanczos' filter, through 8-bit colours, [B, 3, times*H, times*W]."""
    size = [side * times for side in decoded_B3HW.shape[:-3:-1]]
    pictures = [to_pil(((picture + 1) / 2).clamp(0, 1)) for picture in decoded_B3HW]
    arrays = [np.asarray(picture.resize(size, Image.Resampling.LANCZOS)) for picture in pictures]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.no_grad()
def figures(
    enlarge: Any, pictures: DrawnPictures, perceptual: Perceptual | None, device: torch.device
) -> dict[str, float]:
    """Mean PSNR in dB and Lite0's distance of what `enlarge` makes of pictures and features.

    enlarge: decoded pictures and features to larger pictures in -1..1.
    """
    ratios, distances = [], []
    for parts in zip(*(tensor.split(8) for tensor in pictures.whole(HELDOUT)), strict=True):
        some = Drawn(*(tensor.to(device) for tensor in parts))
        output_B3YX = enlarge(some.decoded_N3HW, _channels_last(some.features_NFhw))
        output_B3YX = (output_B3YX.clamp(-1, 1) + 1) / 2
        ratios.append(psnr((output_B3YX - some.wanted_N3YX).square().mean((1, 2, 3))))
        if perceptual is not None:
            distances.append(float(perceptual.distance(output_B3YX, some.wanted_N3YX)))
    found = {"psnr": round(float(torch.cat(ratios).mean()), 3)}
    return found | ({"lite0": round(float(np.mean(distances)), 4)} if distances else {})


def begin(bundle: Bundle, seed: int) -> SuperResolution:
    """A new one for the bundle's tokenizer, whose output is the bicubic enlargement."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        begun = SuperResolution(replace(bundle.tokenizer.config, super_resolution=TIMES), LayerFactory())
    for parameter in begun.conv_out.parameters():
        nn.init.zeros_(parameter)
    return begun


def with_super_resolution(bundle: Bundle, trained: SuperResolution) -> Bundle:
    """The bundle, its tokenizer drawing at twice the size."""
    tokenizer = BitTokenizer(replace(bundle.tokenizer.config, super_resolution=TIMES))
    more = {SUPER_RESOLUTION + name: tensor for name, tensor in trained.state_dict().items()}
    tokenizer.load_state_dict(without_super_resolution(bundle.tokenizer).state_dict() | more)
    return replace(bundle, tokenizer=tokenizer.eval())


def train_super_resolution(
    bundle: Bundle,
    recipe: SuperResolutionRecipe,
    pictures: DrawnPictures,
    heldout: DrawnPictures,
    out: Path,
    device: torch.device,
) -> Path:
    """A whole run; returns the folder of the bundle that draws larger pictures."""
    settings = OptimiserSettings(recipe.learning_rate, recipe.muon, weight_decay=0.01)
    model = begin(bundle, recipe.seed)
    trainer = EncoderTrainer(out, model, settings, recipe.minutes, device)
    perceptual = Perceptual.lite0(device) if recipe.perceptual else None
    measured = partial(figures, pictures=heldout, perceptual=perceptual, device=device)
    logger.info("Bicubic: %s.", measured(lambda decoded, _: enlarged(decoded, TIMES)))
    logger.info("Lanczos: %s.", measured(lambda decoded, _: lanczos(decoded.cpu(), TIMES).to(device)))
    loss = SuperResolutionLoss(trainer, pictures, recipe, perceptual)
    trainer.train(loss, partial(measured, model), log_every=200)
    folder = out / "bundle"
    save_bundle(with_super_resolution(bundle, model.cpu()), folder)
    return folder


def write_sheet(model: SuperResolution, pictures: DrawnPictures, path: Path, count: int = 6) -> None:
    """Writes a PNG, a row a picture: bicubic, Lanczos, this, and what was wanted."""
    drawn = pictures.whole(count)
    with torch.no_grad():
        made_B3YX = model(drawn.decoded_N3HW, drawn.features_NFhw)
    columns = (enlarged(drawn.decoded_N3HW, TIMES), lanczos(drawn.decoded_N3HW, TIMES), made_B3YX)
    shown = torch.stack([*((column + 1) / 2 for column in columns), drawn.wanted_N3YX], 1).clamp(0, 1)
    sheet = shown.permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)
    write_picture(path, to_pil(sheet), "PNG")


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of this stage; returns the exit code."""
    options = _parser().parse_args(argv)
    torch.set_num_threads(options.threads)
    preset, device = find_preset(options.preset), find_device(options.device)
    recipe = SuperResolutionRecipe(
        minutes=options.minutes,
        batch=options.batch,
        perceptual=options.perceptual,
        perceptual_start=options.perceptual_start,
        seed=options.seed,
    )
    with only_run(options.out):
        check_picture_size(options.data, preset, TIMES)
        bundle = load_bundle(preset.name, options.start, device=device)
        draw = partial(draw_pictures, bundle, options.data, device=device)
        heldout = draw("heldout", HELDOUT, options.out / "heldout", seed=1)
        pictures = draw("train", options.pictures, options.out / "pictures", seed=1000 * (recipe.seed + 1))
        folder = train_super_resolution(bundle, recipe, pictures, heldout, options.out, device)
        write_text(folder / "ATTRIBUTION.md", attribution(options.data))
        trained = load_bundle(preset.name, folder).tokenizer.decoder.super_resolution
        assert trained is not None
        write_sheet(trained, heldout, options.out / "sheet.png")
    logger.info("Bundle written to %s.", folder)
    return 0


def _parser() -> OptionParser:
    defaults = SuperResolutionRecipe()
    parser = OptionParser(prog="python -m miniature super-resolution", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder made by `prepare --picture 256`")
    parser.add_argument("--start", type=Path, required=True, help="bundle folder to start from")
    parser.add_argument(
        "--out", type=output_folder, required=True, help="folder of the run and of the resulting bundle"
    )
    parser.add_argument(
        "--pictures", type=whole(1), default=2048, help="pictures that are drawn first, to train with"
    )
    parser.add_argument(
        "--minutes",
        type=minutes,
        default=defaults.minutes,
        help="training time in minutes, on a CPU of processor time",
    )
    parser.add_argument("--batch", type=whole(1), default=defaults.batch, help="crops per step")
    parser.add_argument(
        "--perceptual", type=weight, default=defaults.perceptual, help="weight of the perceptual loss; 0: off"
    )
    parser.add_argument(
        "--perceptual-start",
        type=share,
        default=defaults.perceptual_start,
        help="share of the run before the perceptual loss sets in",
    )
    parser.add_argument("--seed", type=seed, default=defaults.seed, help="seed of everything random")
    parser.add_argument("--threads", type=threads, default=1, help="CPU threads")
    add_options(parser)
    return parser
