"""Training pictures, composed on the fly: a reference on white, and the subject seen anew in a named scene.

Reads what `prepare` wrote. Everything is drawn from one torch.Generator, so a seed gives the same pictures.
Shape suffixes: B pictures, H and W pixels; sprites are RGBA with straight alpha.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SIZE = 64
"""Side of nano's pictures in pixels."""

AZIMUTHS = 12
"""Views of a subject per elevation, 30 degrees apart; index = elevation * AZIMUTHS + azimuth."""

SUBJECT_WORDS = ("the subject", "the same subject", "this object", "it")
_SUPERSAMPLE = 2


@dataclass(frozen=True)
class Mix:
    """What a batch is made of; a curriculum changes it as training goes on.

    icons: share of flat icons. max_turn: largest turn between reference and target, in steps of 30 degrees;
    turned: share of pairs that turn at all (the side that will be asked for cannot be known, so a small model
    answers turns with a blur of all sides).
    scale: range of the subject's size in the frame. spread: how far from the middle, 0 to 1 of what fits.
    recolour: share of pairs whose hue is rotated (the same in both), which makes new subjects from old ones.
    plain: share of targets on white. named: share of prompts that name the subject.
    """

    icons: float = 0.3
    max_turn: int = 1
    turned: float = 0.25
    scale: tuple[float, float] = (0.65, 0.95)
    spread: float = 1.0
    recolour: float = 0.5
    plain: float = 0.0
    named: float = 0.5


class PairBatch(NamedTuple):
    """references [B, 3, SIZE, SIZE] in 0..1, each with its prompt, scene (-1: plain white) and subject index.

    targets [B * n, 3, SIZE, SIZE]: n consecutive pictures of each reference's subject in its prompt's scene;
    subject_masks [B * n, 1, SIZE, SIZE]: the subject's share of each of their pixels, 0..1.
    Icons are numbered after the furniture.
    """

    references_B3HW: Tensor
    targets_B3HW: Tensor
    subject_masks_B1HW: Tensor
    prompts: list[str]
    scenes_B: Tensor
    subjects_B: Tensor


class _Sprites(NamedTuple):
    references_B4HW: Tensor
    targets_T4HW: Tensor
    subjects: list[int]
    names: list[str]


class Placement(NamedTuple):
    """Where sprites stand, as shares of the frame: size, middle x and bottom y, [B] each."""

    scale_B: Tensor
    x_B: Tensor
    bottom_B: Tensor


@dataclass(frozen=True)
class Scene:
    name: str
    phrases: tuple[str, ...]
    crops_KHW3: np.ndarray = field(repr=False)


class Compositor:
    """Draws pairs from prepared data; one instance per process, with its own generator."""

    def __init__(self, data: Path | str, split: str = "train", seed: int = 0, icons: bool = True) -> None:
        """split: "train" or "heldout" (subjects; scenes are always the trained ones).

        Raises FileNotFoundError, saying which command makes the data, when they are absent.
        """
        data = Path(data)
        self.views_NVHW4 = _load(data / "subjects" / f"{split}_views.npy")
        rows = json.loads(
            _existing(data / "subjects.json", data / "subjects" / "subjects.json").read_text("utf-8")
        )
        self.subjects = sorted((row for row in rows if row["split"] == split), key=lambda row: row["row"])
        has_icons = icons and split == "train"
        self.icons_NVHW4 = _load(data / "icons" / "train_views.npy") if has_icons else None
        self.scenes = load_scenes(data, "train")
        self.generator = torch.Generator().manual_seed(seed)

    def batch(self, count: int, mix: Mix = Mix(), targets: int = 1) -> PairBatch:
        """Draw `count` references with `targets` pictures each."""
        sprites = self._draw_sprites(count, mix, targets)
        scenes_B, background_T3HW, phrases = self._draw_scenes(count, mix, targets)
        placement = draw_placement(count * targets, mix, self.generator)
        middle = torch.full((count,), 0.5)
        jitter = 1 - 0.12 * self._uniform(count)
        prompts = [
            self._prompt(name, phrase, mix.named) for name, phrase in zip(sprites.names, phrases, strict=True)
        ]
        seen = compose_masked(sprites.targets_T4HW, background_T3HW, placement)
        return PairBatch(
            references_B3HW=on_white(sprites.references_B4HW, Placement(jitter, middle, middle + jitter / 2)),
            targets_B3HW=seen.images_B3HW,
            subject_masks_B1HW=seen.subject_B1HW,
            prompts=prompts,
            scenes_B=scenes_B,
            subjects_B=torch.tensor(sprites.subjects),
        )

    def _draw_sprites(self, count: int, mix: Mix, targets: int) -> _Sprites:
        total = len(self.views_NVHW4)
        references, others, subjects, names = [], [], [], []
        icon_share = mix.icons if self.icons_NVHW4 is not None else 0.0
        for icon in (self._uniform(count) < icon_share).tolist():
            if icon and self.icons_NVHW4 is not None:
                row = self._integer(len(self.icons_NVHW4))
                views = [self.icons_NVHW4[row, 0]] * (1 + targets)
                subjects.append(total + row)
                names.append("")
            else:
                row = self._integer(total)
                views = [self.views_NVHW4[row, view] for view in self._draw_views(mix, targets)]
                subjects.append(row)
                names.append(self.subjects[row]["name"])
            references.append(views[0])
            others.extend(views[1:])
        both = torch.from_numpy(np.stack(references + others)).permute(0, 3, 1, 2).float() / 255
        # colour and mirror image belong to the subject: the same in its reference and all its targets
        owner = torch.cat((torch.arange(count), torch.arange(count).repeat_interleave(targets)))
        hue_B = self._uniform(count) * 2 * math.pi * (self._uniform(count) < mix.recolour)
        both = torch.cat((rotate_hue(both[:, :3], hue_B[owner]), both[:, 3:]), dim=1)
        flip_B = (self._uniform(count) < 0.5)[owner][:, None, None, None]
        both = torch.where(flip_B, both.flip(-1), both)
        return _Sprites(both[:count], both[count:], subjects, names)

    def _draw_views(self, mix: Mix, targets: int) -> list[int]:
        """Reference view, then target views within the largest turn."""
        views = self.views_NVHW4.shape[1]
        first = self._integer(views)
        if not mix.max_turn or float(self._uniform(1)) >= mix.turned:
            return [first] * (1 + targets)
        drawn = [first]
        for _ in range(targets):
            turn = self._integer(2 * mix.max_turn + 1) - mix.max_turn
            level = self._integer(views // AZIMUTHS)
            drawn.append(level * AZIMUTHS + (first + turn) % AZIMUTHS)
        return drawn

    def _draw_scenes(self, count: int, mix: Mix, targets: int) -> tuple[Tensor, Tensor, list[str]]:
        """Scene index and phrase of each reference, and a crop for each of its targets."""
        scenes, crops, phrases = [], [], []
        for plain in (self._uniform(count) < mix.plain).tolist():
            index = -1 if plain else self._integer(len(self.scenes))
            scenes.append(index)
            if plain:
                crops += [torch.ones(3, SIZE, SIZE)] * targets
                phrases.append("on a plain white background")
                continue
            scene = self.scenes[index]
            for _ in range(targets):
                crop = torch.from_numpy(scene.crops_KHW3[self._integer(len(scene.crops_KHW3))].copy())
                crop = crop.permute(2, 0, 1).float() / 255
                crops.append(crop.flip(-1) if self._integer(2) else crop)
            phrases.append(scene.phrases[self._integer(len(scene.phrases))])
        return torch.tensor(scenes), torch.stack(crops), phrases

    def _prompt(self, name: str, phrase: str, named: float) -> str:
        word = SUBJECT_WORDS[self._integer(len(SUBJECT_WORDS))]
        if name and float(self._uniform(1)) < named:
            word = f"a {name.lower()}"
        return f"{word} {phrase}"

    def _uniform(self, count: int) -> Tensor:
        return torch.rand(count, generator=self.generator)

    def _integer(self, below: int) -> int:
        return int(torch.randint(below, (1,), generator=self.generator))


def draw_placement(count: int, mix: Mix, generator: torch.Generator) -> Placement:
    """Sizes and places in the mix's ranges, [count] each; subjects stand in the lower part of the frame."""
    low, high = mix.scale
    uniform_3B = torch.rand(3, count, generator=generator)
    scale_B = low + (high - low) * uniform_3B[0]
    room_B = (1 - scale_B) / 2
    x_B = 0.5 + room_B * mix.spread * (2 * uniform_3B[1] - 1)
    bottom_B = 0.5 + scale_B / 2 + room_B * (0.5 + mix.spread * (uniform_3B[2] - 0.5) * 0.8)
    return Placement(scale_B, x_B, bottom_B.clamp(max=0.98))


class Masked(NamedTuple):
    """Pictures [B, 3, SIZE, SIZE] and the subject's share of each pixel, 0..1."""

    images_B3HW: Tensor
    subject_B1HW: Tensor


def compose(sprites_B4HW: Tensor, backgrounds_B3HW: Tensor, placement: Placement) -> Tensor:
    """Sprites in scenes, [B, 3, SIZE, SIZE]; see `compose_masked`."""
    return compose_masked(sprites_B4HW, backgrounds_B3HW, placement).images_B3HW


def compose_masked(sprites_B4HW: Tensor, backgrounds_B3HW: Tensor, placement: Placement) -> Masked:
    """Sprites in scenes, with a contact shadow and a little of the scene's light.

    The sprite's frame is scaled to `placement.scale_B` of the picture and moved so that the lowest opaque
    row stands at `placement.bottom_B`.
    """
    rgb_B3HW, alpha_B1HW = _place(sprites_B4HW, placement)
    shadow_B1HW = _shadow(alpha_B1HW)
    tint_B311 = backgrounds_B3HW.mean((2, 3), keepdim=True)
    tint_B311 = tint_B311 / tint_B311.mean(1, keepdim=True).clamp_min(0.05)
    lit = rgb_B3HW * torch.lerp(torch.ones_like(tint_B311), tint_B311, 0.25)
    ground = backgrounds_B3HW * (1 - 0.45 * shadow_B1HW)
    return Masked((lit + ground * (1 - alpha_B1HW)).clamp(0, 1), alpha_B1HW)


def on_white(sprites_B4HW: Tensor, placement: Placement) -> Tensor:
    """Sprites on white, without shadow, [B, 3, SIZE, SIZE]: what cutting a subject out gives."""
    rgb_B3HW, alpha_B1HW = _place(sprites_B4HW, placement, stand=False)
    return (rgb_B3HW + 1 - alpha_B1HW).clamp(0, 1)


def rotate_hue(rgb_B3HW: Tensor, angle_B: Tensor) -> Tensor:
    """Rotates colours about the grey axis (radians), luma kept."""
    to_yiq = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    cos_B, sin_B = angle_B.cos(), angle_B.sin()
    turn_B33 = torch.zeros(len(angle_B), 3, 3)
    turn_B33[:, 0, 0] = 1
    turn_B33[:, 1, 1], turn_B33[:, 1, 2] = cos_B, -sin_B
    turn_B33[:, 2, 1], turn_B33[:, 2, 2] = sin_B, cos_B
    matrix_B33 = torch.linalg.inv(to_yiq) @ turn_B33 @ to_yiq
    return torch.einsum("bij,bjhw->bihw", matrix_B33, rgb_B3HW).clamp(0, 1)


def load_scenes(data: Path | str, split: str) -> list[Scene]:
    """The scenes of a split ("train" or "heldout"), in the order of scenes.json."""
    data = Path(data)
    rows = json.loads(_existing(data / "scenes.json", data / "scenes" / "scenes.json").read_text("utf-8"))
    return [
        Scene(row["name"], tuple(row["phrases"]), _load(data / "scenes" / f"{row['name']}.npy"))
        for row in rows
        if row["split"] == split
    ]


def _place(sprites_B4HW: Tensor, placement: Placement, stand: bool = True) -> tuple[Tensor, Tensor]:
    """Premultiplied colour [B, 3, SIZE, SIZE] and alpha of sprites moved into the frame, antialiased."""
    alpha_B1HW = sprites_B4HW[:, 3:]
    premultiplied = torch.cat((sprites_B4HW[:, :3] * alpha_B1HW, alpha_B1HW), dim=1)
    height = sprites_B4HW.shape[-2]
    lowest_B = torch.full((len(sprites_B4HW),), 1.0)
    if stand:
        opaque_BH = (alpha_B1HW[:, 0] > 0.5).any(-1)
        rows = torch.arange(1, height + 1)
        lowest_B = (opaque_BH * rows).amax(1).clamp_min(1) / height
    # frame coordinates -1..1 to sprite coordinates: inverse of scaling and shifting
    centre_y_B = placement.bottom_B - (lowest_B - 0.5) * placement.scale_B
    theta_B23 = torch.zeros(len(sprites_B4HW), 2, 3)
    theta_B23[:, 0, 0] = theta_B23[:, 1, 1] = 1 / placement.scale_B
    theta_B23[:, 0, 2] = -(2 * placement.x_B - 1) / placement.scale_B
    theta_B23[:, 1, 2] = -(2 * centre_y_B - 1) / placement.scale_B
    side = SIZE * _SUPERSAMPLE
    grid = F.affine_grid(theta_B23, [len(sprites_B4HW), 4, side, side], align_corners=False)
    placed = F.avg_pool2d(F.grid_sample(premultiplied, grid, align_corners=False), _SUPERSAMPLE)
    return placed[:, :3], placed[:, 3:]


def _shadow(alpha_B1HW: Tensor) -> Tensor:
    """A flat blurred ellipse under the feet: the lowest rows of the subject, smeared."""
    opaque_BH = (alpha_B1HW[:, 0] > 0.5).any(-1)
    rows_H = torch.arange(alpha_B1HW.shape[-2])
    lowest_B = (opaque_BH * rows_H).amax(1)
    near_BH = ((lowest_B[:, None] - rows_H).clamp_min(0) < 6) & (rows_H <= lowest_B[:, None])
    width_B1W = (alpha_B1HW[:, 0] * near_BH[:, :, None]).amax(1, keepdim=True)
    depth_BH1 = torch.exp(-(((rows_H - lowest_B[:, None]) / 2.5) ** 2))[:, :, None]
    return F.avg_pool2d((width_B1W * depth_BH1)[:, None], 5, stride=1, padding=2)


def _load(path: Path) -> np.ndarray:
    return np.load(_existing(path), mmap_mode="r")


def _existing(*candidates: Path) -> Path:
    for path in candidates:
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"Training data are missing: {candidates[0]}. "
        "Make them with `python -m echogen_core.training prepare`."
    )
