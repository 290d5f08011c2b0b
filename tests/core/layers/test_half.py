"""Half precision on processors that have no instructions for it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echogen_core import dtypes
from echogen_core.dtypes import FP8, HALVES
from echogen_core.layers import CastLinear, LayerFactory
from echogen_core.tokenizer.convolution import fast_layers

CASTING = SimpleNamespace(Linear=CastLinear, Conv2d=nn.Conv2d)


def drawn(*shape: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape))).to(dtype)


def filled(layer: Any, dtype: torch.dtype) -> Any:
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(drawn(*parameter.shape, dtype=dtype))
    return layer.requires_grad_(False)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("operations", [nn, CASTING], ids=["torch.nn", "casting"])
def test_looped_products_are_those_of_float32_rounded_once(
    operations: Any, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dtypes, "LOOPED", frozenset(HALVES))
    make = LayerFactory(operations, dtype)
    linear, x = filled(make.linear(48, 24), dtype), drawn(2, 5, 48, dtype=dtype)
    expected = F.linear(x.float(), linear.weight.float(), linear.bias.float()).to(dtype)
    assert linear.weight.dtype == dtype and torch.equal(linear(x), expected)
    assert torch.equal(
        filled(make.linear(48, 24, bias=False), dtype)(x),
        F.linear(x.float(), linear.weight.float()).to(dtype),
    )
    convolution, x = filled(make.convolution(8, 4), dtype), drawn(2, 8, 5, 6, dtype=dtype)
    expected = F.conv2d(x.float(), convolution.weight.float(), convolution.bias.float(), padding=1).to(dtype)
    assert convolution.weight.dtype == dtype and torch.equal(convolution(x), expected)


def test_an_fp8_matrix_is_multiplied_in_float32_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dtypes, "LOOPED", frozenset(HALVES))
    layer, x = filled(LayerFactory(nn, FP8).linear(48, 24), FP8), drawn(5, 48, dtype=torch.bfloat16)
    layer.weight_scale.fill_(0.5)
    expected = F.linear(x.float() / 2, layer.weight.float(), layer.bias)
    assert torch.equal(layer(x), expected.bfloat16())


def test_where_the_processor_can_the_layers_are_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dtypes, "LOOPED", frozenset())
    make, x = LayerFactory(nn, torch.bfloat16), drawn(5, 48, dtype=torch.bfloat16)
    linear = filled(make.linear(48, 24), torch.bfloat16)
    assert torch.equal(linear(x), F.linear(x, linear.weight, linear.bias))
    assert type(LayerFactory(nn, torch.float32).linear(4, 4)) is nn.Linear


def median_seconds(*works: Callable[[], object]) -> list[float]:
    """Of the processor, by turns."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(5):
        for times, work in zip(taken, works, strict=True):
            began = time.process_time()
            work()
            times.append(time.process_time() - began)
    return [statistics.median(times) for times in taken]


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_half_precision_takes_no_multiple_of_float32(dtype: torch.dtype) -> None:
    """Without instructions for it PyTorch's own takes 7 and 280 times as long."""
    works: list[Callable[[], object]] = []
    for kept in (torch.float32, dtype):
        linear = filled(LayerFactory(nn, kept).linear(768, 1536), kept)
        convolution = filled(LayerFactory(fast_layers(nn), kept).convolution(64, 64), kept)
        tokens, cells = drawn(256, 768, dtype=kept), drawn(1, 64, 32, 32, dtype=kept)
        works += [lambda linear=linear, x=tokens: linear(x), lambda layer=convolution, x=cells: layer(x)]
    linear32, convolution32, linear16, convolution16 = median_seconds(*works)
    assert linear16 < 3 * linear32 and convolution16 < 6 * convolution32
