"""Previews: sketches, then the finished picture, which is not decoded again."""

from __future__ import annotations

import copy
import gc
from typing import Any

import pytest
import torch
from test_execution import SAMPLER, run

import comfy_pack


@pytest.fixture
def decoded(pack: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tokens a side of every decoding."""
    runtime, sides = comfy_pack.pack_module("nodes.runtime"), []
    decode = runtime.decode

    def counted(tokenizer: Any, codes_BDHW: torch.Tensor) -> torch.Tensor:
        sides.append(max(codes_BDHW.shape[-2:]))
        return decode(tokenizer, codes_BDHW)

    monkeypatch.setattr(runtime, "decode", counted)
    return sides


def drawn(pack: Any, models: Any, **inputs: Any) -> Any:
    return run(pack, "EchoGenSampler", model=models.model, tokenizer=models.tokenizer, **SAMPLER, **inputs)[0]


def test_the_last_preview_is_what_decode_bits_gives(pack: Any, models: Any, decoded: list[int]) -> None:
    bits = drawn(pack, models)
    assert decoded == [16], "once, however many scales"
    (first,) = run(pack, "EchoGenDecodeBits", bits=bits, tokenizer=models.tokenizer)
    assert len(decoded) == 1, "not decoded twice"
    (again,) = run(pack, "EchoGenDecodeBits", bits=bits, tokenizer=models.tokenizer)
    assert len(decoded) == 2 and torch.equal(first, again), "bit for bit"


@pytest.mark.parametrize("wanted", [True, False])
def test_every_scale_has_a_preview_if_any_has(
    pack: Any, models: Any, decoded: list[int], monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    import comfy.utils

    sizes: list[tuple[int, int] | None] = []

    def hook(value: int, total: int, preview: Any, node_id: Any = None) -> None:
        sizes.append(preview and preview[1].size)

    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", hook)
    monkeypatch.setattr(comfy_pack.pack_module("nodes.runtime"), "previews_enabled", lambda: wanted)
    drawn(pack, models)
    assert set(sizes) == {(256, 256) if wanted else None}
    assert decoded == [16] * wanted and (len(sizes) == 5 or not wanted)


def test_other_bits_and_other_tokenizers_are_decoded(pack: Any, models: Any, decoded: list[int]) -> None:
    older = drawn(pack, models)
    drawn(pack, models)
    run(pack, "EchoGenDecodeBits", bits=older, tokenizer=models.tokenizer)
    bits = drawn(pack, models)
    runtime = comfy_pack.pack_module("nodes.runtime")
    other = runtime.manage(copy.deepcopy(models.tokenizer.module), models.tokenizer.preset)
    before = len(decoded)
    run(pack, "EchoGenDecodeBits", bits=bits, tokenizer=other)
    assert len(decoded) == before + 1


def test_pictures_go_with_their_bits(pack: Any, models: Any) -> None:
    previews = comfy_pack.pack_module("nodes.previews")
    bits = drawn(pack, models)
    assert len(previews._latest) == 1
    del bits
    gc.collect()
    assert not previews._latest, "nobody can ask for them any more"


def test_a_picture_that_is_not_a_number_spoils_no_later_sketch(
    pack: Any, models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    previews, runtime = (comfy_pack.pack_module(f"nodes.{name}") for name in ("previews", "runtime"))
    bits = drawn(pack, models)
    codes_BDHW = previews.sum_codes(bits.scales, bits.schedule.scales)
    sketch = previews._sketcher(models.tokenizer).draw(codes_BDHW)
    decode = runtime.decode
    monkeypatch.setattr(runtime, "decode", lambda *inputs: decode(*inputs) * float("nan"))
    drawn(pack, models)
    assert torch.equal(previews._sketcher(models.tokenizer).draw(codes_BDHW), sketch)
