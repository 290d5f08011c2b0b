"""Trains the miniature's semantic encoder: views of one subject close, and patches that know their pixels.

`python -m miniature semantic --data DATA --out RUN --minutes 12`; run again, it goes on.

Two objectives. InfoNCE on two views of the same subject, on the class token and on the mean patch, teaches
identity. From every patch token, linear heads read back its own pixels, coverage, row and column: layout
reaches the picture through the patch tokens alone, because content tokens carry no position.

Shape suffixes: N subjects, V views, B pictures, P patches, C channels, H and W pixels.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from echogen_core.checkpoints.save import save_part
from echogen_core.encoders import SemanticEncoder, SemanticEncoderConfig
from echogen_core.encoders.config import find_encoders
from echogen_core.training.run_folder import only_run
from echogen_core.writing import write_text

from ..data.files import load_array
from .encoder_run import EncoderRun, Objective, Optimisation
from .options import device_of, encoder_parser

SAMPLES = 3  # of a view for two pixels across: sampled from a finer one, a picture would flicker
AZIMUTHS = 12  # of the prepared views, 30 degrees apart; views are numbered elevation by elevation


@dataclass(frozen=True)
class Recipe:
    """Settings of a run; the defaults trained the shipped weights."""

    pairs: int = 64  # subjects a step, two pictures each
    icon_share: float = 0.4  # of the pairs, where icons are there
    near_share: float = 0.6  # of the furniture pairs: at most 30 degrees apart
    optimisation: Optimisation = field(default_factory=Optimisation)
    temperature: float = 0.1
    embedding: int = 128
    mean_weight: float = 0.5  # InfoNCE on the mean patch
    pixel_weight: float = 4.0
    place_weight: float = 0.5  # row and column of each patch
    seed: int = 20


class Pictures(NamedTuple):
    """Subjects on white: images [B, 3, H, W] in 0..1 and their coverage [B, 1, H, W]."""

    images_B3HW: Tensor
    alpha_B1HW: Tensor


class Losses(NamedTuple):
    """Scalars of a step."""

    cls: Tensor
    mean: Tensor
    pixels: Tensor
    place: Tensor


class Views:
    """Prepared cut-outs, read from disk as they are needed."""

    def __init__(self, data: Path) -> None:
        self.subjects_NVHW4: NDArray[np.uint8] = load_array(data / "subjects/train_views.npy")
        icons = data / "icons/train_views.npy"
        self.icons_NVHW4: NDArray[np.uint8] | None = np.load(icons, mmap_mode="r") if icons.exists() else None
        held = data / "subjects/heldout_views.npy"
        self.heldout_NVHW4: NDArray[np.uint8] | None = np.load(held, mmap_mode="r") if held.exists() else None

    def draw(self, recipe: Recipe, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Two views of each of `pairs` subjects, uint8 [2, B, H, W, 4]."""
        icons = self.icons_NVHW4
        icon_count = 0 if icons is None else round(recipe.pairs * recipe.icon_share)
        count = recipe.pairs - icon_count
        subjects = self.subjects_NVHW4
        rows = rng.choice(len(subjects), count, replace=count > len(subjects))
        pairs = [[subjects[row, view] for view in _two_views(subjects.shape[1], recipe, rng)] for row in rows]
        if icons is not None:
            chosen = rng.choice(len(icons), icon_count, replace=icon_count > len(icons))
            pairs += [[icons[row, 0]] * 2 for row in chosen]
        return np.stack([np.stack(side) for side in zip(*pairs, strict=True)])


def _two_views(views: int, recipe: Recipe, rng: np.random.Generator) -> tuple[int, int]:
    """Indices of two views: mostly a small turn apart, else any two."""
    first, elevations = int(rng.integers(views)), max(1, views // AZIMUTHS)
    if views < AZIMUTHS or rng.random() >= recipe.near_share:
        return first, int(rng.integers(views))
    azimuth = (first % AZIMUTHS + int(rng.integers(-1, 2))) % AZIMUTHS
    return first, int(rng.integers(elevations)) * AZIMUTHS + azimuth


def on_white(
    rgba_BHW4: NDArray[np.uint8],
    size: int,
    transform_B23: Tensor | None = None,
    device: torch.device | str = "cpu",
) -> Pictures:
    """Cut-outs with straight alpha, affinely moved if asked, on white at `size` pixels on a device."""
    rgba_BHW4_u8 = torch.from_numpy(np.ascontiguousarray(rgba_BHW4)).to(device)
    rgba_B4HW = rgba_BHW4_u8.permute(0, 3, 1, 2).float() / 255
    alpha_B1HW = rgba_B4HW[:, 3:]
    layers_B4HW = torch.cat((rgba_B4HW[:, :3] * alpha_B1HW, alpha_B1HW), dim=1)
    if transform_B23 is None:
        layers_B4HW = F.interpolate(layers_B4HW, size=(size, size), mode="bilinear", antialias=True)
    else:
        finest = SAMPLES * size // 2
        if layers_B4HW.shape[-1] > finest:
            layers_B4HW = F.interpolate(layers_B4HW, (finest, finest), mode="bilinear", antialias=True)
        grid = F.affine_grid(transform_B23.to(device), [len(layers_B4HW), 4, size, size], align_corners=False)
        layers_B4HW = F.grid_sample(layers_B4HW, grid, align_corners=False)
    alpha_B1HW = layers_B4HW[:, 3:].clamp(0, 1)
    return Pictures((layers_B4HW[:, :3] + 1 - alpha_B1HW).clamp(0, 1), alpha_B1HW)


def augment(
    pair_2BHW4: NDArray[np.uint8],
    size: int,
    rng: np.random.Generator,
    device: torch.device | str = "cpu",
) -> Pictures:
    """Both views as pictures [2 B, ...]: hue, saturation and mirroring shared by a pair, the rest its own."""
    count = pair_2BHW4.shape[1]
    mirror = np.tile(rng.choice([-1.0, 1.0], count), 2)
    transform_B23 = _affine(mirror, rng)
    colours_B33 = torch.from_numpy(_hue_matrices(count, rng)).float().repeat(2, 1, 1).to(device)
    flat_BHW4 = pair_2BHW4.reshape(2 * count, *pair_2BHW4.shape[2:])
    pictures = on_white(flat_BHW4, size, transform_B23, device)
    images_B3HW, alpha_B1HW = pictures
    light_B = torch.from_numpy(rng.uniform(0.92, 1.08, 2 * count)).float().to(device)
    layer_B3HW = torch.einsum("bij,bjhw->bihw", colours_B33, images_B3HW - 1 + alpha_B1HW)
    layer_B3HW = torch.minimum((layer_B3HW * light_B[:, None, None, None]).clamp_min(0), alpha_B1HW)
    return Pictures(layer_B3HW + 1 - alpha_B1HW, alpha_B1HW)


def _affine(mirror_B: NDArray[np.float64], rng: np.random.Generator) -> Tensor:
    """Output-to-input maps [B, 2, 3]: a little turn, size and place, mirrored where -1."""
    count = len(mirror_B)
    angle, scale = rng.normal(0, 0.12, count), rng.uniform(0.9, 1.2, count)
    stretch = rng.uniform(0.93, 1.07, count)
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    shift = rng.uniform(-0.1, 0.1, (2, count))
    rows = [[cos * stretch * mirror_B, -sin, shift[0]], [sin * mirror_B, cos / stretch, shift[1]]]
    return torch.from_numpy(np.array(rows)).permute(2, 0, 1).float()


def _hue_matrices(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Colour matrices [B, 3, 3]: half of them turn the hue by any angle, all change saturation a little."""
    to_yiq = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    angle = rng.uniform(-math.pi, math.pi, count) * (rng.random(count) < 0.5)
    saturation = rng.uniform(0.8, 1.2, count)
    turn = np.zeros((count, 3, 3))
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = np.cos(angle) * saturation
    turn[:, 1, 2], turn[:, 2, 1] = -np.sin(angle) * saturation, np.sin(angle) * saturation
    matrices: NDArray[np.float64] = np.linalg.inv(to_yiq) @ turn @ to_yiq
    return matrices


class Trainee(nn.Module):
    """The encoder with the heads that only training needs."""

    def __init__(self, config: SemanticEncoderConfig, recipe: Recipe) -> None:
        super().__init__()
        self.recipe, self.patch, self.grid = recipe, config.patch, config.grid
        self.encoder = SemanticEncoder(config)
        # Positions start as strong as the patches themselves; at the usual 0.02 they stay unread for long.
        nn.init.normal_(self.encoder.dino.embeddings.position_embeddings, std=0.3)
        self.cls_head = nn.Linear(config.width, recipe.embedding)
        self.mean_head = nn.Linear(config.width, recipe.embedding)
        self.pixel_head = nn.Linear(config.width, 4 * config.patch**2)
        self.place_head = nn.Linear(config.width, 2 * config.grid)

    def forward(self, pictures: Pictures) -> Losses:
        """Losses of a batch whose halves show the same subjects in the same order."""
        tokens = self.encoder(pictures.images_B3HW)
        cls_BC = self.cls_head(tokens.cls_BC)
        mean_BC = self.mean_head(tokens.patches_BPC.mean(dim=1))
        place_BPC = self.place_head(tokens.patches_BPC).float()
        cells = torch.arange(self.grid, device=place_BPC.device)
        rows_P, columns_P = cells.repeat_interleave(self.grid), cells.repeat(self.grid)
        logits_BPG, others_BPG = place_BPC.chunk(2, dim=-1)
        place = sum(
            F.cross_entropy(logits.flatten(0, 1), target_P.repeat(len(logits)))
            for logits, target_P in ((logits_BPG, rows_P), (others_BPG, columns_P))
        )
        return Losses(
            info_nce(cls_BC.float(), self.recipe.temperature),
            info_nce(mean_BC.float(), self.recipe.temperature),
            self.pixel_loss(self.pixel_head(tokens.patches_BPC).float(), pictures),
            torch.as_tensor(place),
        )

    def pixel_loss(self, read_BPC: Tensor, pictures: Pictures) -> Tensor:
        """Squared error of colours (mostly on the subject) and coverage in -1..1."""
        colours_BPC = F.unfold(pictures.images_B3HW * 2 - 1, self.patch, stride=self.patch).transpose(1, 2)
        alpha_BPC = F.unfold(pictures.alpha_B1HW, self.patch, stride=self.patch).transpose(1, 2)
        split = colours_BPC.shape[2]
        error_BPC = (read_BPC[..., :split] - colours_BPC).square()
        weight_BPC = (0.25 + 0.75 * alpha_BPC).repeat(1, 1, 3)
        coverage_error = (read_BPC[..., split:] - (alpha_BPC * 2 - 1)).square().mean()
        return (error_BPC * weight_BPC).mean() + 0.3 * coverage_error


def info_nce(embedding_BC: Tensor, temperature: float) -> Tensor:
    """Symmetric InfoNCE between the two halves of the batch; row i of one belongs to row i of the other."""
    first_NC, second_NC = F.normalize(embedding_BC, dim=1).chunk(2)
    logits_NN = first_NC @ second_NC.T / temperature
    target_N = torch.arange(len(logits_NN), device=logits_NN.device)
    return (F.cross_entropy(logits_NN, target_N) + F.cross_entropy(logits_NN.T, target_N)) / 2


# Gallery: the front at the lower elevation. Queries: up to 30 degrees away, and 90 degrees away and higher.
NEAR_QUERIES, FAR_QUERIES = (1, AZIMUTHS - 1, AZIMUTHS), (AZIMUTHS + 3, AZIMUTHS + 9)


@torch.no_grad()
def evaluate(trainee: Trainee, views_NVHW4: NDArray[np.uint8], device: torch.device) -> dict[str, float]:
    """Retrieval@1 among unseen subjects after a small and a large turn, and how well pixels are read back."""
    trainee.eval()
    size = trainee.encoder.config.image_size

    def features(view: int) -> tuple[dict[str, Tensor], Pictures, Tensor]:
        pictures = on_white(views_NVHW4[:, view], size, device=device)
        tokens = trainee.encoder(pictures.images_B3HW)
        weight = pictures.alpha_B1HW.sum((2, 3)).clamp_min(1e-3)
        colour_B3 = (pictures.images_B3HW * pictures.alpha_B1HW).sum((2, 3)) / weight
        named = {"cls": tokens.cls_BC, "mean": tokens.patches_BPC.mean(dim=1), "mean_colour": colour_B3}
        return named, pictures, tokens.patches_BPC

    gallery, pictures, patches_BPC = features(0)
    figures: dict[str, float] = {}
    for turn, queries in (("near", NEAR_QUERIES), ("far", FAR_QUERIES)):
        for name in gallery:
            hits = [_retrieval(features(view)[0][name], gallery[name]) for view in queries]
            figures[f"{name}_{turn}"] = round(sum(hits) / len(hits), 4)
    split = 3 * trainee.patch**2
    read_BPC = trainee.pixel_head(patches_BPC)[..., :split].transpose(1, 2)
    read_B3HW = (F.fold(read_BPC, (size, size), trainee.patch, stride=trainee.patch) + 1) / 2
    figures["pixel_psnr"] = round(-10 * math.log10(float(F.mse_loss(read_B3HW, pictures.images_B3HW))), 2)
    trainee.train()
    return figures


def _retrieval(query_NC: Tensor, gallery_NC: Tensor) -> float:
    """Share of rows whose nearest gallery row (cosine, gallery mean removed) is their own."""
    centre_C = gallery_NC.mean(dim=0)
    likeness_NN = F.normalize(query_NC - centre_C, dim=1) @ F.normalize(gallery_NC - centre_C, dim=1).T
    return float((likeness_NN.argmax(dim=1).cpu() == torch.arange(len(likeness_NN))).float().mean())


def objective(trainee: Trainee, views: Views, step: int) -> Objective:
    """The loss of one step's pairs."""
    recipe, rng = trainee.recipe, np.random.default_rng((trainee.recipe.seed, step))
    device = next(trainee.parameters()).device
    pictures = augment(views.draw(recipe, rng), trainee.encoder.config.image_size, rng, device)
    losses: Losses = trainee(pictures)
    total = losses.cls + recipe.mean_weight * losses.mean
    total = total + recipe.pixel_weight * losses.pixels + recipe.place_weight * losses.place
    return Objective(total, losses._asdict())


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = encoder_parser("semantic", __doc__)
    parser.add_argument("--pairs", type=int, default=Recipe.pairs, help="subjects a step")
    arguments = parser.parse_args(argv)
    with only_run(arguments.out):
        train(arguments)
    return 0


def train(options: argparse.Namespace) -> None:
    """The whole of a run: steps, and the files it leaves."""
    torch.set_num_threads(options.threads)
    recipe, views = Recipe(pairs=options.pairs), Views(options.data)
    torch.manual_seed(recipe.seed)
    trainee = Trainee(find_encoders(options.preset).semantic, recipe)
    device = device_of(options.device)
    run = EncoderRun(options.out, trainee, recipe.optimisation, options.minutes, device)
    held = views.heldout_NVHW4
    seen_from_all_sides = held is not None and held.shape[1] > max(FAR_QUERIES)

    def figures_now() -> dict[str, float]:
        return evaluate(trainee, held, run.device) if held is not None and seen_from_all_sides else {}

    figures = run.train(lambda step: objective(trainee, views, step), figures_now)
    encoder = trainee.encoder
    save_part(options.out / "semantic.safetensors", "semantic", encoder, encoder.config)
    done = {"steps": run.step, "minutes": round(run.spent / 60, 2), "recipe": asdict(recipe), **figures}
    write_text(options.out / "DONE", json.dumps(done, indent=1) + "\n")
