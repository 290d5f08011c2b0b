"""Fine-tunes the built-in cut's network from the published weights of U²-Netp.

`python -m miniature cut --start tests/golden/u2netp.safetensors --npm node_modules --icons DATA
--textures FOLDER --out RUN` trains on rendered subjects and icons in front of panoramas, plain colours and
textures, seen whole and close up as the cut sees them. Run it again to continue. The subjects of
`heldout_subjects.txt`, the validation folds (`composites.VALIDATION_FOLDS`) and the panoramas that are not in
BACKGROUNDS take no part.

The file holds a mean of the published and the trained weights (Wortsman et al. 2022, "Robust fine-tuning of
zero-shot models"): composites are not photographs, and the trained weights alone take a cat's fur for
background. The mean keeps what U²-Netp knows about photographs, and most of what was learnt.
Shape suffixes: B pictures, H W pixels, S the side of the square that the network sees.
"""

from __future__ import annotations

import argparse
import logging
import zlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from echogen_core.checkpoints.formats.safetensors_writer import write_safetensors
from echogen_core.checkpoints.read import read_weights
from echogen_core.checkpoints.segmentation_models import load_salient
from echogen_core.subject.salient import AROUND, FIRST_SIDE, SIDE, around, crop, normalized
from echogen_core.subject.u2net import U2Netp
from echogen_core.training.run_folder import only_run
from echogen_core.utils.option_parser import OptionParser
from echogen_core.utils.option_types import output_folder
from echogen_core.utils.writing import write_text

from ..data import composites, furniture
from ..data.attribution import ICONS, attribution_text, panoramas_line
from ..data.composites import PICTURE_HW, Composite, CompositeGenerator, View, bounds
from ..data.dataset import ImageTable
from .encoder_trainer import EncoderTrainer, OptimiserSettings, StepLoss
from .options import minutes, seed, share

BACKGROUNDS = (
    "apartment", "city", "dawn", "esplanade", "forest", "lab", "night", "sky", "studio", "venice", "workshop",
)  # fmt: skip
"""Training panoramas; the others show whether the cut generalises to new places."""
TEXTURES = ("brick", "grass", "gravel")
"""Photographs of scikit-image (CC0). They are as sharp as the subjects, so that sharpness is no cue."""
WEIGHTS = "u2netp.safetensors"
SHARE = 0.2
"""Weight of the trained weights in the mean: at 0.3 a cat that fills the picture is lost."""
_SCALE = 0.75  # of PICTURE_HW: the network's inputs are smaller as well
_PASSES = ((FIRST_SIDE, 4, 0), (SIDE, 1, 3))
"""Steps alternate between these: side of the network's input, pictures seen whole, pictures seen close up."""

logger = logging.getLogger(__name__)


class TrainingComposites(CompositeGenerator):
    """More varied composites: icons, other hues, mirrored; plain and textured backgrounds; other contrast."""

    def __init__(
        self,
        sprites: Sequence[tuple[str, Tensor]],
        backgrounds: composites.Backgrounds,
        rng: np.random.Generator,
        icons: ImageTable,
        textures: Sequence[Tensor],
    ) -> None:
        """icons: RGBA. textures: grey [1, h, w], 0..1."""
        super().__init__(sprites, backgrounds, rng)
        self.icons, self.textures = icons, textures

    def draw(self) -> Composite:
        """One subject, or two in a quarter of the pictures, none too thin to be seen."""
        made = self._draw()
        while not bool((made.alphas_NHW > 0.5).flatten(1).any(1).all()):
            made = self._draw()
        return made

    def _draw(self) -> Composite:
        rng = self.rng
        height, width = (round(side * _SCALE) for side in PICTURE_HW[rng.integers(len(PICTURE_HW))])
        pair = rng.random() < 0.25
        if pair:
            height, width = sorted((height, width))
            sizes = rng.uniform(0.06, 0.3, 2).tolist()
        else:
            sizes = [float(np.exp(rng.uniform(np.log(0.03), np.log(0.8))))]
        truncated = not pair and bool(rng.random() < 0.25)
        made = self.compose((height, width), sizes, truncated, float(rng.uniform(0, 0.03)))
        if rng.random() < 0.2:  # out of focus altogether
            image_13HW, share = made.image_3HW[None], float(rng.uniform(0.4, 0.8))
            small_13hw = F.interpolate(image_13HW, scale_factor=share, mode="bilinear", antialias=True)
            blurred_13HW = F.interpolate(small_13hw, (height, width), mode="bilinear")
            made = replace(made, image_3HW=blurred_13HW[0].clamp(0, 1))
        return made

    def draw_sprite(self) -> tuple[str, Tensor]:
        """The base class's or an icon, randomly mirrored, its channels permuted and its gamma changed."""
        rng = self.rng
        if rng.random() < 0.2:
            view_4HW = self.icons.take([int(rng.integers(self.icons.starts[-1]))])[0]
            view_HW4 = (view_4HW * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
            name, sprite_4HW = "icon", composites.tight(view_HW4)
        else:
            name, sprite_4HW = super().draw_sprite()
        if rng.random() < 0.5:
            sprite_4HW = sprite_4HW.flip(-1)
        if rng.random() < 0.5:
            order = rng.permutation(3).tolist()
            sprite_4HW = torch.cat((sprite_4HW[order], sprite_4HW[3:]))
        if rng.random() < 0.3:
            alpha_1HW = sprite_4HW[3:]
            straight_3HW = (sprite_4HW[:3] / alpha_1HW.clamp_min(1e-3)).clamp(0, 1)
            lit_3HW = straight_3HW ** float(rng.uniform(0.6, 1.6))
            sprite_4HW = torch.cat((lit_3HW * alpha_1HW, alpha_1HW))
        return name, sprite_4HW

    def draw_background(self, height: int, width: int) -> tuple[int, Tensor]:
        """The base class's, or (index -1) a colour gradient or a texture, with random contrast."""
        kind = self.rng.random()
        if kind < 0.08:
            return -1, self._gradient(height, width)
        if kind < 0.16:
            return -1, self._texture(height, width)
        index, crop_3HW = super().draw_background(height, width)
        if self.rng.random() < 0.3:
            contrast, light = float(self.rng.uniform(0.7, 1.3)), float(self.rng.uniform(-0.15, 0.15))
            crop_3HW = ((crop_3HW - 0.5) * contrast + 0.5 + light).clamp(0, 1)
        return index, crop_3HW

    def _gradient(self, height: int, width: int) -> Tensor:
        """A vertical gradient between two similar colours."""
        first_3, other_3 = (torch.from_numpy(self.rng.random(3, np.float32)) for _ in range(2))
        last_3 = torch.lerp(first_3, other_3, float(self.rng.uniform(0, 0.5)))
        down_1H1 = torch.linspace(0, 1, height)[None, :, None]
        column_3H1 = torch.lerp(first_3[:, None, None], last_3[:, None, None], down_1H1)
        return column_3H1.expand(3, height, width)

    def _texture(self, height: int, width: int) -> Tensor:
        """A tinted texture, tiled."""
        texture_1hw = self.textures[int(self.rng.integers(len(self.textures)))]
        scale = float(self.rng.uniform(0.6, 1.6)) * max(height, width) / 512 + 0.2
        sized_1hw = F.interpolate(texture_1hw[None], scale_factor=scale, mode="bilinear", antialias=True)[0]
        times = (1, 1 + height // sized_1hw.shape[1], 1 + width // sized_1hw.shape[2])
        tint_311 = torch.from_numpy(self.rng.uniform(0.3, 1.2, (3, 1, 1)).astype(np.float32))
        return (sized_1hw.repeat(times)[:, :height, :width] * tint_311).clamp(0, 1)


def network_input(made: Composite, side: int, near: bool, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """The network's normalised input [3, S, S] and the target matte [1, S, S].

    near: a crop around one or all subjects, with the margin that the cut's second pass has.
    """
    image_3HW, alpha_HW = made.image_3HW, made.alphas_NHW.sum(0).clamp(max=1)
    if near:
        one = int(rng.integers(len(made.alphas_NHW)))
        wanted_HW = alpha_HW if rng.random() < 0.5 else made.alphas_NHW[one]
        left, top, right, bottom = bounds(wanted_HW > 0.5)
        slack = rng.normal(0, 0.04, 4) * max(right - left, bottom - top)
        box = tuple(
            edge + more for edge, more in zip((left, top, right, bottom), slack.tolist(), strict=True)
        )
        height, width = alpha_HW.shape
        frame = around((box[0], box[1], box[2], box[3]), AROUND, (0, 0, width, height))
        image_3HW, alpha_HW = crop(image_3HW, frame), crop(alpha_HW, frame)
    alpha_11SS = F.interpolate(alpha_HW[None, None], (side, side), mode="bilinear", antialias=True)
    return normalized(image_3HW, side)[0], alpha_11SS[0]


def cut_loss(logits_B1SS: Tensor, alpha_B1SS: Tensor) -> tuple[Tensor, Tensor]:
    """Binary cross-entropy plus half of (1 - soft IoU), and the mean soft IoU; scalars."""
    entropy = F.binary_cross_entropy_with_logits(logits_B1SS, alpha_B1SS)
    share_B1SS = logits_B1SS.sigmoid()
    both_B = (share_B1SS * alpha_B1SS).sum((1, 2, 3))
    either_B = (share_B1SS + alpha_B1SS - share_B1SS * alpha_B1SS).sum((1, 2, 3)).clamp_min(1)
    overlap = (both_B / either_B).mean()
    return entropy + 0.5 * (1 - overlap), overlap


def objective(net: U2Netp, source: TrainingComposites, seed: int, step: int) -> StepLoss:
    """The loss of one step, whose pictures depend on seed and step alone."""
    source.rng = np.random.default_rng((seed, step))
    side, whole, near = _PASSES[step % len(_PASSES)]
    seen = [network_input(source.draw(), side, index >= whole, source.rng) for index in range(whole + near)]
    x_B3SS, alpha_B1SS = (torch.stack(tensors) for tensors in zip(*seen, strict=True))
    loss, overlap = cut_loss(net(x_B3SS).float(), alpha_B1SS)
    return StepLoss(loss, {f"loss_{side}": loss.detach(), f"iou_{side}": overlap.detach()})


def two_views(model: furniture.FurnitureModel) -> list[View]:
    """Two random views of a model, always the same two."""
    rng = np.random.default_rng(zlib.crc32(model.id.encode()))
    return [(30 * int(rng.integers(12)), int(rng.choice((15, 35)))) for _ in range(2)]


def read_textures(folder: Path) -> list[Tensor]:
    """Grey pictures [1, h, w] in 0..1. Raises FileNotFoundError that says where to get them."""
    textures = []
    for name in TEXTURES:
        path = folder / f"{name}.png"
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} not found. It is in scikit-image's wheel: run "
                "`pip download --no-deps scikit-image`, unpack it and pass its skimage/data with --textures."
            )
        grey = np.asarray(Image.open(path).convert("L"), np.float32) / 255
        textures.append(torch.from_numpy(grey)[None])
    return textures


def cut_attribution(models: Sequence[furniture.FurnitureModel]) -> str:
    """The attribution of the trained weights, as Markdown."""
    photographs = f"Photographs of scikit-image, CC0: {', '.join(TEXTURES)}."
    named = [{**asdict(model), "source": model.archive} for model in models]
    return attribution_text(named, [ICONS, panoramas_line(BACKGROUNDS), photographs])


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of this stage; returns the exit code."""
    parser = OptionParser(prog="python -m miniature cut", description=__doc__)
    parser.add_argument(
        "--start", type=Path, required=True, help="the published weights (tests/golden/u2netp.safetensors)"
    )
    parser.add_argument("--npm", type=Path, required=True, help="node_modules with @pmndrs/assets")
    parser.add_argument("--icons", type=Path, required=True, help="folder made by `prepare`")
    parser.add_argument("--textures", type=Path, required=True, help="skimage/data of scikit-image's wheel")
    parser.add_argument(
        "--furniture", type=Path, default=furniture.CATALOG_FOLDER, help="folder of .sh3f archives"
    )
    parser.add_argument(
        "--out", type=output_folder, required=True, help="folder of the run, which continues an earlier one"
    )
    parser.add_argument(
        "--share", type=share, default=SHARE, help="weight of the trained weights in the mean"
    )
    parser.add_argument("--minutes", type=minutes, default=34.0, help="training time in processor minutes")
    parser.add_argument("--seed", type=seed, default=0, help="seed of everything random")
    options = parser.parse_args(argv)
    with only_run(options.out):
        train(options)
    return 0


def train(options: argparse.Namespace) -> None:
    """A whole run: renders, training, and the two files that come out of it."""
    models = composites.split_subjects(options.furniture, None)
    source = TrainingComposites(
        composites.render_sprites(options.out / "renders", options.furniture, models, two_views),
        composites.read_backgrounds(options.npm, BACKGROUNDS),
        np.random.default_rng(options.seed),
        ImageTable(
            [np.load(options.icons / "icons" / "train_views.npy", mmap_mode="r")], torch.device("cpu")
        ),
        read_textures(options.textures),
    )
    salient, published = load_salient(), read_weights(options.start).tensors
    salient.load_state_dict(published)
    net = salient.net.requires_grad_(True)
    run = EncoderTrainer(options.out, net, OptimiserSettings(2e-4, 0.0), options.minutes, torch.device("cpu"))
    run.train(lambda step: objective(net, source, options.seed, step), dict, log_every=25)
    trained = salient.state_dict()
    mean = {name: torch.lerp(published[name], trained[name], options.share).half() for name in published}
    logger.info("Weights written to %s.", write_safetensors(options.out / WEIGHTS, mean, {}))
    write_text(options.out / "ATTRIBUTION.md", cut_attribution(models))
