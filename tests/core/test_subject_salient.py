"""The built-in cut: the network against its ONNX file, and what comes of pictures good and bad."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from echogen_core.checkpoints.subject import U2NETP, load_salient
from echogen_core.subject.salient import SalientSubject
from echogen_core.subject.u2net import U2Netp

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "u2netp_onnx.safetensors"
GRID = 4
"""Every fourth output pixel is kept."""


def golden_pictures() -> dict[str, torch.Tensor]:
    """Inputs [1, 3, 320, 320] of the network: a disc on a slope of grey, and noise."""
    axis = torch.linspace(-1, 1, 320)
    slope_HW = (axis[None, :] + axis[:, None]) / 2
    disc_HW = ((axis[None, :] - 0.2) ** 2 + (axis[:, None] + 0.1) ** 2 < 0.25).float()
    disc_13HW = torch.stack([slope_HW + 2 * disc_HW, slope_HW, slope_HW - 2 * disc_HW])[None]
    return {
        "disc": disc_13HW,
        "noise": torch.randn(1, 3, 320, 320, generator=torch.Generator().manual_seed(0)),
    }


@pytest.fixture(scope="module")
def net() -> SalientSubject:
    return load_salient()


def ball(height: int, width: int, x: float, y: float, radius: float) -> tuple[torch.Tensor, torch.Tensor]:
    """[1, 3, H, W] picture of a red ball on a grey slope, and its truth [H, W]."""
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None, :]
    truth_HW = (columns - x) ** 2 + (rows - y) ** 2 < radius**2
    image_13HW = (0.55 + 0.2 * rows / height).expand(height, width).repeat(1, 3, 1, 1)
    red_311 = torch.tensor([0.75, 0.1, 0.1]).view(3, 1, 1)
    return torch.where(truth_HW, red_311, image_13HW), truth_HW


def iou(mask_HW: torch.Tensor, truth_HW: torch.Tensor) -> float:
    marked_HW = mask_HW >= 0.5
    return float((marked_HW & truth_HW).sum() / (marked_HW | truth_HW).sum())


def test_outputs_are_those_of_the_onnx_file(net: SalientSubject) -> None:
    golden = load_file(GOLDEN)
    assert float(golden["disc"].max()) > 0.9 and float(golden["disc"].min()) < 0.1
    for name, picture_13HW in golden_pictures().items():
        ours_HW = net.net(picture_13HW).sigmoid()[0, 0, ::GRID, ::GRID]
        assert torch.allclose(ours_HW, golden[name], atol=1e-4), name


def test_the_packaged_file_is_small_and_complete() -> None:
    assert U2NETP.stat().st_size < 4.7e6
    assert sum(parameter.numel() for parameter in U2Netp().parameters()) == 1_125_485
    assert (U2NETP.parent / "LICENSE").is_file() and (U2NETP.parent / "README.md").is_file()
