"""What a transformer's state dict is remembered to have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from echogen_core.checkpoints.empty_state import empty_state
from echogen_core.config import PRESETS
from echogen_core.dtypes import FP8

CONFIG = replace(PRESETS["nano"].transformer, depth=1)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize("dtype", [None, torch.float32, torch.bfloat16, torch.float16, FP8], ids=str)
def test_what_is_remembered_is_no_callers_own_default(dtype: torch.dtype | None) -> None:
    """Other packs load their models under a default of half precision."""
    empty_state.cache_clear()
    with default_dtype(torch.float16):
        first = {name: tensor.dtype for name, tensor in empty_state(CONFIG, dtype).items()}
    empty_state.cache_clear()
    assert {name: tensor.dtype for name, tensor in empty_state(CONFIG, dtype).items()} == first


def test_nobody_can_change_it() -> None:
    with pytest.raises(TypeError, match="item assignment"):
        empty_state(CONFIG)["head.linear.weight"] = torch.zeros(1)  # type: ignore[index]
