"""Trains the built-in cut's network on, from the published weights of U²-Netp.

`python -m miniature cut --start tests/golden/u2netp.safetensors --npm node_modules --icons DATA
--textures FOLDER --out RUN`: rendered subjects and icons in panoramas and on plain and rough grounds, seen
whole and from near as the cut sees them; run again, it goes on where it stopped. The subjects of
`heldout_subjects.txt`, those that ways to cut are compared on (`composites.CHOOSING`) and the panoramas that
are not in GROUNDS take no part.

What is written is a mean of the published weights and the trained ones (Wortsman et al. 2022, "Robust
fine-tuning of zero-shot models"): composites are no photographs, and the trained weights alone take a cat's
fur for ground. The mean keeps what U²-Netp knows of photographs, and most of what was learnt.
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

from echogen_core.checkpoints.read import read_weights
from echogen_core.checkpoints.safetensors_writer import write_safetensors
from echogen_core.checkpoints.segmentation_models import load_salient
from echogen_core.subject.salient import AROUND, FIRST_SIDE, SIDE, around, crop, normalized
from echogen_core.subject.u2net import U2Netp
from echogen_core.training.run_folder import only_run
from echogen_core.writing import write_text

from ..data import composites, furniture
from ..data.attribution import ICONS, attribution_text, panoramas_line
from ..data.composites import PICTURE_HW, Composite, Studio, View, bounds
from ..data.dataset import Pictures
from .encoder_run import EncoderRun, Objective, Optimisation

GROUNDS = (
    "apartment", "city", "dawn", "esplanade", "forest", "lab", "night", "sky", "studio", "venice", "workshop",
)  # fmt: skip
"""Panoramas that are trained on; all others show whether that carries over to new places."""
TEXTURES = ("brick", "grass", "gravel")
"""Photographs of scikit-image (CC0), grounds as sharp as the subjects: sharpness alone must not tell them."""
WEIGHTS = "u2netp.safetensors"
SHARE = 0.2
"""Of the trained weights in what is written: at 0.3 a cat that fills the picture is lost."""
_SCALE = 0.75  # of PICTURE_HW: training pictures are smaller, the network's squares are as well
_LOOKS = ((FIRST_SIDE, 4, 0), (SIDE, 1, 3))
"""Side of the network's square, and how many pictures are seen whole and from near: steps take turns."""

logger = logging.getLogger(__name__)


class TrainingStudio(Studio):
    """Composites of more kinds: icons, other colours, mirrored; plain and rough grounds, other contrast."""

    def __init__(
        self,
        sprites: Sequence[tuple[str, Tensor]],
        grounds: composites.Grounds,
        rng: np.random.Generator,
        icons: Pictures,
        textures: Sequence[Tensor],
    ) -> None:
        """icons: RGBA. textures: grey [1, h, w], 0..1."""
        super().__init__(sprites, grounds, rng)
        self.icons, self.textures = icons, textures

    def draw(self) -> Composite:
        """One subject, or two in a quarter of the pictures; none too thin to be seen."""
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
        touching = not pair and bool(rng.random() < 0.25)
        made = self.compose((height, width), sizes, touching, float(rng.uniform(0, 0.03)))
        if rng.random() < 0.2:  # out of focus altogether
            image_13HW, share = made.image_3HW[None], float(rng.uniform(0.4, 0.8))
            small_13hw = F.interpolate(image_13HW, scale_factor=share, mode="bilinear", antialias=True)
            blurred_13HW = F.interpolate(small_13hw, (height, width), mode="bilinear")
            made = replace(made, image_3HW=blurred_13HW[0].clamp(0, 1))
        return made

    def draw_sprite(self) -> tuple[str, Tensor]:
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

    def draw_ground(self, height: int, width: int) -> tuple[int, Tensor]:
        kind = self.rng.random()
        if kind < 0.08:
            return -1, self._slope(height, width)
        if kind < 0.16:
            return -1, self._rough(height, width)
        index, ground_3HW = super().draw_ground(height, width)
        if self.rng.random() < 0.3:
            contrast, light = float(self.rng.uniform(0.7, 1.3)), float(self.rng.uniform(-0.15, 0.15))
            ground_3HW = ((ground_3HW - 0.5) * contrast + 0.5 + light).clamp(0, 1)
        return index, ground_3HW

    def _slope(self, height: int, width: int) -> Tensor:
        """A plain colour that changes a little from top to bottom."""
        first_3, other_3 = (torch.from_numpy(self.rng.random(3, np.float32)) for _ in range(2))
        last_3 = torch.lerp(first_3, other_3, float(self.rng.uniform(0, 0.5)))
        down_1H1 = torch.linspace(0, 1, height)[None, :, None]
        column_3H1 = torch.lerp(first_3[:, None, None], last_3[:, None, None], down_1H1)
        return column_3H1.expand(3, height, width)

    def _rough(self, height: int, width: int) -> Tensor:
        """A tinted texture, repeated where it ends."""
        texture_1hw = self.textures[int(self.rng.integers(len(self.textures)))]
        scale = float(self.rng.uniform(0.6, 1.6)) * max(height, width) / 512 + 0.2
        sized_1hw = F.interpolate(texture_1hw[None], scale_factor=scale, mode="bilinear", antialias=True)[0]
        times = (1, 1 + height // sized_1hw.shape[1], 1 + width // sized_1hw.shape[2])
        tint_311 = torch.from_numpy(self.rng.uniform(0.3, 1.2, (3, 1, 1)).astype(np.float32))
        return (sized_1hw.repeat(times)[:, :height, :width] * tint_311).clamp(0, 1)


def look(made: Composite, side: int, near: bool, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """What the network sees [3, S, S], normalised, and the subjects' share of each pixel [1, S, S].

    near: of one subject, or of all, with as much around as the cut's second look has.
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
    """Cross-entropy plus half of 1 - soft IoU; and the mean soft IoU."""
    entropy = F.binary_cross_entropy_with_logits(logits_B1SS, alpha_B1SS)
    share_B1SS = logits_B1SS.sigmoid()
    both_B = (share_B1SS * alpha_B1SS).sum((1, 2, 3))
    either_B = (share_B1SS + alpha_B1SS - share_B1SS * alpha_B1SS).sum((1, 2, 3)).clamp_min(1)
    overlap = (both_B / either_B).mean()
    return entropy + 0.5 * (1 - overlap), overlap


def objective(net: U2Netp, studio: TrainingStudio, seed: int, step: int) -> Objective:
    """The loss of one step, a first look or a second one, on pictures from random numbers of its own."""
    studio.rng = np.random.default_rng((seed, step))
    side, whole, near = _LOOKS[step % len(_LOOKS)]
    seen = [look(studio.draw(), side, index >= whole, studio.rng) for index in range(whole + near)]
    x_B3SS, alpha_B1SS = (torch.stack(tensors) for tensors in zip(*seen, strict=True))
    loss, overlap = cut_loss(net(x_B3SS).float(), alpha_B1SS)
    return Objective(loss, {f"loss_{side}": loss.detach(), f"iou_{side}": overlap.detach()})


def views_of(model: furniture.FurnitureModel) -> list[View]:
    """Two views, drawn for each model."""
    rng = np.random.default_rng(zlib.crc32(model.id.encode()))
    return [(30 * int(rng.integers(12)), int(rng.choice((15, 35)))) for _ in range(2)]


def read_textures(folder: Path) -> list[Tensor]:
    """Grey pictures [1, h, w] in 0..1. Raises FileNotFoundError, saying where they come from."""
    textures = []
    for name in TEXTURES:
        path = folder / f"{name}.png"
        if not path.is_file():
            raise FileNotFoundError(
                f"No {path}. It lies in the wheel of scikit-image: run `pip download --no-deps scikit-image`,"
                " unpack it, and pass its skimage/data with --textures."
            )
        grey = np.asarray(Image.open(path).convert("L"), np.float32) / 255
        textures.append(torch.from_numpy(grey)[None])
    return textures


def works(models: Sequence[furniture.FurnitureModel]) -> str:
    """The attribution file."""
    photographs = f"Photographs of scikit-image, CC0: {', '.join(TEXTURES)}."
    named = [{**asdict(model), "source": model.archive} for model in models]
    return attribution_text(named, [ICONS, panoramas_line(GROUNDS), photographs])


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of this stage."""
    parser = argparse.ArgumentParser(prog="python -m miniature cut", description=__doc__)
    parser.add_argument("--start", type=Path, required=True, help="the published weights, in our names")
    parser.add_argument("--npm", type=Path, required=True, help="node_modules with @pmndrs/assets")
    parser.add_argument("--icons", type=Path, required=True, help="folder made by `prepare`")
    parser.add_argument("--textures", type=Path, required=True, help="skimage/data of scikit-image's wheel")
    parser.add_argument("--furniture", type=Path, default=furniture.CATALOG_FOLDER)
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; an earlier run goes on")
    parser.add_argument("--share", type=float, default=SHARE, help="of the trained weights in the mean")
    parser.add_argument("--minutes", type=float, default=34.0, help="processor time")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    with only_run(options.out):
        train(options)
    return 0


def train(options: argparse.Namespace) -> None:
    """The whole of a run: renders, steps, and the two files it leaves."""
    models = composites.split_subjects(options.furniture, None)
    studio = TrainingStudio(
        composites.render_sprites(options.out / "renders", options.furniture, models, views_of),
        composites.read_grounds(options.npm, GROUNDS),
        np.random.default_rng(options.seed),
        Pictures([np.load(options.icons / "icons" / "train_views.npy", mmap_mode="r")], torch.device("cpu")),
        read_textures(options.textures),
    )
    salient, published = load_salient(), read_weights(options.start).tensors
    salient.load_state_dict(published)
    net = salient.net.requires_grad_(True)
    run = EncoderRun(options.out, net, Optimisation(2e-4, 0.0), options.minutes, torch.device("cpu"))
    run.train(lambda step: objective(net, studio, options.seed, step), dict, log_every=25, save_every=50)
    trained = salient.state_dict()
    mean = {name: torch.lerp(published[name], trained[name], options.share).half() for name in published}
    logger.info("Written to %s.", write_safetensors(options.out / WEIGHTS, mean, {}))
    write_text(options.out / "ATTRIBUTION.md", works(models))
