"""Muon's matrices and products, and optimisers of a continued run."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from miniature.training import optimisers
from miniature.training.optimisers import ConvKernel
from miniature.training.restore import load_optimizer_states
from miniature.training.transformer_optimisers import build_optimizers
from miniature.training.transformer_recipe import TransformerRecipe


def test_a_kernel_and_its_matrix_are_one_memory() -> None:
    kernel = nn.Parameter(torch.randn(4, 3, 3, 3).to(memory_format=torch.channels_last))
    pair = ConvKernel.of(kernel)
    with torch.no_grad():
        pair.matrix[1, 5] = 7.0
    assert (kernel[1] == 7.0).sum() == 1
    kernel.grad = torch.arange(108.0).view(4, 3, 3, 3)
    pair.take_gradient()
    assert kernel.grad is None
    assert pair.matrix.grad is not None
    assert torch.equal(pair.matrix.grad[:, 0], torch.arange(4) * 27.0)
    assert torch.equal(pair.matrix.grad[0, :3], torch.tensor([0.0, 9.0, 18.0]))


def test_optimisers_that_go_on_keep_their_moments_and_take_new_rates() -> None:
    torch.manual_seed(0)
    block = nn.ModuleDict({"proj": nn.Linear(4, 4)})
    trained = nn.ModuleDict({"transformer": nn.ModuleDict({"blocks": nn.ModuleList([block])})})
    before = build_optimizers(trained, TransformerRecipe(workers=1))
    trained.transformer.blocks[0]["proj"](torch.ones(1, 4)).sum().backward()
    for optimizer in before:
        optimizer.step()
    after = build_optimizers(trained, TransformerRecipe(workers=1, muon_lr=0.005, adamw_lr=1e-4))
    load_optimizer_states(after, [optimizer.state_dict() for optimizer in before])
    muon, adam = after
    assert [group["peak"] for group in muon.param_groups] == [0.005]
    assert adam.param_groups[0]["peak"] == 1e-4
    weight, bias = block["proj"].weight, block["proj"].bias
    assert torch.equal(muon.state[weight]["momentum_buffer"], before[0].state[weight]["momentum_buffer"])
    assert torch.equal(adam.state[bias]["exp_avg"], before[1].state[bias]["exp_avg"])


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
