"""The loaders under dynamic VRAM, where ComfyUI's layers have no weights before these are loaded.

With ComfyUI's own layers where it has such ones, else with the tests' (tests/lazy_layers.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lazy_layers
import pytest
import torch
from test_execution import SAMPLER, run, same_bits
from test_loaders import comfy_models, generate, parts, separately  # noqa: F401

import comfy_pack

NANO = "nano (built in)"
DTYPES = ["auto", "bf16", "fp16", "fp8", "fp32"]


@contextmanager
def dynamic_vram(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """While active, layers are made as under dynamic VRAM."""
    import comfy.ops

    with patch.context() as now:
        memory = getattr(comfy, "memory_management", None)
        if memory is None:
            now.setattr(comfy.ops, "manual_cast", lazy_layers)
        else:
            now.setattr(memory, "aimdo_enabled", True)
        assert comfy.ops.manual_cast.Linear(2, 2).weight is None
        yield


@pytest.fixture(scope="module", autouse=True)
def bundle(short_folder: Path) -> Iterator[None]:
    """The built-in model made short: a third block is loaded and drawn with as two are."""
    with comfy_pack.bundles_in(short_folder):
        yield


def picture_of(pack: dict[str, Any], dtype: str) -> tuple[Any, torch.Tensor]:
    model, tokenizer, text, semantic, content = pack["EchoGenLoadBundle"].execute(NANO, dtype).result
    encode = {"image": torch.ones(1, 48, 48, 3) * 0.5, "strength": 1.0}
    (words,) = run(pack, "EchoGenEncodeText", text_encoder=text, prompt="a car on a beach")
    (seen,) = run(pack, "EchoGenEncodeSemantic", semantic_encoder=semantic, **encode)
    (detail,) = run(pack, "EchoGenEncodeContent", content_encoder=content, **encode)
    features = {"text": words, "semantic": seen, "content": detail}
    bits, _ = run(pack, "EchoGenSampler", model=model, **SAMPLER, **features)
    (image,) = run(pack, "EchoGenDecodeBits", bits=bits, tokenizer=tokenizer)
    return bits, image


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_bundle_draws_the_same_picture_in_every_type(
    pack: dict[str, Any], models: Any, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    bits, image = picture_of(pack, dtype)
    with dynamic_vram(monkeypatch):
        lazy_bits, lazy_image = picture_of(pack, dtype)
    assert same_bits(lazy_bits, bits) and torch.equal(lazy_image, image)


def test_the_loaders_of_single_files_draw_the_same_picture(
    pack: dict[str, Any],
    models: Any,
    parts: dict[str, str],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bits, image = generate(pack, *separately(pack, parts))
    with dynamic_vram(monkeypatch):
        lazy_bits, lazy_image = generate(pack, *separately(pack, parts))
    assert same_bits(lazy_bits, bits) and torch.equal(lazy_image, image)
