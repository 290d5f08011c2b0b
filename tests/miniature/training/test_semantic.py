"""Training of the semantic encoder: its pairs, its losses, and that a run can be interrupted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from echogen_core.checkpoints import load_part
from miniature.data.render import AZIMUTHS_DEG, ELEVATIONS_DEG, VIEW_COUNT
from miniature.training.semantic import (
    AZIMUTHS,
    SemanticRecipe,
    Views,
    augment,
    cutouts_on_white,
    info_nce,
    main,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Coloured discs: six subjects to train on, four held out, five icons."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:96, :96] - 47.5
    for name, count, views in (
        ("subjects/train_views", 6, VIEW_COUNT),
        ("subjects/heldout_views", 4, VIEW_COUNT),
        ("icons/train_views", 5, 1),
    ):
        views_NVHW4 = np.zeros((count, views, 96, 96, 4), np.uint8)
        for row in range(count):
            views_NVHW4[row, :, np.hypot(x, y) < 20 + 4 * row] = [*rng.integers(0, 255, 3), 255]
        (folder / name).parent.mkdir(exist_ok=True)
        np.save(folder / f"{name}.npy", views_NVHW4)
    return folder


def test_pairs_show_one_subject_from_near_or_far(data: Path) -> None:
    recipe, rng = SemanticRecipe(pairs=10, icon_share=0.3), np.random.default_rng(1)
    pair_2BHW4 = Views(data).draw(recipe, rng)
    assert pair_2BHW4.shape == (2, 10, 96, 96, 4)
    centre_2B4 = pair_2BHW4[:, :, 48, 48]
    assert np.array_equal(centre_2B4[0], centre_2B4[1])
    assert len(AZIMUTHS_DEG) == AZIMUTHS and len(ELEVATIONS_DEG) * AZIMUTHS == VIEW_COUNT


def test_augmentation_keeps_the_ground_white_and_the_hue_of_a_pair(data: Path) -> None:
    recipe, rng = SemanticRecipe(pairs=8, icon_share=0), np.random.default_rng(2)
    pictures = augment(Views(data).draw(recipe, rng), 64, rng)
    assert pictures.images_B3HW.shape == (16, 3, 64, 64)
    outside = pictures.alpha_B1HW.expand(-1, 3, -1, -1) == 0
    assert (pictures.images_B3HW[outside] == 1).all()
    assert pictures.images_B3HW.min() >= 0 and pictures.images_B3HW.max() <= 1
    first_B3, second_B3 = pictures.images_B3HW[:, :, 32, 32].chunk(2)
    # The light differs within a pair, the hue does not.
    assert (first_B3 - second_B3).abs().max() < 0.2


@pytest.mark.parametrize("moved", [None, torch.eye(2, 3)[None]])
def test_on_white_averages_when_it_shrinks(moved: torch.Tensor | None) -> None:
    rgba_BHW4 = np.zeros((1, 96, 96, 4), np.uint8)
    rgba_BHW4[:, ::2] = [0, 0, 0, 255]
    pictures = cutouts_on_white(rgba_BHW4, 32, moved)
    assert (pictures.images_B3HW[..., 2:-2, :] - 0.5).abs().max() < 0.1


def test_info_nce_wants_partners_alike_and_others_apart() -> None:
    eye_BC = torch.eye(4).repeat(2, 1)
    assert info_nce(eye_BC, 0.1) < 0.01
    assert info_nce(torch.ones(8, 4), 0.1) == pytest.approx(np.log(4), abs=1e-4)
    assert info_nce(torch.cat((torch.eye(4), torch.eye(4).flip(0))), 0.1) > 5


def test_a_run_goes_on_where_it_stopped_and_exports(data: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(data), "--out", str(tmp_path), "--pairs", "4"]
    assert main([*arguments, "--minutes", "0.005"]) == 0
    first = json.loads((tmp_path / "DONE").read_text())
    assert main([*arguments, "--minutes", "0.02"]) == 0
    second = json.loads((tmp_path / "DONE").read_text())
    assert second["steps"] > first["steps"] >= 1 and second["minutes"] > 0
    assert 0 <= second["cls_near"] <= 1 and second["mean_colour_far"] == 1
    steps = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert steps == sorted(steps) and steps[-1] == second["steps"]
    features = load_part(tmp_path / "semantic.safetensors", "semantic").encode(torch.rand(1, 3, 80, 64))
    assert features.patches_VPC.shape == (1, 64, 192) and torch.isfinite(features.cls_VC).all()


def test_a_deadline_ends_a_run_whatever_it_has_trained(data: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(data), "--out", str(tmp_path), "--pairs", "4"]
    for _ in range(2):
        assert main([*arguments, "--within", "0.0001"]) == 0, "a step at least, its schedule complete"
    done = json.loads((tmp_path / "DONE").read_text())
    assert done["steps"] == 2 and done["minutes"] > 0
    with pytest.raises(SystemExit):
        main([*arguments, "--within", "1", "--minutes", "1"])
