"""What a stage that is run again keeps, and what it is told anew; what it says when its input is at fault."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from echogen_core.training.__main__ import main
from echogen_core.training.optimisers import build_optimizers
from echogen_core.training.state import go_on
from echogen_core.training.transformer_recipe import Recipe


def test_optimisers_that_go_on_keep_their_moments_and_take_new_rates() -> None:
    torch.manual_seed(0)
    block = nn.ModuleDict({"proj": nn.Linear(4, 4)})
    trained = nn.ModuleDict({"transformer": nn.ModuleDict({"blocks": nn.ModuleList([block])})})
    before = build_optimizers(trained, Recipe(workers=1))
    trained.transformer.blocks[0]["proj"](torch.ones(1, 4)).sum().backward()
    for optimizer in before:
        optimizer.step()
    after = build_optimizers(trained, Recipe(workers=1, muon=0.005, adam=1e-4))
    go_on(after, [optimizer.state_dict() for optimizer in before])
    muon, adam = after
    assert [group["peak"] for group in muon.param_groups] == [0.005]
    assert adam.param_groups[0]["peak"] == 1e-4
    weight, bias = block["proj"].weight, block["proj"].bias
    assert torch.equal(muon.state[weight]["momentum_buffer"], before[0].state[weight]["momentum_buffer"])
    assert torch.equal(adam.state[bias]["exp_avg"], before[1].state[bias]["exp_avg"])


@pytest.mark.parametrize("stage", ["tokenizer", "semantic"])
def test_a_stage_without_data_says_what_makes_them(
    stage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([stage, "--data", str(tmp_path / "none"), "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert stage in said and "training prepare" in said and "Traceback" not in said
