"""A tokenizer that draws at twice the size that it encodes, in every node that shows a picture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from test_execution import SAMPLER, run
from test_sweep import sweep
from torch import Tensor, nn

import comfy_pack
from echogen_core.tokenizer import BitTokenizer

EDIT = dict(keep_scales=0, grow=0, feather=4.0, fit="crop", size="auto")


@pytest.fixture(scope="module")
def larger(models: Any) -> Any:
    """The same models; pictures have 256 px, and are beneath them those that they were."""
    runtime = comfy_pack.pack_module("nodes.runtime")
    plain = models.tokenizer.module
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode(False):
        module = BitTokenizer(replace(plain.config, super_resolution=2), runtime.operations())
        for parameter in module.parameters():  # ComfyUI's layers begin without values
            nn.init.normal_(parameter, std=0.05, generator=generator)
        module.load_state_dict({**module.state_dict(), **plain.state_dict()})
    managed = runtime.manage(module.eval().requires_grad_(False), models.tokenizer.preset)
    return replace(models, tokenizer=managed)


def drawn(pack: Any, models: Any, **inputs: Any) -> Any:
    return run(
        pack, "EchoGenSampler", model=models.model, tokenizer=models.tokenizer, **{**SAMPLER, **inputs}
    )


@pytest.fixture(scope="module")
def ground() -> Tensor:
    return torch.rand(1, 150, 200, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def right() -> Tensor:
    mask_1HW = torch.zeros(1, 150, 200)
    mask_1HW[:, 30:120, 110:190] = 1
    return mask_1HW


def test_bits_are_the_same_and_pictures_larger(pack: Any, models: Any, larger: Any) -> None:
    before, (bits, _) = drawn(pack, models, batch=2)[0], drawn(pack, larger, batch=2)
    assert all(torch.equal(a, b) for a, b in zip(before.scales, bits.scales, strict=True))
    (image,) = run(pack, "EchoGenDecodeBits", bits=bits, tokenizer=larger.tokenizer)
    (scales,) = run(pack, "EchoGenDecodeScales", bits=bits, tokenizer=larger.tokenizer)
    assert image.shape == (2, 256, 256, 3) and scales.shape == (10, 256, 256, 3)
    assert torch.equal(scales[4], image[0]) and torch.equal(scales[9], image[1])


def test_sketches_have_the_finished_pictures_size(
    pack: Any, larger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import comfy.utils

    sizes: list[tuple[int, int]] = []
    monkeypatch.setattr(
        comfy.utils, "PROGRESS_BAR_HOOK", lambda *given, node_id=None: sizes.append(given[2][1].size)
    )
    monkeypatch.setattr(comfy_pack.pack_module("nodes.runtime"), "previews_enabled", lambda: True)
    drawn(pack, larger)
    assert sizes == [(256, 256)] * 5


def test_pictures_are_encoded_at_the_size_that_they_were(pack: Any, larger: Any, ground: Tensor) -> None:
    bits, fitted = run(
        pack, "EchoGenEncodeBits", image=ground, tokenizer=larger.tokenizer, fit="crop", size="auto"
    )
    assert fitted.shape == (1, 128, 128, 3)
    (image,) = run(pack, "EchoGenDecodeBits", bits=bits, tokenizer=larger.tokenizer)
    assert image.shape == (1, 256, 256, 3)


@pytest.mark.parametrize("way", ["redraw", "place"])
def test_edits_come_back_at_the_pictures_own_size(
    pack: Any, larger: Any, ground: Tensor, right: Tensor, way: str
) -> None:
    given = dict(image=ground, tokenizer=larger.tokenizer, mask=right, way=way, **EDIT)
    (edit,) = run(pack, "EchoGenEditPicture", **given)
    bits, done = drawn(pack, larger, edit=edit)
    (image,) = run(pack, "EchoGenDecodeBits", bits=bits, tokenizer=larger.tokenizer)
    pasted, _ = run(pack, "EchoGenPasteBack", image=image, edit=done)
    assert image.shape == (1, 256, 256, 3) and pasted.shape == ground.shape
    moved_1HW = (pasted - ground).abs().amax(-1)
    assert float(moved_1HW[:, :, :100].max()) == 0 and float(moved_1HW.max()) > 0.05


def test_a_sweeps_cells_are_as_large(pack: Any, models: Any, larger: Any) -> None:
    few = dict(gamma_t="1, 3", gamma_i="2")
    grids = [sweep(pack, each, **few).result[0] for each in (models, larger)]
    heights, widths = ([grid.shape[axis] for grid in grids] for axis in (1, 2))
    assert heights[1] - heights[0] >= 128 and widths[1] - widths[0] >= 256
