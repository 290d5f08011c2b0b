"""Training pairs, composed on the fly: a reference on white, and the same subject in a named scene.

Reads what `prepare` wrote; pictures are as large as the prepared ones. All random numbers come from one
torch.Generator on the CPU, so that a seed gives the same pictures on any device (up to rounding).
Shape suffixes: B pictures, T targets, H and W pixels; sprites are RGBA with straight alpha.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .compose import Placement, at_night, compose_masked, on_white, rotate_hue
from .files import load_array, prepared
from .photographic import Crops, Light, relit, textured
from .prompt_words import (
    PromptWords,
    ReferenceBoxes,
    draw_prompt_words,
    fixed_layout,
    prompted_scale,
    prompted_x,
)

AZIMUTHS = 12
"""Views of a subject per elevation, 30 degrees apart; index = elevation * AZIMUTHS + azimuth."""

REFERENCE_JITTER = 0.12
"""References are scaled down by up to this fraction of their frame."""

SUBJECT_WORDS = ("the subject", "the same subject", "this object", "it")
PLAIN = "on a plain white background"


@dataclass(frozen=True)
class Mix:
    """What a batch is made of; shares are probabilities.

    icons: share of flat icons. max_turn: largest turn between reference and target, in steps of 30 degrees.
    turned: share of pairs that turn at all (a small model cannot know which side is asked for and answers
    with a blur of all).
    scale: range of the subject's size in the frame. spread: distance from the centre, 0 to 1 of what fits.
    fixed_layout: each wording puts the reference's frame into one fixed box (prompt_words.fixed_layout)
    instead of drawing from `scale` and `spread`. Copying is then one of a few shifts and scalings, which can
    be learnt in hours on a CPU.
    crops: number of backgrounds used per scene, typical ones first, never mirrored: few can be memorised.
    0: all of them, half mirrored.
    recolour: share of pairs whose hue is rotated, alike in both pictures: new subjects from old ones.
    plain: share of targets on white. named: share of prompts that name the subject.
    placed, sized, night: shares of prompts with words for position, size and night (prompt_words.py).
    textured, relit: shares of subjects that get a photograph's texture, and another light, alike in both
    pictures (photographic.py).
    """

    icons: float = 0.3
    max_turn: int = 1
    turned: float = 0.25
    scale: tuple[float, float] = (0.65, 0.95)
    spread: float = 1.0
    fixed_layout: bool = False
    crops: int = 0
    recolour: float = 0.5
    plain: float = 0.0
    named: float = 0.5
    placed: float = 0.0
    sized: float = 0.0
    night: float = 0.0
    textured: float = 0.0
    relit: float = 0.0

    @property
    def has_prompt_words(self) -> bool:
        """Whether any prompt has words for position, size or night."""
        return max(self.placed, self.sized, self.night) > 0


class PairBatch(NamedTuple):
    """References [B, 3, H, W] in 0..1, each with its prompt, scene index (-1: plain white) and subject index.

    targets [B * n, 3, H, W]: n consecutive pictures of each reference's subject in its prompt's scene;
    subject_masks [B * n, 1, H, W]: the subject's share of each of their pixels, 0..1.
    Icons are numbered after the furniture. reference_boxes [B * n]: with `Mix.fixed_layout`, where the
    reference's frame is in each target.
    """

    references_B3HW: Tensor
    targets_B3HW: Tensor
    subject_masks_B1HW: Tensor
    prompts: list[str]
    scenes_B: Tensor
    subjects_B: Tensor
    reference_boxes: ReferenceBoxes | None = None


class _Sprites(NamedTuple):
    references_B4HW: Tensor
    targets_T4HW: Tensor
    subjects: list[int]
    names: list[str]


@dataclass(frozen=True)
class Scene:
    """A named scene and its backgrounds, uint8 [K, H, W, 3]; order: their indices, most typical first.

    drawn: whether they are plain colours instead of photographs.
    """

    name: str
    phrases: tuple[str, ...]
    crops_KHW3: np.ndarray = field(repr=False)
    order: tuple[int, ...]
    drawn: bool = False


class ImageTable:
    """uint8 pictures [N, H, W, C] of several arrays, indexed as one: memory-mapped, or resident on a GPU."""

    def __init__(self, arrays: Sequence[np.ndarray], device: torch.device) -> None:
        """The last three axes of each array are a picture's."""
        self._arrays = [array.reshape(-1, *array.shape[-3:]) for array in arrays]
        self.starts = [0, *accumulate(len(array) for array in self._arrays)]
        self._resident = None
        if device.type != "cpu":
            moved = [torch.from_numpy(np.array(array)).to(device) for array in self._arrays]
            self._resident = torch.cat(moved)
            self._arrays = []

    def take(self, rows: Sequence[int]) -> Tensor:
        """ImageTable [B, C, H, W] in 0..1."""
        if self._resident is not None:
            taken = self._resident[torch.tensor(rows, device=self._resident.device)]
        else:
            taken = torch.from_numpy(np.stack([self._picture(row) for row in rows]))
        return taken.permute(0, 3, 1, 2).float() / 255

    def _picture(self, row: int) -> np.ndarray:
        array = bisect_right(self.starts, row) - 1
        return self._arrays[array][row - self.starts[array]]


class Compositor:
    """Draws pairs from prepared data. `generator` is its own: use one instance per process."""

    def __init__(
        self,
        data: Path | str,
        split: str = "train",
        seed: int = 0,
        icons: bool = True,
        device: torch.device | str = "cpu",
    ) -> None:
        """split: "train" or "heldout" subjects; scenes are always the training ones.
        device: where pictures are composed; a GPU then holds all prepared pictures.

        Raises FileNotFoundError, naming the command that makes the data, when they are not there.
        """
        data, self.device = Path(data), torch.device(device)
        self.views_NVHW4 = load_array(data / "subjects" / f"{split}_views.npy")
        rows = json.loads(prepared(data / "subjects" / "subjects.json").read_text("utf-8"))
        self.subjects = sorted((row for row in rows if row["split"] == split), key=lambda row: row["row"])
        has_icons = icons and split == "train"
        self.icons_NVHW4 = load_array(data / "icons" / "train_views.npy") if has_icons else None
        self.scenes = load_scenes(data, "train")
        self.size: int = self.scenes[0].crops_KHW3.shape[1]
        tables = [self.views_NVHW4] if self.icons_NVHW4 is None else [self.views_NVHW4, self.icons_NVHW4]
        self.sprites = ImageTable(tables, self.device)
        self.backgrounds = ImageTable([scene.crops_KHW3 for scene in self.scenes], self.device)
        self.generator = torch.Generator().manual_seed(seed)

    def batch(self, count: int, mix: Mix = Mix(), targets: int = 1) -> PairBatch:
        """Draws `count` references with `targets` pictures each."""
        sprites = self._draw_sprites(count, mix, targets)
        scenes_B, background_T3HW, phrases = self._draw_scenes(count, mix, targets)
        words = self._draw_prompt_words(phrases, mix) if mix.has_prompt_words else PromptWords.none(count)
        each = words.repeated(targets)
        centre = torch.full((count,), 0.5)
        if mix.fixed_layout:
            boxes, share_B = fixed_layout(each), self._reference_shares(count)
            placement = Placement.in_boxes(boxes, share_B.repeat_interleave(targets))
        else:
            boxes, placement = None, draw_placement(count * targets, mix, self.generator, each)
            share_B = self._reference_shares(count)
        prompts = [
            words.prompt(index, self._word(name, mix.named), phrase)
            for index, (name, phrase) in enumerate(zip(sprites.names, phrases, strict=True))
        ]
        seen = compose_masked(sprites.targets_T4HW, background_T3HW, placement, on_feet=not mix.fixed_layout)
        places = Placement(share_B, centre, centre + share_B / 2)
        return PairBatch(
            references_B3HW=on_white(sprites.references_B4HW, places, self.size),
            targets_B3HW=at_night(seen.images_B3HW, each.night_B)
            if mix.has_prompt_words
            else seen.images_B3HW,
            subject_masks_B1HW=seen.subject_B1HW,
            prompts=prompts,
            scenes_B=scenes_B,
            subjects_B=torch.tensor(sprites.subjects),
            reference_boxes=boxes,
        )

    def _draw_sprites(self, count: int, mix: Mix, targets: int) -> _Sprites:
        total, views = self.views_NVHW4.shape[:2]
        references: list[int] = []
        others: list[int] = []
        subjects, names = [], []
        icon_share = mix.icons if self.icons_NVHW4 is not None else 0.0
        for icon in (self._uniform(count) < icon_share).tolist():
            if icon and self.icons_NVHW4 is not None:
                row = self._integer(len(self.icons_NVHW4))
                drawn = [self.sprites.starts[1] + row] * (1 + targets)
                subjects.append(total + row)
                names.append("")
            else:
                row = self._integer(total)
                drawn = [row * views + view for view in self._draw_views(mix, targets)]
                subjects.append(row)
                names.append(self.subjects[row]["name"])
            references.append(drawn[0])
            others.extend(drawn[1:])
        # hue and mirroring belong to the subject: the same in its reference and all its targets
        owner = torch.cat((torch.arange(count), torch.arange(count).repeat_interleave(targets)))
        still = all(row == references[i // targets] for i, row in enumerate(others))
        if still:  # each is drawn once
            owner = owner[:count]
        both = self._photographic(self.sprites.take(references if still else references + others), owner, mix)
        hue_B = self._uniform(count) * 2 * math.pi * (self._uniform(count) < mix.recolour)
        both = torch.cat((rotate_hue(both[:, :3], hue_B[owner]), both[:, 3:]), dim=1)
        flip_B = (self._uniform(count) < 0.5)[owner]
        both = _mirrored(both, flip_B)
        seen = both.repeat_interleave(targets, 0) if still else both[count:]
        return _Sprites(both[:count], seen, subjects, names)

    def _photographic(self, sprites_B4HW: Tensor, owner_B: Tensor, mix: Mix) -> Tensor:
        """Shares of the subjects with other textures and in another light; owner: subject of each sprite."""
        count = int(owner_B.max()) + 1
        if mix.textured:
            share_B = (0.5 + 0.5 * self._uniform(count)) * (self._uniform(count) < mix.textured)
            crops = Crops.drawn(torch.rand(4, count, generator=self.generator))
            rows = self._draw_textures(count)
            textures_B3HW = self.backgrounds.take([rows[owner] for owner in owner_B.tolist()])
            crops = Crops(*(values_B[owner_B] for values_B in crops))
            sprites_B4HW = textured(sprites_B4HW, textures_B3HW, crops, share_B[owner_B])
        if mix.relit:
            chosen_B = self._uniform(count) < mix.relit
            light = Light.drawn(torch.rand(len(Light._fields), count, generator=self.generator))
            lit_B4HW = relit(sprites_B4HW, Light(*(values_B[owner_B] for values_B in light)))
            sprites_B4HW = torch.where(
                chosen_B[owner_B].to(self.device)[:, None, None, None], lit_B4HW, sprites_B4HW
            )
        return sprites_B4HW

    def _draw_textures(self, count: int) -> list[int]:
        """Rows of `backgrounds`, of photographed scenes only."""
        scenes = [index for index, scene in enumerate(self.scenes) if not scene.drawn]
        chosen = [scenes[self._integer(len(scenes))] for _ in range(count)]
        return [
            self.backgrounds.starts[index] + self._integer(len(self.scenes[index].crops_KHW3))
            for index in chosen
        ]

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
        """Scene index and phrase of each reference, and a background for each of its targets."""
        scenes, crops, flips, phrases = [], [], [], []
        for plain in (self._uniform(count) < mix.plain).tolist():
            index = -1 if plain else self._integer(len(self.scenes))
            scenes.append(index)
            if plain:
                crops += [0] * targets
                flips += [0] * targets
                phrases.append(PLAIN)
                continue
            scene = self.scenes[index]
            chosen = scene.order[: mix.crops or None]
            for _ in range(targets):
                crops.append(self.backgrounds.starts[index] + chosen[self._integer(len(chosen))])
                flips.append(0 if mix.crops else self._integer(2))
            phrases.append(scene.phrases[self._integer(len(scene.phrases))])
        scenes_B = torch.tensor(scenes)
        # contiguous: the mean of a scene's colours is summed in the order of the memory
        backgrounds = _mirrored(
            self.backgrounds.take(crops).contiguous(), torch.tensor(flips, dtype=torch.bool)
        )
        plain_T = (scenes_B < 0).repeat_interleave(targets).to(self.device)
        return scenes_B, backgrounds.masked_fill(plain_T[:, None, None, None], 1), phrases

    def _draw_prompt_words(self, phrases: list[str], mix: Mix) -> PromptWords:
        words = draw_prompt_words(len(phrases), mix.placed, mix.sized, mix.night, self.generator)
        by_day_B = torch.tensor(["night" not in phrase for phrase in phrases])
        return words._replace(night_B=words.night_B & by_day_B)

    def _word(self, name: str, named: float) -> str:
        word = SUBJECT_WORDS[self._integer(len(SUBJECT_WORDS))]
        return f"a {name.lower()}" if name and float(self._uniform(1)) < named else word

    def _reference_shares(self, count: int) -> Tensor:
        """Sizes of the references' sprites, as fractions of their frames, [count]."""
        return 1 - REFERENCE_JITTER * self._uniform(count)

    def _uniform(self, count: int) -> Tensor:
        return torch.rand(count, generator=self.generator)

    def _integer(self, below: int) -> int:
        return int(torch.randint(below, (1,), generator=self.generator))


def draw_placement(
    count: int, mix: Mix, generator: torch.Generator, words: PromptWords | None = None
) -> Placement:
    """Random sizes and positions, [count] each, in the mix's ranges or as the prompt words ask.

    Subjects stand in the lower part of the frame.
    """
    low, high = mix.scale
    uniform_3B = torch.rand(3, count, generator=generator)
    scale_B = low + (high - low) * uniform_3B[0]
    if words is not None:
        scale_B = prompted_scale(words, scale_B, uniform_3B[0])
    room_B = (1 - scale_B) / 2
    x_B = 0.5 + room_B * mix.spread * (2 * uniform_3B[1] - 1)
    if words is not None:
        x_B = prompted_x(words, x_B, scale_B, uniform_3B[1])
    bottom_B = 0.5 + scale_B / 2 + room_B * (0.5 + mix.spread * (uniform_3B[2] - 0.5) * 0.8)
    return Placement(scale_B, x_B, bottom_B.clamp(max=0.98))


def load_scenes(data: Path | str, split: str) -> list[Scene]:
    """The scenes of a split ("train" or "heldout"), in the order of scenes.json.

    Raises as `files.prepared`.
    """
    data = Path(data)
    rows = json.loads(prepared(data / "scenes" / "scenes.json").read_text("utf-8"))
    scenes = []
    for row in rows:
        if row["split"] == split:
            crops_KHW3 = load_array(data / "scenes" / f"{row['name']}.npy")
            typical = [index for index in row.get("typical", ()) if index < len(crops_KHW3)]
            others = [index for index in range(len(crops_KHW3)) if index not in typical]
            scenes.append(
                Scene(
                    row["name"],
                    tuple(row["phrases"]),
                    crops_KHW3,
                    (*typical, *others),
                    row.get("source") == "drawn",
                )
            )
    return scenes


def _mirrored(pictures_BCHW: Tensor, flip_B: Tensor) -> Tensor:
    return torch.where(
        flip_B.to(pictures_BCHW.device)[:, None, None, None], pictures_BCHW.flip(-1), pictures_BCHW
    )
