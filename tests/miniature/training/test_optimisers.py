"""Muon on processors with and without instructions for bfloat16."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from miniature.training import optimisers


@pytest.mark.parametrize("shape", [(48, 160), (160, 48)])
def test_products_in_float32_make_the_same_step(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to bfloat16's rounding of what is orthogonalised, whose elements are around 0.1."""
    given = torch.randn(*shape, generator=torch.Generator().manual_seed(0))

    def step(looped: frozenset[torch.dtype]) -> Tensor:
        monkeypatch.setattr(optimisers, "LOOPED", looped)
        matrix = nn.Parameter(torch.zeros(shape))
        matrix.grad = given.clone()
        optimisers.muon([matrix], 1.0, 0.0).step()
        return matrix.detach()

    plain, wide = step(frozenset()), step(frozenset({torch.bfloat16}))
    assert plain.abs().max() > 0.05
    assert torch.allclose(plain, wide, atol=2e-2)
    assert wide.dtype == torch.float32
