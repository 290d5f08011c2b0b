"""The decoder's fast convolutions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from echogen_core.config import PRESETS
from echogen_core.tokenizer import BitTokenizer, convolution
from echogen_core.tokenizer.convolution import fast_layers
from echogen_core.tokenizer.winograd import convolve


@pytest.mark.parametrize("doubled", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (7, 4), (9, 34)])
def test_winograd_is_the_usual_convolution(size: tuple[int, int], doubled: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    x_BCHW = torch.randn(2, 5, *size, generator=generator)
    weight, bias = torch.randn(3, 5, 3, 3, generator=generator), torch.randn(3, generator=generator)
    plain = F.interpolate(x_BCHW.double(), scale_factor=2.0) if doubled else x_BCHW.double()
    expected = F.conv2d(plain, weight.double(), bias.double(), padding=1).float()
    got = convolve(x_BCHW, weight, bias, doubled)
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=0)
    assert torch.equal(got[1:], convolve(x_BCHW[1:], weight, bias, doubled)), "alone as in a batch"


def test_only_large_layers_take_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """nano's pictures stay the same, bit for bit."""
    taken: list[int] = []

    def noted(*arguments: Any) -> torch.Tensor:
        taken.append(arguments[0].shape[-1])
        return convolve(*arguments)

    monkeypatch.setattr(convolution, "convolve", noted)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    BitTokenizer(PRESETS["nano"].tokenizer).decode(torch.zeros(1, 32, 16, 16))
    assert not taken
    large = fast_layers(nn).Conv2d(64, 64, 3, padding=1)
    x_BCHW = torch.zeros(1, 64, 336, 336)
    assert large(x_BCHW).grad_fn is not None and not taken, "training takes the usual one"
    with torch.inference_mode():
        large(x_BCHW)
        assert taken == [336]
        monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
        large(x_BCHW)
        monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
        large.bfloat16()(x_BCHW[..., :9, :9].bfloat16())
    assert len(taken) == 1
