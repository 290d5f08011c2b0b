"""The optimisers of the transformer's training."""

from __future__ import annotations

import torch
from torch import nn

from .transformer_recipe import Recipe


def build_optimizers(trained: nn.ModuleDict, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the transformer's blocks, a share for each worker; AdamW for the rest."""
    kinds: dict[str, list[nn.Parameter]] = {"muon": [], "adam": [], "scales": []}
    for name, parameter in trained.named_parameters():
        inside = name.startswith("transformer.blocks.") and parameter.ndim == 2 and name.endswith("weight")
        kind = "muon" if inside else "scales" if name.endswith("log_scale") else "adam"
        kinds[kind].append(parameter)
    optimizers: list[torch.optim.Optimizer] = []
    for worker in range(recipe.workers):
        share = kinds["muon"][worker :: recipe.workers]
        if share:
            optimizers.append(torch.optim.Muon(share, lr=recipe.muon, momentum=0.95, weight_decay=0.01))
    for group in (group for muon in optimizers for group in muon.param_groups):
        group["peak"] = recipe.muon
    groups = [
        {"params": parameters, "peak": getattr(recipe, kind)}
        for kind, parameters in kinds.items()
        if kind != "muon"
    ]
    return [*optimizers, torch.optim.AdamW(groups, lr=recipe.adam, betas=(0.9, 0.97), weight_decay=0.01)]
