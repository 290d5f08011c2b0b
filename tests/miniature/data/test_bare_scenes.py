"""Bare scenes: the pairs of a Compositor, with nothing but the scene in their targets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from miniature.data.bare_scenes import BareScenes
from miniature.data.compose import at_night
from miniature.data.dataset import Compositor
from miniature.training.transformer_recipe import NANO_MIX


def test_all_but_the_targets_is_as_with_subjects(data: Path) -> None:
    bare, whole = (kind(data, seed=3).batch(8, NANO_MIX, 2) for kind in (BareScenes, Compositor))
    assert bare.prompts == whole.prompts and torch.equal(bare.references_B3HW, whole.references_B3HW)
    assert torch.equal(bare.scenes_B, whole.scenes_B) and whole.subject_masks_B1HW.any()
    assert not bare.subject_masks_B1HW.any()
    outside_N1HW = (whole.subject_masks_B1HW == 0).expand_as(whole.targets_B3HW)
    near = (bare.targets_B3HW - whole.targets_B3HW).abs() < 1e-6
    assert 0.5 < float(near[outside_N1HW].float().mean()) < 1, "all but the shadows is the same"


def test_targets_are_the_scenes_themselves_dark_at_night(data: Path) -> None:
    drawn = BareScenes(data, seed=3)
    by_day = drawn.batch(8, replace(NANO_MIX, night=0.0))
    drawn.generator.manual_seed(3)
    by_night = drawn.batch(8, replace(NANO_MIX, night=1.0))
    for scene, target_3HW in zip(by_day.scenes_B.tolist(), by_day.targets_B3HW, strict=True):
        crops = torch.from_numpy(np.array(drawn.scenes[scene].crops_KHW3)).permute(0, 3, 1, 2) / 255
        assert any(torch.allclose(target_3HW, crop, atol=1e-6) for crop in crops)
    everywhere_B = torch.ones(8, dtype=torch.bool)
    assert torch.equal(by_night.targets_B3HW, at_night(by_day.targets_B3HW, everywhere_B))
