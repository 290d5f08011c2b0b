"""The faster GroupNorm is GroupNorm."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from miniature.training.group_norm import FastGroupNorm


@pytest.mark.parametrize("groups", [1, 4, 8])
def test_fast_group_norm_is_group_norm(groups: int) -> None:
    plain, fast = nn.GroupNorm(groups, 8, eps=1e-6), FastGroupNorm(groups, 8, eps=1e-6)
    x = torch.randn(3, 8, 5, 7, generator=torch.Generator().manual_seed(0)) * 2 + 1
    slope = torch.randn(3, 8, 5, 7, generator=torch.Generator().manual_seed(1))
    gradients = []
    for norm in (plain, fast):
        nn.init.constant_(norm.weight, 0.7)
        leaf = x.clone().requires_grad_()
        y = norm(leaf)
        torch.testing.assert_close(y, plain(x))
        gradients.append(torch.autograd.grad((y * slope).sum(), [leaf, norm.weight, norm.bias]))
    for expected, got in zip(*gradients, strict=True):
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
