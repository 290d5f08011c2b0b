"""Pairs that the compositor draws."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from miniature.data.compose import rotate_hue
from miniature.data.dataset import Compositor, ImageTable, Mix

from ..prepared import SIZE, write_prepared

# Drawn by the code that drew for the shipped nano.
GOLDEN_PROMPTS = [
    "a train 0 in a town",
    "the subject in a wood",
    "the subject in a town",
    "this object in a wood",
]


GOLDEN_INDICES = ([1, 0, 1, 0], [0, 1, 0, 0])


GOLDEN_MEANS = {
    "references_B3HW": [0.921985, 0.813377, 0.920363, 0.913754],
    "targets_B3HW": [0.60616, 0.60562, 0.471445, 0.468343, 0.60525, 0.605306, 0.526775, 0.519913],
    "subject_masks_B1HW": [0.214102, 0.171258, 0.123537, 0.140135, 0.123144, 0.11895, 0.168183, 0.124849],
}


def test_pairs_are_reproducible_and_complete(data: Path) -> None:
    first, second = (Compositor(data, "train", seed=3).batch(4, Mix(), targets=2) for _ in range(2))
    assert first.references_B3HW.shape == (4, 3, SIZE, SIZE)
    assert first.targets_B3HW.shape == (8, 3, SIZE, SIZE)
    assert torch.equal(first.targets_B3HW, second.targets_B3HW) and first.prompts == second.prompts
    assert all("wood" in prompt or "town" in prompt for prompt in first.prompts)
    assert float(first.targets_B3HW.min()) >= 0 and float(first.targets_B3HW.max()) <= 1
    assert float(first.references_B3HW[:, :, 0, 0].min()) == 1  # references stand on white


def test_the_drawn_pictures_stay_what_they_were(data: Path) -> None:
    """The shipped model's figures are measured on pictures drawn from a seed: they must not move."""
    pairs = Compositor(data, "train", seed=3).batch(4, Mix(icons=0.0), targets=2)
    assert pairs.prompts == GOLDEN_PROMPTS
    assert (pairs.scenes_B.tolist(), pairs.subjects_B.tolist()) == GOLDEN_INDICES
    for name, expected in GOLDEN_MEANS.items():
        assert getattr(pairs, name).mean((1, 2, 3)).tolist() == pytest.approx(expected, abs=2e-6), name


def test_pictures_are_as_large_as_the_prepared_ones(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "large")
    for name in ("wood", "town"):
        crops = np.load(data / "scenes" / f"{name}.npy").repeat(2, 1).repeat(2, 2)
        np.save(tmp_path / "large" / "scenes" / f"{name}.npy", crops)
    small, large = (Compositor(folder, seed=3).batch(4, Mix()) for folder in (data, tmp_path / "large"))
    assert large.targets_B3HW.shape[-1] == large.references_B3HW.shape[-1] == 2 * SIZE
    assert large.prompts == small.prompts
    halved = torch.nn.functional.avg_pool2d(large.targets_B3HW, 2)
    assert (halved - small.targets_B3HW).abs().mean() < 0.02, "the same pictures, with their shadows"


def test_pictures_are_made_on_the_device(data: Path) -> None:
    """On "meta", which has shapes only; a step that forgets the device would raise."""
    mix = Mix(plain=0.3, placed=0.5, sized=0.5, night=0.5, textured=0.5, relit=0.5)
    there, here = (Compositor(data, seed=5, device=device).batch(4, mix, 2) for device in ("meta", "cpu"))
    for name in ("references_B3HW", "targets_B3HW", "subject_masks_B1HW"):
        assert getattr(there, name).device.type == "meta"
        assert getattr(there, name).shape == getattr(here, name).shape
    assert there.prompts == here.prompts and torch.equal(there.subjects_B, here.subjects_B)


def test_few_backgrounds_of_a_scene_are_drawn_typical_ones_and_never_mirrored(tmp_path: Path) -> None:
    compositor = Compositor(write_prepared(tmp_path, size=32), "train", seed=0, icons=False)
    left_HW3 = np.zeros((32, 32, 3), dtype=np.uint8)
    left_HW3[:, 16:] = 50
    crops = left_HW3 + 100 * np.arange(3, dtype=np.uint8)[:, None, None, None]
    compositor.backgrounds = ImageTable([crops, crops], torch.device("cpu"))
    every, mirrored_too = {0, 100, 200}, {0, 50, 100, 150, 200, 250}
    for known, wood, town in ((0, mirrored_too, mirrored_too), (2, {0, 100}, {200, 0}), (9, every, every)):
        pairs = compositor.batch(128, Mix(crops=known))
        corners = (pairs.targets_B3HW[:, 0, 0, 0] * 255).round().int()
        for scene, expected in enumerate((wood, town)):
            assert set(corners[pairs.scenes_B == scene].tolist()) == expected


def test_only_the_given_share_of_pairs_turns(data: Path) -> None:
    compositor = Compositor(data, "train", seed=0, icons=False)
    views = np.zeros((2, 24, 96, 96, 4), dtype=np.uint8)
    views[..., 3] = 255
    views[..., :3] = 10 * np.arange(24)[:, None, None, None]  # the grey of a picture tells its view
    compositor.sprites = ImageTable([views], torch.device("cpu"))
    still = Mix(turned=0.0, recolour=0.0, plain=1.0)
    for mix, same in ((still, True), (replace(still, turned=1.0), False)):
        pairs = compositor.batch(8, mix, targets=2)
        reference = (pairs.references_B3HW[:, 0, 32, 32] * 25.5).round()
        target = (pairs.targets_B3HW[:, 0, 40, 32] * 25.5).round().view(8, 2)
        assert torch.equal(target, reference[:, None].expand(8, 2)) == same


def test_missing_data_name_the_command(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="miniature prepare"):
        Compositor(tmp_path)


def test_hue_rotation_keeps_grey_and_comes_back() -> None:
    grey, colour = torch.full((1, 3, 2, 2), 0.5), torch.tensor([0.6, 0.4, 0.5]).view(1, 3, 1, 1)
    assert torch.allclose(rotate_hue(grey, torch.tensor([1.0])), grey, atol=1e-3)
    turned = rotate_hue(colour, torch.tensor([2.0]))
    assert not torch.allclose(turned, colour, atol=0.02)
    assert torch.allclose(rotate_hue(turned, torch.tensor([-2.0])), colour, atol=1e-3)
