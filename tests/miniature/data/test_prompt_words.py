"""Words for position, size and night, and what pictures make of them."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from echogen_core.encoders.known_words import known_words
from miniature.data.dataset import SUBJECT_WORDS, Compositor, Mix
from miniature.data.panoramas import SCENES
from miniature.data.prompt_words import NIGHT, PLACES, SIZES, with_size

from ..prepared import SIZE


def test_sizes_go_before_the_noun() -> None:
    found = [with_size(word, "small") for word in (*SUBJECT_WORDS, "a teddy bear")]
    assert found == [
        "the small subject", "the same small subject", "this small object", "a small object",
        "a small teddy bear",
    ]  # fmt: skip


def test_the_subject_stands_where_the_words_say(data: Path) -> None:
    mix = Mix(placed=1.0, sized=0.7, night=0.5, recolour=0.0)
    pairs = Compositor(data, "train", seed=0, icons=False).batch(64, mix, targets=2)
    masks = pairs.subject_masks_B1HW[:, 0]
    columns = (torch.arange(SIZE) + 0.5) / SIZE
    middles = ((masks.sum(1) * columns).sum(1) / masks.sum((1, 2))).view(64, 2)
    sides = (masks > 0.5).any(2).sum(1).view(64, 2) / SIZE  # heights: the test's subjects are tall
    light = (pairs.targets_B3HW.mean((1, 2, 3))).view(64, 2).mean(1)
    for prompt, middle, side in zip(pairs.prompts, middles, sides, strict=True):
        low, high = {"left": (0, 0.39), "middle": (0.42, 0.58), "right": (0.61, 1)}[
            re.search("left|middle|right", prompt)[0]
        ]
        assert low < middle.min() and middle.max() < high, prompt
        assert side.max() < 0.36 if "small" in prompt else side.min() > 0.2, prompt
    night = torch.tensor([prompt.endswith(NIGHT) for prompt in pairs.prompts])
    assert light[night].mean() < 0.6 * light[~night].mean()
    assert {bool(re.search("small|large", prompt)) for prompt in pairs.prompts} == {True, False}


def test_a_settled_subject_is_its_reference_moved_and_scaled(data: Path) -> None:
    mix = Mix(fixed_layout=True, turned=0.0, placed=0.6, sized=0.6)
    pairs = Compositor(data, "train", seed=0, icons=False).batch(48, mix, targets=2)
    references = (pairs.references_B3HW < 0.999).any(1)
    mappings: dict[tuple[str, ...], list[tuple[float, float, float]]] = {}
    for index, prompt in enumerate(pairs.prompts):
        first, second = pairs.subject_masks_B1HW[2 * index : 2 * index + 2, 0]
        assert torch.equal(first, second)
        (top, bottom, left, right), (high, low, west, east) = _box(references[index]), _box(first > 0.02)
        wording = tuple(re.findall("small|large|left|middle|right", prompt))
        scale = (low - high) / (bottom - top)
        across, down = west + east - scale * (left + right), high + low - scale * (top + bottom)
        mappings.setdefault(wording, []).append((scale, across / 2, down / 2))
    assert len(mappings) >= 10
    for wording, same in mappings.items():
        scales, *moves = (max(values) - min(values) for values in zip(*same, strict=True))
        assert scales < 0.08 and max(moves) < 2, wording


def _box(mask_HW: torch.Tensor) -> tuple[int, int, int, int]:
    """First and last row, first and last column that are marked."""
    rows, columns = (mask_HW.any(axis).nonzero()[:, 0].tolist() for axis in (1, 0))
    return rows[0], rows[-1], columns[0], columns[-1]


def test_the_words_that_ship_with_nano_are_those_it_was_trained_on() -> None:
    shipped = known_words("nano")
    assert shipped is not None
    assert shipped.scenes == {scene.name: scene.phrases for scene in SCENES if scene.split == "train"}
    assert (shipped.sizes, shipped.places, shipped.night) == (SIZES, PLACES, NIGHT)
