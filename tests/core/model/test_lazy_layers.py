"""Loading into layers that have no weights before it: what ComfyUI gives under dynamic VRAM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lazy_layers
import pytest
import torch
from torch import Tensor, nn

from echogen_core.checkpoints import load_part, save_part
from echogen_core.checkpoints.conversion import Conversion, convert
from echogen_core.checkpoints.keymap_transformer import (
    flatten_blocks,
    infer_config,
    translate_transformer,
)
from echogen_core.checkpoints.load import fill
from echogen_core.checkpoints.quantised import match_scales
from echogen_core.dtypes import FP8
from echogen_core.model import EchoGenTransformer

from ..checkpoints.test_keymaps import key_table
from ..checkpoints.test_load import tiny_module

DTYPES = (None, torch.float32, torch.bfloat16, torch.float16, FP8)


def forms(module: nn.Module) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("stored", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("kind", ["transformer", "tokenizer", "content"])
def test_every_type_of_file_loads_in_every_type(kind: str, stored: torch.dtype, tmp_path: Path) -> None:
    module = tiny_module(kind)
    path = save_part(tmp_path / "part.safetensors", kind, module, module.config, stored)
    for dtype in DTYPES:
        whole = load_part(path, kind, dtype=dtype)
        lazy = load_part(path, kind, dtype=dtype, operations=lazy_layers)
        assert forms(lazy) == forms(whole)
        held = lazy.state_dict()
        for name, tensor in whole.state_dict().items():
            assert torch.equal(held[name].float(), tensor.float()), (dtype, name)
        assert {n for n, _ in lazy.named_parameters()} == {n for n, _ in whole.named_parameters()}


def test_a_file_in_fp8_loads_with_its_scales(tmp_path: Path) -> None:
    full = tiny_module("transformer")
    path = save_part(tmp_path / "full.safetensors", "transformer", full, full.config, None)
    path = convert(path, tmp_path / "packed.safetensors", Conversion(FP8), lambda done, total: None)
    for dtype in DTYPES:
        whole = load_part(path, "transformer", dtype=dtype)
        lazy = load_part(path, "transformer", dtype=dtype, operations=lazy_layers)
        assert forms(lazy) == forms(whole)
        held = lazy.state_dict()
        assert all(torch.equal(held[n].float(), t.float()) for n, t in whole.state_dict().items())


def ends_of(table: str) -> dict[str, Tensor]:
    """A key table with its first and its last block alone: those between are as the first."""
    flat = flatten_blocks(key_table(table))
    last = f"blocks.{infer_config(flat).depth - 1}."
    return {
        key.replace(last, "blocks.1."): tensor
        for key, tensor in flat.items()
        if not key.startswith("blocks.") or key.startswith(("blocks.0.", last))
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, FP8], ids=str)
@pytest.mark.parametrize("table", ["echogen_2b", "infinity_2b"])
def test_the_official_key_tables_load_in_every_type(table: str, dtype: torch.dtype) -> None:
    published = {"trainer": {"gpt_fsdp": ends_of(table)}}
    config = infer_config(published)
    wanted = EchoGenTransformer(config, dtype=dtype, device="meta").state_dict()
    state = match_scales(translate_transformer(published, config), wanted)
    lazy = EchoGenTransformer(config, lazy_layers, dtype=dtype, device="meta")
    fill(lazy, state, "transformer", wanted)
    held = forms(lazy)
    assert held == {name: (tensor.shape, tensor.dtype) for name, tensor in wanted.items()}
    fp8 = {name for name, (_, kept) in held.items() if kept == FP8}
    assert fp8 == {name for name in held if f"{name}_scale" in held}, "no bias, and every one with its scale"
    assert bool(fp8) == (dtype == FP8)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda state: state.pop("head.linear.weight"), "missing: head.linear.weight"),
        (lambda state: state.pop("level_embed.weight"), "missing: level_embed.weight"),
        (lambda state: state.update({"extra.weight": torch.ones(1)}), "unknown: extra.weight"),
        (
            lambda state: state.update({"head.linear.bias": torch.ones(3)}),
            r"another shape or type: head.linear.bias \[3\]",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said_as_ever(change: Any, told: str) -> None:
    module = tiny_module("transformer")
    state = module.state_dict()
    change(state)
    lazy = EchoGenTransformer(module.config, lazy_layers, device="meta")
    with pytest.raises(ValueError, match=told):
        fill(lazy, state, "EchoGen", module.state_dict())
    assert lazy.head.linear.weight is None, "nothing was filled"


def test_layers_that_lose_a_weight_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    module = tiny_module("transformer")
    lazy = EchoGenTransformer(module.config, lazy_layers, device="meta")
    monkeypatch.setattr(lazy_layers.Linear, "_load_from_state_dict", lambda *_: None)
    with pytest.raises(AssertionError, match="did not take"):
        fill(lazy, module.state_dict(), "EchoGen", module.state_dict())
