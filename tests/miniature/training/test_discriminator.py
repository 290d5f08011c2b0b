"""The decoder's adversary: it learns to tell pictures apart, and its loss says how well."""

from __future__ import annotations

import pytest
import torch

from miniature.training.discriminator import Discriminator, discriminator_loss, generator_loss


def test_the_loss_is_two_where_nothing_is_told_apart_and_none_beyond_the_margin() -> None:
    same = [torch.zeros(2, 1, 3, 3), torch.zeros(2, 1, 5, 5)]
    assert float(discriminator_loss(same, same)) == 2
    real, made = [each + 2 for each in same], [each - 1.5 for each in same]
    assert float(discriminator_loss(real, made)) == 0
    assert float(generator_loss(made)) == 1.5 and float(generator_loss(real)) == -2


@pytest.mark.parametrize("by", ["pixels", "features"])
def test_it_learns_to_tell_blurred_pictures_by_either(by: str) -> None:
    torch.manual_seed(0)
    sharp = torch.rand(4, 3, 32, 32)
    blurred = torch.nn.functional.avg_pool2d(sharp, 5, 1, 2)
    features = [torch.nn.functional.normalize(torch.randn(4, 6, 8, 8), dim=1) for _ in range(2)]
    if by == "pixels":
        features[1] = features[0]
    else:
        blurred = sharp
    adversary = Discriminator([6])
    optimizer = torch.optim.AdamW(adversary.parameters(), 4e-3, betas=(0.5, 0.99))
    losses = []
    for _ in range(40):
        loss = discriminator_loss(adversary(sharp, features[:1]), adversary(blurred, features[1:]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.2, "2 is the loss of telling nothing apart"


def test_there_is_a_map_for_pixels_and_for_each_feature() -> None:
    maps = Discriminator([6, 9])(torch.rand(2, 3, 32, 32), [torch.rand(2, 6, 8, 8), torch.rand(2, 9, 4, 4)])
    assert [tuple(each.shape[:2]) for each in maps] == [(2, 1)] * 3
    assert [tuple(each.shape[-2:]) for each in maps[1:]] == [(8, 8), (4, 4)]
