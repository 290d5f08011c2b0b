"""What is asked, and what the scene classifier learns from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from miniature.data.dataset import Compositor
from miniature.evaluation import (
    protocol,
)


def test_the_task_is_fixed_and_goes_round_the_scenes(data: Path) -> None:
    task, again = (protocol.build_task(data, 60, 2, seed=5) for _ in range(2))
    assert task.names == ["heldout 0", "heldout 1", "heldout 2"]
    assert task.subjects_N.tolist() == [0, 0, 1, 1, 2, 2]
    assert task.scenes_N.tolist() == [0, 1, 2, 3, 0, 1]
    assert task.prompts[0] == "the subject in scene 0 said a"
    assert task.prompts[4] == "the subject in scene 0 said b"
    assert task.seeds == [5, 6, 7, 8, 9, 10]
    torch.testing.assert_close(task.real(2), again.real(2), rtol=0, atol=0)
    assert task.references_S3HW.shape == (3, 3, 128, 128)
    assert float(task.references_S3HW[:, :, 0, 0].min()) == 1.0
    other = protocol.build_task(data, 60, 2, seed=6)
    assert (task.placement.scale_B != other.placement.scale_B).any()


def test_the_scene_classifier_sees_training_subjects_only(data: Path) -> None:
    held = Compositor(data, "heldout", icons=False).views_NVHW4
    trained = Compositor(data, "train", icons=False).views_NVHW4
    images_M3HW, labels_M = protocol.scene_examples(data, 3, seed=1)
    assert torch.bincount(labels_M).tolist() == [3, 3, 3, 3]
    # against black the subject is the brightest; compositing dims it there, evenly
    found_K3 = images_M3HW[labels_M == 0].amax((2, 3))
    found_K3 = found_K3 / found_K3.norm(dim=1, keepdim=True)

    def nearest(views_NVHW4: np.ndarray) -> torch.Tensor:
        colours_N3 = torch.from_numpy(views_NVHW4[:, 0, 50, 50, :3].astype(np.float32))
        return torch.cdist(found_K3, colours_N3 / colours_N3.norm(dim=1, keepdim=True)).amin(1)

    assert float(nearest(trained).max()) < 0.02
    assert float(nearest(held).min()) > 0.02


def test_half_resolution_keeps_means() -> None:
    images_N3HW = torch.rand(2, 3, 8, 8)
    soft_N3HW = protocol.half_resolution(images_N3HW)
    assert soft_N3HW.shape == images_N3HW.shape
    torch.testing.assert_close(soft_N3HW.mean(), images_N3HW.mean(), atol=0.02, rtol=0)
    assert float(soft_N3HW.std()) < float(images_N3HW.std())
