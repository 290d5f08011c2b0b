"""What is asked of the miniature: fixed subjects, prompts, places and seeds, and real pictures of the same.

Shapes: S subjects, N pictures (subject-major: N = S * prompts), H and W pixels; sprites are RGBA.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..data.compose import Placement, compose, on_white
from ..data.dataset import AZIMUTHS, Compositor, Mix, Scene, draw_placement

REFERENCE_VIEW = 1  # 30 degrees from the front, seen from a little above
OTHER_VIEW = 2  # the real pictures show the next view, a small turn as in training
FAR_VIEW = 4  # a quarter turn from the reference
REFERENCE_SCALE = 0.94  # the middle of training's references
WORD = "the subject"  # prompts never say what the subject is: only the reference can tell

Array = NDArray[Any]


@dataclass(frozen=True)
class Task:
    """All pictures of one run. Rows of N tensors belong together.

    references_S3HW: the gallery and the models' input. names: of the subjects.
    subjects_N, scenes_N: indices; prompts: texts; seeds: of the sampler.
    placement: where real pictures and baselines put the subject; crops_N3HW: their backgrounds.
    """

    references_S3HW: Tensor
    sprites_SVHW4: Array
    names: list[str]
    subjects_N: Tensor
    scenes_N: Tensor
    scene_names: list[str]
    prompts: list[str]
    seeds: list[int]
    placement: Placement
    crops_N3HW: Tensor

    def sprites(self, view: int) -> Tensor:
        """The subjects of all pictures seen from one side, [N, 4, H, W]."""
        views_S4HW = as_tensor(self.sprites_SVHW4[:, view])
        return views_S4HW[self.subjects_N]

    def real(self, view: int) -> Tensor:
        """Real pictures: the subject from `view` in the named scene, [N, 3, H, W]."""
        return self.placed(self.sprites(view))

    def placed(self, sprites_N4HW: Tensor) -> Tensor:
        """Sprites at the fixed places in the fixed backgrounds, composed as training composes."""
        return compose(sprites_N4HW, self.crops_N3HW, self.placement)


def build_task(data: Path, subjects: int, prompts: int, seed: int) -> Task:
    """The fixed questions: `prompts` scenes for each of the first `subjects` held-out subjects.

    Scenes go round the closed list, so that each is asked for equally often; phrases alternate.
    """
    held = Compositor(data, "heldout", seed=seed, icons=False)
    subjects_N = torch.arange(min(subjects, len(held.views_NVHW4))).repeat_interleave(prompts)
    scenes_N = torch.arange(len(subjects_N)) % len(held.scenes)
    return make_task(held, subjects_N, scenes_N, seed)


def make_task(held: Compositor, subjects_N: Tensor, scenes_N: Tensor, seed: int) -> Task:
    """Questions about the given subjects in the given scenes; `subjects_N` counts from 0 without gaps."""
    views = np.asarray(held.views_NVHW4[: int(subjects_N.max()) + 1])
    rng = torch.Generator().manual_seed(seed)
    asked = [held.scenes[index] for index in scenes_N.tolist()]
    # every time round the list of scenes the next phrase, so that all are heard
    phrases = [s.phrases[(n // len(held.scenes)) % len(s.phrases)] for n, s in enumerate(asked)]
    return Task(
        references_S3HW=references(as_tensor(views[:, REFERENCE_VIEW]), held.size),
        sprites_SVHW4=views,
        names=[row["name"] for row in held.subjects[: len(views)]],
        subjects_N=subjects_N,
        scenes_N=scenes_N,
        scene_names=[scene.name for scene in held.scenes],
        prompts=[f"{WORD} {phrase}" for phrase in phrases],
        seeds=[seed + number for number in range(len(asked))],
        placement=draw_placement(len(asked), Mix(), rng),
        crops_N3HW=draw_crops(asked, rng),
    )


def draw_crops(scenes: list[Scene], rng: torch.Generator) -> Tensor:
    """One background for each scene of the list, [N, 3, H, W]."""
    crops = []
    for scene in scenes:
        row = int(torch.randint(len(scene.crops_KHW3), (1,), generator=rng))
        crops.append(torch.from_numpy(np.array(scene.crops_KHW3[row])).permute(2, 0, 1).float() / 255)
    return torch.stack(crops)


def references(sprites_S4HW: Tensor, size: int) -> Tensor:
    """Subjects on white, in the middle, as training's references are, [S, 3, size, size]."""
    count = len(sprites_S4HW)
    scale_S, middle_S = torch.full((count,), REFERENCE_SCALE), torch.full((count,), 0.5)
    return on_white(sprites_S4HW, Placement(scale_S, middle_S, middle_S + scale_S / 2), size)


def scene_examples(data: Path, per_scene: int, seed: int) -> tuple[Tensor, Tensor]:
    """Real pictures of every trained scene with training subjects, [M, 3, H, W], and their scenes [M].

    The scene classifier learns from these alone: neither the held-out subjects nor the task's places occur.
    """
    compositor = Compositor(data, "train", seed=seed, icons=False)
    rng = torch.Generator().manual_seed(seed)
    labels_M = torch.arange(len(compositor.scenes)).repeat_interleave(per_scene)
    rows = torch.randint(len(compositor.views_NVHW4), (len(labels_M),), generator=rng).tolist()
    views = torch.randint(2 * AZIMUTHS, (len(labels_M),), generator=rng).tolist()
    views = [view % compositor.views_NVHW4.shape[1] for view in views]
    sprites = np.stack([compositor.views_NVHW4[row, view] for row, view in zip(rows, views, strict=True)])
    crops_M3HW = draw_crops([compositor.scenes[label] for label in labels_M.tolist()], rng)
    placement = draw_placement(len(labels_M), Mix(), rng)
    return compose(as_tensor(sprites), crops_M3HW, placement), labels_M


def half_resolution(images_N3HW: Tensor) -> Tensor:
    """Pictures at half their resolution, enlarged again."""
    small_N3HW = F.avg_pool2d(images_N3HW, 2)
    return F.interpolate(small_N3HW, scale_factor=2, mode="bilinear", align_corners=False)


def as_tensor(sprites_NHW4: Array) -> Tensor:
    """uint8 [N, H, W, 4] to [N, 4, H, W] in 0..1."""
    return torch.from_numpy(np.array(sprites_NHW4)).permute(0, 3, 1, 2).float() / 255
