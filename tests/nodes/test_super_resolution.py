"""nano draws at twice the size that it encodes: in every node that shows a picture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from test_execution import SAMPLER, run
from test_sweep import sweep
from torch import Tensor

import comfy_pack
from echogen_core.tokenizer import BitTokenizer

EDIT = dict(keep_scales=0, grow=0, feather=4.0, fit="crop", size="auto")


@pytest.fixture(scope="module")
def smaller(models: Any) -> Any:
    """The same models; pictures have 128 px, and are beneath those that nano draws."""
    runtime = comfy_pack.pack_module("nodes.runtime")
    larger = models.tokenizer.module
    with torch.inference_mode(False):
        module = BitTokenizer(replace(larger.config, super_resolution=1), runtime.operations())
        own = module.state_dict()
        module.load_state_dict({name: t for name, t in larger.state_dict().items() if name in own})
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


def test_bits_are_the_same_and_pictures_larger(pack: Any, smaller: Any, models: Any) -> None:
    before, (bits, _) = drawn(pack, smaller, batch=2)[0], drawn(pack, models, batch=2)
    assert all(torch.equal(a, b) for a, b in zip(before.scales, bits.scales, strict=True))
    (image,) = run(pack, "EchoGenDecodeBits", bits=bits, tokenizer=models.tokenizer)
    (scales,) = run(pack, "EchoGenDecodeScales", bits=bits, tokenizer=models.tokenizer)
    assert image.shape == (2, 256, 256, 3) and scales.shape == (10, 256, 256, 3)
    assert torch.equal(scales[4], image[0]) and torch.equal(scales[9], image[1])


def test_sketches_have_the_finished_pictures_size(
    pack: Any, models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import comfy.utils

    sizes: list[tuple[int, int]] = []
    monkeypatch.setattr(
        comfy.utils, "PROGRESS_BAR_HOOK", lambda *given, node_id=None: sizes.append(given[2][1].size)
    )
    monkeypatch.setattr(comfy_pack.pack_module("nodes.runtime"), "previews_enabled", lambda: True)
    drawn(pack, models)
    assert sizes == [(256, 256)] * 5


def test_pictures_are_encoded_at_the_size_that_they_were(
    pack: Any, smaller: Any, models: Any, ground: Tensor
) -> None:
    given = dict(image=ground, fit="crop", size="auto")
    bits, fitted = run(pack, "EchoGenEncodeBits", tokenizer=models.tokenizer, **given)
    before, reduced = run(pack, "EchoGenEncodeBits", tokenizer=smaller.tokenizer, **given)
    assert all(torch.equal(a, b) for a, b in zip(before.scales, bits.scales, strict=True))
    assert reduced.shape == (1, 128, 128, 3)
    (image,) = run(pack, "EchoGenDecodeBits", bits=bits, tokenizer=models.tokenizer)
    assert fitted.shape == image.shape == (1, 256, 256, 3), "the picture beside it has the size to compare"


@pytest.mark.parametrize("way", ["redraw", "place"])
def test_edits_come_back_at_the_pictures_own_size(
    pack: Any, models: Any, ground: Tensor, right: Tensor, way: str
) -> None:
    given = dict(image=ground, tokenizer=models.tokenizer, mask=right, way=way, **EDIT)
    (edit,) = run(pack, "EchoGenEditPicture", **given)
    bits, done = drawn(pack, models, edit=edit)
    (image,) = run(pack, "EchoGenDecodeBits", bits=bits, tokenizer=models.tokenizer)
    pasted, _ = run(pack, "EchoGenPasteBack", image=image, edit=done)
    assert image.shape == (1, 256, 256, 3) and pasted.shape == ground.shape
    moved_1HW = (pasted - ground).abs().amax(-1)
    assert float(moved_1HW[:, :, :100].max()) == 0 and float(moved_1HW.max()) > 0.05


def test_a_sweeps_cells_are_as_large(pack: Any, smaller: Any, models: Any) -> None:
    few = dict(gamma_t="1, 3", gamma_i="2")
    grids = [sweep(pack, each, **few).result[0] for each in (smaller, models)]
    heights, widths = ([grid.shape[axis] for grid in grids] for axis in (1, 2))
    assert heights[1] - heights[0] >= 128 and widths[1] - widths[0] >= 256
