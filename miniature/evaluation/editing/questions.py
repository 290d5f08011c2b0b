"""What is asked of editing: fixed subjects, grounds, masks, prompts and seeds.

Shapes: S subjects, N pictures, H and W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ...data.compose import MaskedImages, Placement, compose_masked
from ...data.dataset import Compositor, Mix, Scene, draw_placement, load_scenes
from ...data.prompt_words import LEFT, RIGHT, PromptWords, fixed_layout
from ..protocol import OTHER_VIEW, Task, draw_crops, make_task

WHITE = 1.0
EXAMPLE_SUBJECTS = 47
"""Training subjects that the scene classifier sees: a prime, so that they meet the scenes in turn."""


@dataclass(frozen=True)
class Insertion:
    """A subject that is to come into the right half of a photograph.

    task: prompts without a place; its scenes are what REDRAW draws. grounds_N3HW: crops of panoramas that no
    training saw. ground_scenes_N: which of them, numbered after the trained scenes. real: the subjects, seen
    from the next side, composed into the right half of the grounds.
    """

    task: Task
    grounds_N3HW: Tensor
    ground_scenes_N: Tensor
    real: MaskedImages

    @property
    def mask_1HW(self) -> Tensor:
        """1 on the right half."""
        return half_mask(RIGHT, self.grounds_N3HW.shape[-1])[None]


def build_insertion(data: Path, subjects: int, seed: int) -> Insertion:
    """Each of the first `subjects` held-out subjects in every held-out panorama, one after the other.

    Raises ValueError where the data have none.
    """
    held = Compositor(data, "heldout", seed=seed, icons=False)
    grounds = load_scenes(data, "heldout")
    if not grounds:
        raise ValueError(
            f"Expected scenes that no training saw in {data}, found none: prepare another folder with "
            "`python -m miniature prepare`."
        )
    count = min(subjects, len(held.views_NVHW4))
    subjects_N = torch.arange(count).repeat(len(grounds))
    grounds_N = torch.arange(len(grounds)).repeat_interleave(count)
    rng = torch.Generator().manual_seed(seed)
    task = make_task(held, subjects_N, torch.arange(len(subjects_N)) % len(held.scenes), seed)
    grounds_N3HW = draw_crops([grounds[number] for number in grounds_N.tolist()], rng)
    return Insertion(
        task,
        grounds_N3HW,
        len(held.scenes) + grounds_N,
        in_half(task.sprites(OTHER_VIEW), grounds_N3HW, RIGHT, seed),
    )


def chosen(task: Task, rows: list[int]) -> Task:
    """Some of the questions; the gallery stays whole."""
    return replace(
        task,
        subjects_N=task.subjects_N[rows],
        scenes_N=task.scenes_N[rows],
        prompts=[task.prompts[row] for row in rows],
        seeds=[task.seeds[row] for row in rows],
        placement=Placement(*(values_N[rows] for values_N in task.placement)),
        crops_N3HW=task.crops_N3HW[rows],
    )


def half_mask(place: int, side: int) -> Tensor:
    """[side, side]: 1 on the half at a place, LEFT or RIGHT."""
    mask_HW = torch.zeros(side, side)
    mask_HW[:, _columns(place, side)] = 1
    return mask_HW


def half(images_N3HW: Tensor, place: int) -> Tensor:
    """One half of pictures, in the middle of a white square: what the judge sees of it."""
    side = images_N3HW.shape[-1]
    return F.pad(images_N3HW[..., _columns(place, side)], (side // 4, side // 4), value=WHITE)


def standing(images_N3HW: Tensor, place: int) -> Tensor:
    """The square of pictures in which nano draws a subject that a prompt puts on the left or right."""
    words = PromptWords.none(1)._replace(places_B=torch.tensor([place]))
    left, top, side = (round(float(x_1) * images_N3HW.shape[-1]) for x_1 in fixed_layout(words))
    return images_N3HW[..., top : top + side, left : left + side]


def in_half(sprites_N4HW: Tensor, grounds_N3HW: Tensor, place: int, seed: int) -> MaskedImages:
    """Subjects composed into one half of grounds, as training composes those that a prompt places there."""
    count = len(sprites_N4HW)
    words = PromptWords.none(count)._replace(places_B=torch.full((count,), place))
    placement = draw_placement(count, Mix(), torch.Generator().manual_seed(seed), words)
    return compose_masked(sprites_N4HW, grounds_N3HW, placement)


def half_examples(data: Path, per_scene: int, seed: int) -> tuple[Tensor, Tensor]:
    """Right halves of real pictures of every scene, [M, 3, H, W], and the scenes, [M], held-out ones last.

    With training subjects. The scene classifier learns from these alone.
    """
    train = Compositor(data, "train", seed=seed, icons=False)
    scenes: list[Scene] = [*train.scenes, *load_scenes(data, "heldout")]
    labels_M = torch.arange(len(scenes)).repeat_interleave(per_scene)
    subjects_M = torch.arange(len(labels_M)) % min(EXAMPLE_SUBJECTS, len(train.views_NVHW4))
    task = make_task(train, subjects_M, labels_M % len(train.scenes), seed)
    grounds_M3HW = draw_crops(
        [scenes[label] for label in labels_M.tolist()], torch.Generator().manual_seed(seed)
    )
    images_M3HW = in_half(task.sprites(OTHER_VIEW), grounds_M3HW, RIGHT, seed).images_B3HW
    return half(images_M3HW, RIGHT), labels_M


def _columns(place: int, side: int) -> slice:
    if place not in (LEFT, RIGHT):
        raise ValueError(f"Expected the left or the right half, got place {place}.")
    return slice(0, side // 2) if place == LEFT else slice(side // 2, side)
