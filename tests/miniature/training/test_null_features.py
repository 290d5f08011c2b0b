"""The stage of the null features: which pictures they learn from, and that nothing else changes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from echogen_core.checkpoints import ASSETS, Bundle, load_bundle
from echogen_core.pipeline import EchoGenPipeline, Settings
from echogen_core.scales import find_schedule
from miniature.training.null_features import (
    BARE_QUARTERS,
    KINDS,
    TRAINED,
    Drawn,
    NullFeaturesLoss,
    NullFeaturesRecipe,
    Pictures,
    begin,
    finish,
    losses,
    main,
)

from ..small_packages import small_sizes

CPU = torch.device("cpu")


@pytest.fixture
def bundle() -> Bundle:
    return load_bundle("nano", ASSETS / "nano")


def draw(bundle: Bundle, data: Path, quarter: int = 1) -> Drawn:
    return Pictures(bundle, data, "train", 1, CPU).draw(quarter, 0.0, 5)


def test_only_pictures_with_a_reference_show_a_subject(bundle: Bundle, data: Path) -> None:
    quarters = [kind.quarters for kind in KINDS.values()]
    assert sum(quarters) == 4
    assert sum(kind.quarters for kind in KINDS.values() if not any(kind.given[1:])) == BARE_QUARTERS
    drawn, again = draw(bundle, data, 2), draw(bundle, data, 2)
    assert torch.equal(drawn.forced.labels_BLD, again.forced.labels_BLD)
    assert drawn.keep_3B.tolist() == [
        [True] * 4 + [False] * 2 + [True] * 2,
        [False] * 8,
        [False] * 6 + [True] * 2,
    ]
    flat = drawn.forced.margins_BLD.var(dim=1).mean(1)  # the tiny data's scenes are of one colour
    assert flat[:6].max() < flat[6:].min()


def test_trained_features_begin_as_a_blank_reference(bundle: Bundle, data: Path) -> None:
    drawn = draw(bundle, data)
    before = {name: tensor.clone() for name, tensor in bundle.transformer.state_dict().items()}
    model = begin(bundle, drawn.given)
    assert len(list(model.parameters())) == len(TRAINED)
    trained = {id(p) for p in bundle.transformer.parameters() if p.requires_grad}
    assert trained == {id(p) for p in model.parameters()}
    finish(bundle.transformer)
    after = bundle.transformer.state_dict()
    blank = bundle.semantic.encode(torch.ones(1, 3, 112, 112))
    assert torch.allclose(after["null_semantic"][1:], blank.patches_VPC[0], atol=1e-5)
    assert torch.allclose(after["null_text"], before["null_text"], atol=1e-6)
    assert after.keys() == before.keys()
    kept = before.keys() - set(TRAINED)
    assert all(torch.equal(after[name], before[name]) for name in kept)


def test_a_step_lowers_the_loss(bundle: Bundle, data: Path) -> None:
    recipe = NullFeaturesRecipe(quarter=1, targets=1, token_share=1.0, bit_flips=0.0)
    loss = NullFeaturesLoss(bundle, Pictures(bundle, data, "train", 1, CPU), recipe)
    model = begin(bundle, draw(bundle, data).given)
    before = loss(0)
    shares = [kind.quarters / 4 * before.parts[name] for name, kind in KINDS.items()]
    assert torch.allclose(before.total, torch.stack(shares).sum())
    before.total.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter -= 0.01 * parameter.grad.sign()
    assert loss(0).total < before.total


def test_some_tokens_weigh_as_much_as_all(
    bundle: Bundle, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def undecided(conditions: object, inputs_NLd: Tensor, *_: object, tokens_K: Tensor) -> Tensor:
        return torch.zeros(len(inputs_NLd), len(tokens_K), inputs_NLd.shape[-1], 2)

    monkeypatch.setattr(bundle.transformer, "teacher_forced", undecided)
    start, end = find_schedule("nano").spans[-1]
    drawn = draw(bundle, data)
    whole = losses(bundle, drawn, torch.arange(end))
    some = losses(bundle, drawn, torch.cat((torch.arange(start), torch.arange(start, end, 3))))
    assert list(whole) == list(some) == list(KINDS)
    for name, loss in whole.items():
        assert torch.isclose(loss, some[name], rtol=1e-4) and loss > 0


def test_the_run_changes_only_pictures_without_the_whole_reference(data: Path, tmp_path: Path) -> None:
    given = ["--data", data, "--start", ASSETS / "nano", "--out", tmp_path, "--quarter", 1]
    more = ["--minutes", "0.0001", "--device", "cpu"]
    with small_sizes():
        assert main([*map(str, given), *more]) == 0
        assert main([*map(str, given), *more]) == 0, "a finished run only writes its bundle again"
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 1]
    measured = [f"heldout_{name}" for name in KINDS]
    assert [log[0][name] for name in measured] == [log[1][name] for name in measured]
    old, new = (load_bundle("nano", folder) for folder in (ASSETS / "nano", tmp_path / "bundle"))
    for kind, module in old.parts().items():
        changed = {
            name
            for name, tensor in module.state_dict().items()
            if not torch.equal(tensor, new.parts()[kind].state_dict()[name])
        }
        assert changed == (set(TRAINED) if kind == "transformer" else set()), kind
    reference_13SS = torch.rand(1, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    pictures = []
    for bundle in (old, new):
        pipeline = EchoGenPipeline(bundle)
        branches = [pipeline.branches("it in a wood", pipeline.encode_reference(reference_13SS))]
        guided = (Settings(gamma_t=1.0, gamma_i=1.0), Settings(gamma_t=1.0, gamma_i=0.0))
        pictures.append([pipeline.generate(branches, [0], settings).images_B3HW for settings in guided])
    assert torch.equal(pictures[0][0], pictures[1][0]) and not torch.equal(pictures[0][1], pictures[1][1])
