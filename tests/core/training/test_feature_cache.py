"""Cached features belong to the very weights that made them."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from echogen_core.training.feature_cache import encoder_identity
from echogen_core.training.frozen_encoders import FrozenEncoders

ASSETS = Path(__file__).resolve().parents[3] / "echogen_core" / "assets"
KINDS = ("text", "reference", "target")


@pytest.fixture(scope="module")
def encoders() -> FrozenEncoders:
    """nano's, with weights that bfloat16 and float16 can't hold exactly."""
    found = FrozenEncoders.load("nano", [ASSETS / "nano"], torch.device("cpu"))
    with torch.no_grad():
        for module in (found.text, found.semantic, found.content, found.tokenizer):
            for tensor in module.parameters():
                tensor.mul_(1.0001)
    return found


def keys(encoders: FrozenEncoders, folder: Path) -> dict[str, str]:
    cache = encoders.cache(folder)
    return {kind: cache.key(kind, b"a picture or a prompt") for kind in KINDS}


@pytest.mark.parametrize(
    ("part", "kind"),
    [("text", "text"), ("semantic", "reference"), ("content", "reference"), ("tokenizer", "target")],
)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_rounded_encoder_makes_new_entries(
    part: str, kind: str, dtype: torch.dtype, encoders: FrozenEncoders, tmp_path: Path
) -> None:
    before = keys(encoders, tmp_path)
    assert keys(encoders, tmp_path) == before
    module: nn.Module = deepcopy(getattr(encoders, part))
    changed = replace(encoders, **{part: module})
    module.to(dtype)
    half = keys(changed, tmp_path)
    module.float()
    rounded = keys(changed, tmp_path)
    assert len({before[kind], half[kind], rounded[kind]}) == 3, "another type, or other numbers in the same"
    for other in set(KINDS) - {kind}:
        assert before[other] == half[other] == rounded[other]


def test_every_number_of_an_encoder_counts() -> None:
    layer = nn.BatchNorm1d(3)
    layer.register_buffer("not_stored", torch.zeros(2), persistent=False)
    found = {encoder_identity(layer), encoder_identity(layer, "settings")}
    for tensor in (layer.weight, layer.running_mean, layer.not_stored):
        assert isinstance(tensor, torch.Tensor)
        tensor.data[-1] = torch.nextafter(tensor.data[-1], torch.tensor(9.0))
        found.add(encoder_identity(layer))
    assert len(found) == 5
