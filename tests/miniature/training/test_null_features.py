"""The stage of the null features: which pictures they learn from, and that nothing else changes."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from short_nano import short_bundle, write_short_nano
from torch import Tensor

from echogen_core.checkpoints import Bundle, load_bundle
from echogen_core.pipeline import EchoGenPipeline, Settings
from echogen_core.scales import find_schedule
from miniature.training.null_features import (
    KINDS,
    TRAINED,
    Drawn,
    NullFeaturesLoss,
    NullFeaturesRecipe,
    Pictures,
    begin,
    finish,
    main,
)

from ..small_packages import small_sizes

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def nano() -> Bundle:
    return short_bundle()


@pytest.fixture
def bundle(nano: Bundle) -> Bundle:
    """nano, of few blocks, for one test to change."""
    return copy.deepcopy(nano)


def draw(bundle: Bundle, data: Path, conditions: int = 1) -> dict[str, Drawn]:
    return Pictures(bundle, data, "train", 1, CPU).draw(conditions, 0.0, 5)


def loss_of(bundle: Bundle, data: Path) -> NullFeaturesLoss:
    recipe = NullFeaturesRecipe(conditions=1, targets=1, token_share=1.0, bit_flips=0.0)
    return NullFeaturesLoss(bundle, Pictures(bundle, data, "train", 1, CPU), recipe)


def test_pictures_of_a_prompt_alone_show_no_subject(bundle: Bundle, data: Path) -> None:
    drawn, again = draw(bundle, data, 2), draw(bundle, data, 2)
    for name, kind in KINDS.items():
        labels_BLD = drawn[name].forced.labels_BLD
        assert torch.equal(labels_BLD, again[name].forced.labels_BLD)
        assert len(labels_BLD) == 2 * kind.times
        assert drawn[name].keep_3B.T.tolist() == [list(kind.given)] * 2 * kind.times
    variance = {name: each.forced.margins_BLD.var(dim=1).mean(1) for name, each in drawn.items()}
    others = torch.cat([variance[name] for name, kind in KINDS.items() if not kind.bare])
    assert variance["text_only"].max() < others.min(), "the tiny data's scenes are of one colour"


def test_trained_features_begin_as_a_blank_reference(bundle: Bundle, data: Path) -> None:
    drawn = draw(bundle, data)
    before = {name: tensor.clone() for name, tensor in bundle.transformer.state_dict().items()}
    model = begin(bundle, drawn["content_only"].given)
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
    loss = loss_of(bundle, data)
    model = begin(bundle, draw(bundle, data)["content_only"].given)
    before = loss(0)
    all_kinds = torch.stack([before.parts[name] for name, kind in KINDS.items() for _ in range(kind.times)])
    assert torch.allclose(before.total, all_kinds.mean())
    before.total.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter -= 0.01 * parameter.grad.sign()
    assert loss(0).total < before.total


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if not kind.bare])
def test_what_else_reads_them_learns_to_be_what_it_was(bundle: Bundle, data: Path, name: str) -> None:
    loss, drawn = loss_of(bundle, data), draw(bundle, data)[name]
    every_K = torch.arange(find_schedule("nano").spans[-1][1])
    assert loss.of_kind(name, drawn, every_K) == 0.0, "nothing is trained yet"
    model = begin(bundle, drawn.given)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.5 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3))
    optimiser, losses = torch.optim.Adam(model.parameters(), 0.05), []
    for _ in range(4):
        losses.append(loss.of_kind(name, drawn, every_K))
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert 0.0 < losses[-1] < 0.8 * losses[0]


def test_some_tokens_weigh_as_much_as_all(
    bundle: Bundle, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def undecided(conditions: object, inputs_NLd: Tensor, *_: object, tokens_K: Tensor) -> Tensor:
        return torch.zeros(len(inputs_NLd), len(tokens_K), inputs_NLd.shape[-1], 2)

    def certain(*given: Any, **more: Any) -> Tensor:
        return undecided(*given, **more) + torch.tensor([0.0, 3.0])

    loss, drawn = loss_of(bundle, data), draw(bundle, data)
    monkeypatch.setattr(loss._model, "teacher_forced", undecided)
    monkeypatch.setattr(loss._teacher, "teacher_forced", certain)
    start, end = find_schedule("nano").spans[-1]
    some_K = torch.cat((torch.arange(start), torch.arange(start, end, 3)))
    for name, each in drawn.items():
        whole, some = (loss.of_kind(name, each, kept_K) for kept_K in (torch.arange(end), some_K))
        assert torch.isclose(whole, some, rtol=1e-4) and whole > 0


def test_the_run_changes_only_pictures_without_the_whole_reference(data: Path, tmp_path: Path) -> None:
    start, out = write_short_nano(tmp_path / "nano"), tmp_path / "run"
    given = ["--data", data, "--start", start, "--out", out, "--conditions", 1]
    more = ["--minutes", "0.0001", "--device", "cpu"]
    with small_sizes():
        assert main([*map(str, given), *more]) == 0
        assert main([*map(str, given), *more]) == 0, "a finished run only writes its bundle again"
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 1]
    measured = [f"heldout_{name}" for name in KINDS]
    assert [log[0][name] for name in measured] == [log[1][name] for name in measured]
    old, new = (load_bundle("nano", folder) for folder in (start, out / "bundle"))
    for kind, module in old.parts().items():
        now = new.parts()[kind].state_dict()
        changed = {name for name, tensor in module.state_dict().items() if not torch.equal(tensor, now[name])}
        assert changed == (set(TRAINED) if kind == "transformer" else set()), kind
    reference_13SS = torch.rand(1, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    pictures = []
    for bundle in (old, new):
        pipeline = EchoGenPipeline(bundle)
        branches = [pipeline.branches("it in a wood", pipeline.encode_reference(reference_13SS))]
        guided = (Settings(gamma_t=1.0, gamma_i=1.0), Settings(gamma_t=1.0, gamma_i=0.0))
        pictures.append([pipeline.generate(branches, [0], settings).images_B3HW for settings in guided])
    assert torch.equal(pictures[0][0], pictures[1][0]) and not torch.equal(pictures[0][1], pictures[1][1])
