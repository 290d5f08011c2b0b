"""Composites with ground-truth mattes for the built-in cut: rendered subjects in panoramas.

Shape suffixes: N subjects, H W pixels; sprites are premultiplied RGBA, cropped to their box. The panoramas
have 512 columns for 360°: at these sizes they are as soft as the background of a portrait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from . import furniture, panoramas, render
from .colour import premultiplied
from .files import save_array

PICTURE_HW = ((512, 512), (480, 640), (640, 480), (360, 640))
LARGEST_SIDE = 0.96
"""Largest side of a subject, as a fraction of the frame's."""
RENDER_SIDE = 512

VALIDATION_FOLDS = (0, 3)
"""Folds of the training subjects that variants of the cut are compared on, and that it is not trained on."""
FOLDS = 7
"""Training subject i is in fold i % FOLDS."""

Backgrounds = Sequence[panoramas.Array]
"""Tone-mapped panoramas [P, Q, 3], 0..1."""
View = tuple[int, int]
"""Azimuth and elevation in degrees, of those in `render`."""


@dataclass(frozen=True)
class Composite:
    """A picture in 0..1 with each subject's matte and name; background: its index, -1 if not a panorama."""

    image_3HW: Tensor
    alphas_NHW: Tensor
    names: tuple[str, ...]
    background: int

    @property
    def truths_NHW(self) -> Tensor:
        """Ground-truth masks, bool: alpha of at least 0.5."""
        return self.alphas_NHW >= 0.5


class CompositeGenerator:
    """Composes random pictures, the same for the same `rng`. Pixels have 256 levels."""

    def __init__(
        self, sprites: Sequence[tuple[str, Tensor]], backgrounds: Backgrounds, rng: np.random.Generator
    ) -> None:
        self.sprites, self.backgrounds, self.rng = sprites, backgrounds, rng

    def compose(
        self, picture_hw: tuple[int, int], sizes: Sequence[float], truncated: bool, grain: float
    ) -> Composite:
        """One subject for each of `sizes` (area of its box over that of the picture, reduced until it fits).

        truncated: the frame's edge cuts the subject. grain: standard deviation of the sensor noise.
        """
        height, width = picture_hw
        background, image_3HW = self.draw_background(height, width)
        alphas: list[Tensor] = []
        names = []
        for index, size in enumerate(sizes):
            name, sprite_4HW = self.draw_sprite()
            span = (width * index / len(sizes), width * (index + 1) / len(sizes))
            layer_4HW = self._place(sprite_4HW, size, (height, width), span, truncated)
            image_3HW = _overlay(image_3HW, layer_4HW)
            alphas = [alpha_HW * (1 - layer_4HW[3]) for alpha_HW in alphas]
            alphas.append(layer_4HW[3])
            names.append(name)
        grain_3HW = torch.from_numpy(self.rng.normal(0, grain, image_3HW.shape).astype(np.float32))
        image_3HW = ((image_3HW + grain_3HW).clamp(0, 1) * 255).round() / 255
        return Composite(image_3HW, torch.stack(alphas), tuple(names), background)

    def draw_sprite(self) -> tuple[str, Tensor]:
        """A random subject's name and sprite."""
        return self.sprites[int(self.rng.integers(len(self.sprites)))]

    def draw_background(self, height: int, width: int) -> tuple[int, Tensor]:
        """Index of a random panorama, and a random view of it [3, H, W]."""
        index = int(self.rng.integers(len(self.backgrounds)))
        panorama_PQ3 = self.backgrounds[index]
        side = max(height, width)
        yaw, pitch, view = self.rng.uniform(0, 360), self.rng.uniform(-14, -4), self.rng.uniform(75, 95)
        pixels_HW2 = panoramas.crop_pixels(yaw, pitch, view, side, panorama_PQ3.shape[:2])
        crop_HW3 = panoramas.sample(panorama_PQ3, pixels_HW2)
        top, left = (side - height) // 2, (side - width) // 2
        crop_HW3 = crop_HW3[top : top + height, left : left + width]
        return index, torch.from_numpy(crop_HW3.astype(np.float32)).permute(2, 0, 1)

    def _place(
        self,
        sprite_4HW: Tensor,
        size: float,
        picture_hw: tuple[int, int],
        span: tuple[float, float],
        truncated: bool,
    ) -> Tensor:
        """The sprite in a layer [4, H, W], its box `size` of the picture's area if that fits."""
        height, width = picture_hw
        own_height, own_width = sprite_4HW.shape[-2:]
        room = LARGEST_SIDE * min(height / own_height, (span[1] - span[0]) / own_width)
        scale = min(room, float(np.sqrt(size * height * width / (own_height * own_width))))
        new_hw = tuple(max(1, round(side * scale)) for side in sprite_4HW.shape[-2:])
        small_4hw = F.interpolate(sprite_4HW[None], new_hw, mode="bilinear", antialias=True)[0]
        tall, wide = new_hw
        room_x = max(span[1] - span[0] - wide, 0.0)
        left = round(span[0] + self.rng.uniform(0, 1) * room_x)
        top = round(self.rng.uniform(0, 1) * max(height - tall, 0))
        if truncated:  # up to a quarter of it lies outside
            cut = self.rng.uniform(0, 0.25)
            side = self.rng.integers(4)
            left = (round(-cut * wide), round(width - (1 - cut) * wide), left, left)[side]
            top = (top, top, round(-cut * tall), round(height - (1 - cut) * tall))[side]
        layer_4HW = torch.zeros(4, height, width)
        y, x = max(top, 0), max(left, 0)
        bottom, right = min(top + tall, height), min(left + wide, width)
        layer_4HW[:, y:bottom, x:right] = small_4hw[:, y - top : bottom - top, x - left : right - left]
        return layer_4HW


def _overlay(image_3HW: Tensor, layer_4HW: Tensor) -> Tensor:
    """The layer over the picture, tinted by the scene's light, with a soft shadow under it."""
    alpha_1HW = layer_4HW[3:]
    tint_311 = image_3HW.mean((1, 2), keepdim=True)
    tint_311 = tint_311 / tint_311.mean().clamp_min(0.05)
    lit_3HW = layer_4HW[:3] * torch.lerp(torch.ones_like(tint_311), tint_311, 0.25)
    if not bool((alpha_1HW > 0.5).any()):  # too thin to cast a shadow
        return lit_3HW + image_3HW * (1 - alpha_1HW)
    _, top, _, bottom = bounds(alpha_1HW[0] > 0.5)
    reach = max(1, (bottom - top) // 12)
    feet_1HW = alpha_1HW.clone()
    feet_1HW[:, : bottom - 2 * reach] = 0
    shadow_1HW = feet_1HW.roll(reach, 1)
    for kernel, padding in (((2 * reach + 1, 1), (reach, 0)), ((1, 2 * reach + 1), (0, reach))):
        shadow_1HW = F.avg_pool2d(shadow_1HW[None], kernel, 1, padding)[0]
    shaded_3HW = image_3HW * (1 - 0.4 * shadow_1HW)
    return lit_3HW + shaded_3HW * (1 - alpha_1HW)


def bounds(mask_HW: Tensor) -> tuple[int, int, int, int]:
    """Bounding box (left, top, right, bottom) of a mask that is not empty."""
    rows, columns = mask_HW.any(1).nonzero()[:, 0], mask_HW.any(0).nonzero()[:, 0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def read_backgrounds(npm: Path, sources: Sequence[str]) -> list[panoramas.Array]:
    """Panoramas of @pmndrs/assets by file name, tone-mapped. npm: a node_modules folder. Raises as
    `panoramas.read_panorama`.
    """
    exposures = {scene.source: scene.exposure for scene in panoramas.SCENES}
    return [
        panoramas.tone_map(
            panoramas.read_panorama(npm / "@pmndrs" / "assets" / "hdri" / f"{source}.exr.js"),
            exposures.get(source, 1.0),
        )
        for source in sources
    ]


def split_subjects(folder: Path, fold: int | None) -> list[furniture.FurnitureModel]:
    """Training models without doors and windows: of a validation fold, or (None) of all other folds."""
    models = furniture.split_models(furniture.read_catalog(folder), furniture.read_heldout_names()).train
    return [
        model
        for index, model in enumerate(models)
        if model.category != "Doors and windows"
        and (index % FOLDS == fold if fold is not None else index % FOLDS not in VALIDATION_FOLDS)
    ]


def render_sprites(
    cache: Path,
    furniture_folder: Path,
    models: Sequence[furniture.FurnitureModel],
    views_of: Callable[[furniture.FurnitureModel], list[View]],
) -> list[tuple[str, Tensor]]:
    """Name and sprite [4, h, w] of every view; renders are cached in the folder `cache`."""
    cache.mkdir(parents=True, exist_ok=True)
    sprites = []
    for model in models:
        path = cache / f"{model.id}.npy"
        if not path.exists():
            parts = render.load_parts(model, furniture_folder)
            save_array(path, render.render_views(parts, RENDER_SIDE, 2, views_of(model)))
        sprites += [(model.name, tight(view_HW4)) for view_HW4 in np.load(path) if _visible(view_HW4)]
    return sprites


def _visible(view_HW4: np.ndarray) -> bool:
    return render.coverage(view_HW4) >= render.MIN_COVERAGE


def tight(view_HW4: np.ndarray) -> Tensor:
    """A picture, uint8 [H, W, 4] with straight alpha, as a sprite [4, h, w]."""
    rgba_4HW = torch.from_numpy(view_HW4.copy()).permute(2, 0, 1).float() / 255
    rgba_4HW = premultiplied(rgba_4HW)
    left, top, right, bottom = bounds(rgba_4HW[3] > 0.5)
    return rgba_4HW[:, top:bottom, left:right]
