"""Is the subject where the words say? Answered without a learned judge, by statistics of pixels.

Where in the picture does the reference explain what the scene does not? The scene is known by its mean
picture and the deviation from it, the subject by its cut-out. At every place and size the pixels are likelier
as the one or the other; where the subject wins most, there it stands.
Shapes: N pictures, S subjects, K scenes, G side of the small pictures compared, k side of a template.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.colour import premultiplied
from ..data.dataset import Compositor, Mix, draw_placement
from ..data.prompt_words import PLACES, PromptWords
from . import metrics
from .generation import Miniature
from .metrics import Measure
from .protocol import REFERENCE_VIEW, WORD, Task, make_task

SIDE = 32
"""G: larger pictures are averaged to it."""

SCALES = (0.36, 0.5, 0.65, 0.8, 0.95)
"""Sizes of the subject that are tried, as shares of the frame."""

BORDERS = (0.42, 0.58)
"""Between left and middle, and middle and right: a subject stands below 0.36, near 0.5 or above 0.64."""

_SUBJECT_DEVIATION = 0.12  # of a colour from the reference's: light, blur
_SCENE_DEVIATION = 0.06  # at least, of a colour from its scene's mean
_CROPS = 100

REAL = "real, the reference's own view"
TOKENIZER = "real, through the tokenizer"
NANO = "nano, semantic + content (preset)"


@dataclass(frozen=True)
class PlaceRow:
    """Whether each picture's subject is where its words say, and at which word it was asked for."""

    name: str
    subjects_N: Tensor
    places_N: Tensor
    right_N: Tensor

    @property
    def right(self) -> Measure:
        """Share of pictures with the subject in the named place."""
        return metrics.over_subjects(self.right_N, self.subjects_N)

    def by_place(self) -> list[float]:
        """The same for each of prompt_words.PLACES."""
        return [float(self.right_N[self.places_N == place].mean()) for place in range(len(PLACES))]


@dataclass(frozen=True)
class PlaceTask:
    """A task whose prompts say where the subject stands; places_N: indices into prompt_words.PLACES."""

    task: Task
    places_N: Tensor
    locator: Locator

    def row(self, name: str, images_N3HW: Tensor) -> PlaceRow:
        """Whether the subjects of pictures [N, 3, H, W] stand where their prompts say."""
        task = self.task
        middles_N = self.locator.middles(images_N3HW, task.sprites(REFERENCE_VIEW), task.scenes_N)
        found_N = torch.bucketize(middles_N, torch.tensor(BORDERS))
        return PlaceRow(name, task.subjects_N, self.places_N, (found_N == self.places_N).float())


class Locator:
    """Knows the scenes; finds cut-outs in pictures of them."""

    def __init__(self, held: Compositor) -> None:
        means, deviations = [], []
        for scene in held.scenes:
            crops_KHW3 = torch.from_numpy(np.array(scene.crops_KHW3[:_CROPS]))
            small = F.adaptive_avg_pool2d(crops_KHW3.permute(0, 3, 1, 2).float() / 255, SIDE)
            both = torch.cat((small, small.flip(-1)))
            means.append(both.mean(0))
            deviations.append((both.var(0) + _SCENE_DEVIATION**2).sqrt())
        self._means_K3GG, self._deviations_K3GG = torch.stack(means), torch.stack(deviations)

    def middles(self, images_N3HW: Tensor, sprites_N4HW: Tensor, scenes_N: Tensor) -> Tensor:
        """Where the subject's middle is from left to right, 0..1, [N]."""
        images_N3GG = F.adaptive_avg_pool2d(images_N3HW, SIDE)
        premultiplied_N4HW = premultiplied(sprites_N4HW)
        deviations_N3GG = self._deviations_K3GG[scenes_N]
        away_N3GG = (images_N3GG - self._means_K3GG[scenes_N]) / deviations_N3GG
        unlike_N1GG = (away_N3GG.square() / 2 + deviations_N3GG.log()).sum(1, keepdim=True)
        best_N = torch.full((len(images_N3GG),), -math.inf)
        middles_N = torch.full_like(best_N, 0.5)
        for scale in SCALES:
            side = round(scale * SIDE)
            template_N4kk = F.adaptive_avg_pool2d(premultiplied_N4HW, side)
            evidence_Nyx = _evidence(images_N3GG, unlike_N1GG, template_N4kk)
            highest_N, index_N = evidence_Nyx.flatten(1).max(1)
            # templates may reach beyond the frame by an eighth
            x_N = (index_N % evidence_Nyx.shape[-1] - side // 8 + side / 2) / SIDE
            middles_N = torch.where(highest_N > best_N, x_N, middles_N)
            best_N = torch.maximum(highest_N, best_N)
        return middles_N


def _evidence(images_N3GG: Tensor, unlike_N1GG: Tensor, template_N4kk: Tensor) -> Tensor:
    """Log-likelihood of the subject over that of the scene at every place, [N, y, x].

    unlike: negative log-likelihood of each pixel as scene. template: premultiplied colours and alpha.
    """
    colour_N3kk, alpha_N1kk = template_N4kk[:, :3], template_N4kk[:, 3:]
    inside_N1GG = torch.ones_like(unlike_N1GG)
    squared_N1kk = (colour_N3kk.square() / alpha_N1kk.clamp_min(1e-4)).sum(1, keepdim=True)
    squared_Nyx = (
        _correlated(images_N3GG.square().sum(1, keepdim=True), alpha_N1kk)
        - 2 * _correlated(images_N3GG, colour_N3kk)
        + _correlated(inside_N1GG, squared_N1kk)
    )
    covered_Nyx = _correlated(inside_N1GG, alpha_N1kk)
    as_subject_Nyx = (
        squared_Nyx / (2 * _SUBJECT_DEVIATION**2) + 3 * math.log(_SUBJECT_DEVIATION) * covered_Nyx
    )
    return _correlated(unlike_N1GG, alpha_N1kk) - as_subject_Nyx


def _correlated(pictures_NCGG: Tensor, templates_NCkk: Tensor) -> Tensor:
    """Each picture with its own template at every place, an eighth beyond the frame, summed over colours."""
    count, colours, side, _ = templates_NCkk.shape
    padded = F.pad(pictures_NCGG, (side // 8,) * 4).flatten(0, 1)[None]
    found = F.conv2d(padded, templates_NCkk.flatten(0, 1)[:, None], groups=count * colours)
    return found[0].unflatten(0, (count, colours)).sum(1)


def build_place_task(data: Path, subjects: int, seed: int) -> PlaceTask:
    """Each of the first `subjects` held-out subjects asked for at every place of one scene, with one seed."""
    held = Compositor(data, "heldout", seed=seed, icons=False)
    count = min(subjects, len(held.views_NVHW4))
    subjects_N = torch.arange(count).repeat_interleave(len(PLACES))
    task = make_task(held, subjects_N, subjects_N % len(held.scenes), seed)
    places_N = torch.arange(len(PLACES)).repeat(count)
    words = PromptWords(places_N, torch.full_like(places_N, -1), torch.zeros_like(places_N, dtype=torch.bool))
    phrases = [prompt.removeprefix(f"{WORD} ") for prompt in task.prompts]
    rng = torch.Generator().manual_seed(seed)
    worded = replace(
        task,
        prompts=[words.prompt(index, WORD, phrase) for index, phrase in enumerate(phrases)],
        seeds=[seed + int(subject) for subject in subjects_N],
        placement=draw_placement(len(places_N), Mix(), rng, words),
    )
    return PlaceTask(worded, places_N, Locator(held))


def place_rows(places: PlaceTask, miniature: Miniature | None) -> list[PlaceRow]:
    """Real pictures, which are the ceiling, and what the miniature makes of the same words."""
    real_N3HW = places.task.real(REFERENCE_VIEW)
    rows = [places.row(REAL, real_N3HW)]
    if miniature is not None:
        rows.append(places.row(TOKENIZER, miniature.through_tokenizer(real_N3HW)))
        rows.append(places.row(NANO, miniature.generate(places.task, miniature.preset)))
    return rows
