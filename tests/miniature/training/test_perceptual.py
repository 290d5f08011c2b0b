"""The perceptual loss."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from miniature.training.perceptual import Perceptual

from .two_colours import TwoColours


def test_the_perceptual_distance_is_zero_for_the_same_and_has_a_gradient() -> None:
    torch.manual_seed(0)
    layers = nn.ModuleList((nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1), nn.Conv2d(8, 8, 1)))
    stem, *blocks = layers.requires_grad_(False)
    looks = Perceptual(stem, blocks, (0,))
    pictures = TwoColours(0).draw(4).images_B3HW
    assert float(looks.distance(pictures, pictures)) == 0
    leaf = pictures.clone().requires_grad_()
    distance = looks.distance(leaf, pictures.flip(2))
    assert 0 < float(distance.detach()) < 4
    (gradient,) = torch.autograd.grad(distance, [leaf])
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize(("side", "seen"), [(8, 128), (64, 128), (128, 128), (192, 192)])
def test_small_pictures_are_enlarged_for_the_perceptual_distance(side: int, seen: int) -> None:
    stem = nn.Conv2d(3, 4, 3)
    shapes = []
    stem.register_forward_pre_hook(lambda _, inputs: shapes.append(inputs[0].shape[-2:]))
    Perceptual(stem, [nn.Conv2d(4, 4, 1)], (0,)).distance(*torch.rand(2, 1, 3, side, side))
    assert shapes == [(seen, seen)] * 2
