"""Trains the semantic encoder: `python -m miniature semantic --data DATA --out RUN`.

Two objectives. InfoNCE (van den Oord et al. 2018) between two views of a subject, on the class token and on
the mean patch, teaches identity. Linear heads on every patch token predict its pixels, coverage, row and
column: layout reaches the picture through the patch tokens alone, because content tokens have no positional
encoding. Run it again to continue.

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
from echogen_core.encoders.sizes import find_encoders
from echogen_core.training.run_folder import only_run
from echogen_core.utils.option_types import whole
from echogen_core.utils.writing import write_text

from ..data.colour import RGB_TO_YIQ, over_white, premultiplied
from ..data.dataset import AZIMUTHS
from ..data.files import load_array
from ..psnr import psnr
from .encoder_trainer import EncoderTrainer, OptimiserSettings, StepLoss
from .options import encoder_parser, find_device

SAMPLES = 3  # pixels of a view for two of the input: sampled from a larger view, pictures would alias


@dataclass(frozen=True)
class SemanticRecipe:
    """Settings of a run; the defaults trained the shipped weights."""

    pairs: int = 64  # subjects per step, with two pictures each
    icon_share: float = 0.4  # of the pairs, if there are icons
    near_share: float = 0.6  # of the furniture pairs: at most 30 degrees apart
    optimisation: OptimiserSettings = field(default_factory=OptimiserSettings)
    temperature: float = 0.1
    embedding: int = 128
    mean_weight: float = 0.5  # InfoNCE on the mean patch
    pixel_weight: float = 4.0
    place_weight: float = 0.5  # row and column of each patch
    seed: int = 20


class SubjectImages(NamedTuple):
    """Subjects on white, in 0..1, and their coverage [B, 1, H, W]."""

    images_B3HW: Tensor
    alpha_B1HW: Tensor


class Losses(NamedTuple):
    """The losses of a step, scalars."""

    cls: Tensor
    mean: Tensor
    pixels: Tensor
    place: Tensor


class Views:
    """Prepared cut-outs, memory-mapped. Raises FileNotFoundError as `files.prepared`."""

    def __init__(self, data: Path) -> None:
        self.subjects_NVHW4: NDArray[np.uint8] = load_array(data / "subjects/train_views.npy")
        icons = data / "icons/train_views.npy"
        self.icons_NVHW4: NDArray[np.uint8] | None = np.load(icons, mmap_mode="r") if icons.exists() else None
        held = data / "subjects/heldout_views.npy"
        self.heldout_NVHW4: NDArray[np.uint8] | None = np.load(held, mmap_mode="r") if held.exists() else None

    def draw(self, recipe: SemanticRecipe, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Two views of each of `pairs` random subjects, uint8 [2, B, H, W, 4]."""
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


def _two_views(views: int, recipe: SemanticRecipe, rng: np.random.Generator) -> tuple[int, int]:
    """Indices of two views, usually a small turn apart, else any two."""
    first, elevations = int(rng.integers(views)), max(1, views // AZIMUTHS)
    if views < AZIMUTHS or rng.random() >= recipe.near_share:
        return first, int(rng.integers(views))
    azimuth = (first % AZIMUTHS + int(rng.integers(-1, 2))) % AZIMUTHS
    return first, int(rng.integers(elevations)) * AZIMUTHS + azimuth


def cutouts_on_white(
    rgba_BHW4: NDArray[np.uint8],
    size: int,
    transform_B23: Tensor | None = None,
    device: torch.device | str = "cpu",
) -> SubjectImages:
    """Cut-outs, uint8 [B, H, W, 4] with straight alpha, on white at `size` pixels, on a device.

    transform: output-to-input maps [B, 2, 3]; None: not moved.
    """
    rgba_BHW4_u8 = torch.from_numpy(np.ascontiguousarray(rgba_BHW4)).to(device)
    rgba_B4HW = rgba_BHW4_u8.permute(0, 3, 1, 2).float() / 255
    layers_B4HW = premultiplied(rgba_B4HW)
    if transform_B23 is None:
        layers_B4HW = F.interpolate(layers_B4HW, size=(size, size), mode="bilinear", antialias=True)
    else:
        finest = SAMPLES * size // 2
        if layers_B4HW.shape[-1] > finest:
            layers_B4HW = F.interpolate(layers_B4HW, (finest, finest), mode="bilinear", antialias=True)
        grid = F.affine_grid(transform_B23.to(device), [len(layers_B4HW), 4, size, size], align_corners=False)
        layers_B4HW = F.grid_sample(layers_B4HW, grid, align_corners=False)
    alpha_B1HW = layers_B4HW[:, 3:].clamp(0, 1)
    return SubjectImages(over_white(layers_B4HW[:, :3], alpha_B1HW), alpha_B1HW)


def augment(
    pair_2BHW4: NDArray[np.uint8],
    size: int,
    rng: np.random.Generator,
    device: torch.device | str = "cpu",
) -> SubjectImages:
    """Augments both views into a batch [2 B, ...]: hue, saturation, mirroring per pair, the rest per view."""
    count = pair_2BHW4.shape[1]
    mirror = np.tile(rng.choice([-1.0, 1.0], count), 2)
    transform_B23 = _affine(mirror, rng)
    colours_B33 = torch.from_numpy(_hue_matrices(count, rng)).float().repeat(2, 1, 1).to(device)
    flat_BHW4 = pair_2BHW4.reshape(2 * count, *pair_2BHW4.shape[2:])
    pictures = cutouts_on_white(flat_BHW4, size, transform_B23, device)
    images_B3HW, alpha_B1HW = pictures
    light_B = torch.from_numpy(rng.uniform(0.92, 1.08, 2 * count)).float().to(device)
    layer_B3HW = torch.einsum("bij,bjhw->bihw", colours_B33, images_B3HW - 1 + alpha_B1HW)
    layer_B3HW = torch.minimum((layer_B3HW * light_B[:, None, None, None]).clamp_min(0), alpha_B1HW)
    return SubjectImages(layer_B3HW + 1 - alpha_B1HW, alpha_B1HW)


def _affine(mirror_B: NDArray[np.float64], rng: np.random.Generator) -> Tensor:
    """Random output-to-input maps [B, 2, 3]: small rotation, scale and shift, mirrored where -1."""
    count = len(mirror_B)
    angle, scale = rng.normal(0, 0.12, count), rng.uniform(0.9, 1.2, count)
    stretch = rng.uniform(0.93, 1.07, count)
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    shift = rng.uniform(-0.1, 0.1, (2, count))
    rows = [[cos * stretch * mirror_B, -sin, shift[0]], [sin * mirror_B, cos / stretch, shift[1]]]
    return torch.from_numpy(np.array(rows)).permute(2, 0, 1).float()


def _hue_matrices(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Random colour matrices [B, 3, 3]: half rotate the hue by any angle, all change saturation a little."""
    to_yiq = np.array(RGB_TO_YIQ)
    angle = rng.uniform(-math.pi, math.pi, count) * (rng.random(count) < 0.5)
    saturation = rng.uniform(0.8, 1.2, count)
    turn = np.zeros((count, 3, 3))
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = np.cos(angle) * saturation
    turn[:, 1, 2], turn[:, 2, 1] = -np.sin(angle) * saturation, np.sin(angle) * saturation
    matrices: NDArray[np.float64] = np.linalg.inv(to_yiq) @ turn @ to_yiq
    return matrices


class SemanticWithHeads(nn.Module):
    """The encoder with its training heads, which are discarded afterwards."""

    def __init__(self, config: SemanticEncoderConfig, recipe: SemanticRecipe) -> None:
        super().__init__()
        self.recipe, self.patch, self.grid = recipe, config.patch, config.grid
        self.encoder = SemanticEncoder(config)
        # Positions start as large as the patches; at the usual 0.02 the model ignores them for a long time.
        nn.init.normal_(self.encoder.dino.embeddings.position_embeddings, std=0.3)
        self.cls_head = nn.Linear(config.width, recipe.embedding)
        self.mean_head = nn.Linear(config.width, recipe.embedding)
        self.pixel_head = nn.Linear(config.width, 4 * config.patch**2)
        self.place_head = nn.Linear(config.width, 2 * config.grid)

    def forward(self, pictures: SubjectImages) -> Losses:
        """Losses of a batch [2 N, ...] whose halves show the same subjects in the same order."""
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

    def pixel_loss(self, read_BPC: Tensor, pictures: SubjectImages) -> Tensor:
        """Squared error of colours, weighted towards the subject, and of coverage, both in -1..1; scalar."""
        colours_BPC = F.unfold(pictures.images_B3HW * 2 - 1, self.patch, stride=self.patch).transpose(1, 2)
        alpha_BPC = F.unfold(pictures.alpha_B1HW, self.patch, stride=self.patch).transpose(1, 2)
        split = colours_BPC.shape[2]
        error_BPC = (read_BPC[..., :split] - colours_BPC).square()
        weight_BPC = (0.25 + 0.75 * alpha_BPC).repeat(1, 1, 3)
        coverage_error = (read_BPC[..., split:] - (alpha_BPC * 2 - 1)).square().mean()
        return (error_BPC * weight_BPC).mean() + 0.3 * coverage_error


def info_nce(embedding_BC: Tensor, temperature: float) -> Tensor:
    """Symmetric InfoNCE between the halves of a batch, whose rows match pairwise; scalar."""
    first_NC, second_NC = F.normalize(embedding_BC, dim=1).chunk(2)
    logits_NN = first_NC @ second_NC.T / temperature
    target_N = torch.arange(len(logits_NN), device=logits_NN.device)
    return (F.cross_entropy(logits_NN, target_N) + F.cross_entropy(logits_NN.T, target_N)) / 2


# Gallery: the front at the lower elevation. Queries: up to 30 degrees away, and 90 degrees away and higher.
NEAR_QUERIES, FAR_QUERIES = (1, AZIMUTHS - 1, AZIMUTHS), (AZIMUTHS + 3, AZIMUTHS + 9)


@torch.no_grad()
def evaluate(
    model: SemanticWithHeads, views_NVHW4: NDArray[np.uint8], device: torch.device
) -> dict[str, float]:
    """On held-out subjects: retrieval@1 after a small and a large turn, PSNR of the predicted pixels."""
    model.eval()
    size = model.encoder.config.image_size

    def features(view: int) -> tuple[dict[str, Tensor], SubjectImages, Tensor]:
        pictures = cutouts_on_white(views_NVHW4[:, view], size, device=device)
        tokens = model.encoder(pictures.images_B3HW)
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
    split = 3 * model.patch**2
    read_BPC = model.pixel_head(patches_BPC)[..., :split].transpose(1, 2)
    read_B3HW = (F.fold(read_BPC, (size, size), model.patch, stride=model.patch) + 1) / 2
    figures["pixel_psnr"] = round(float(psnr(F.mse_loss(read_B3HW, pictures.images_B3HW))), 2)
    model.train()
    return figures


def _retrieval(query_NC: Tensor, gallery_NC: Tensor) -> float:
    """Share of rows whose nearest gallery row (cosine, gallery mean subtracted) is their own."""
    centre_C = gallery_NC.mean(dim=0)
    likeness_NN = F.normalize(query_NC - centre_C, dim=1) @ F.normalize(gallery_NC - centre_C, dim=1).T
    return float((likeness_NN.argmax(dim=1).cpu() == torch.arange(len(likeness_NN))).float().mean())


def objective(model: SemanticWithHeads, views: Views, step: int) -> StepLoss:
    """The loss of one step, whose pairs depend on the seed and the step alone."""
    recipe, rng = model.recipe, np.random.default_rng((model.recipe.seed, step))
    device = next(model.parameters()).device
    pictures = augment(views.draw(recipe, rng), model.encoder.config.image_size, rng, device)
    losses: Losses = model(pictures)
    total = losses.cls + recipe.mean_weight * losses.mean
    total = total + recipe.pixel_weight * losses.pixels + recipe.place_weight * losses.place
    return StepLoss(total, losses._asdict())


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of this stage; returns the exit code."""
    parser = encoder_parser("semantic", __doc__)
    parser.add_argument("--pairs", type=whole(2), default=SemanticRecipe.pairs, help="subjects per step")
    arguments = parser.parse_args(argv)
    with only_run(arguments.out):
        train(arguments)
    return 0


def train(options: argparse.Namespace) -> None:
    """A whole run: training, semantic.safetensors, and DONE with the figures."""
    torch.set_num_threads(options.threads)
    recipe, views = SemanticRecipe(pairs=options.pairs), Views(options.data)
    torch.manual_seed(recipe.seed)
    model = SemanticWithHeads(find_encoders(options.preset).semantic, recipe)
    device = find_device(options.device)
    run = EncoderTrainer(options.out, model, recipe.optimisation, options.minutes, device, options.within)
    held = views.heldout_NVHW4
    seen_from_all_sides = held is not None and held.shape[1] > max(FAR_QUERIES)

    def figures_now() -> dict[str, float]:
        return evaluate(model, held, run.device) if held is not None and seen_from_all_sides else {}

    figures = run.train(lambda step: objective(model, views, step), figures_now)
    encoder = model.encoder
    save_part(options.out / "semantic.safetensors", "semantic", encoder, encoder.config)
    done = {"steps": run.step, "minutes": round(run.elapsed / 60, 2), "recipe": asdict(recipe), **figures}
    write_text(options.out / "DONE", json.dumps(done, indent=1) + "\n")
