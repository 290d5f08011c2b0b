"""The optimisers of the transformer's training."""

from __future__ import annotations

import torch
from torch import nn

from .optimisers import muon
from .transformer_recipe import TransformerRecipe


def build_optimizers(trained: nn.ModuleDict, recipe: TransformerRecipe) -> list[torch.optim.Optimizer]:
    """One Muon per worker, which share the matrices in the transformer's blocks; then AdamW for the rest."""
    blocks = trained.get_submodule("transformer.blocks")
    in_layers = {id(layer.weight) for layer in blocks.modules() if isinstance(layer, nn.Linear)}
    matrices: list[nn.Parameter] = []
    log_scales: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in trained.named_parameters():
        inside = id(parameter) in in_layers
        kind = matrices if inside else log_scales if name.endswith("log_scale") else others
        kind.append(parameter)
    shares = [matrices[worker :: recipe.workers] for worker in range(recipe.workers)]
    optimizers: list[torch.optim.Optimizer] = [muon(share, recipe.muon_lr, 0.01) for share in shares if share]
    groups = [
        {"params": others, "peak": recipe.adamw_lr},
        {"params": log_scales, "peak": recipe.log_scale_lr},
    ]
    adamw = torch.optim.AdamW(groups, lr=recipe.adamw_lr, betas=(0.9, 0.97), weight_decay=0.01)
    return [*optimizers, adamw]
