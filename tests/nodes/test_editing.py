"""Editing pictures, and regions, through the real classes at nano's sizes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_execution import SAMPLER, run, same_bits
from test_execution import features as features  # fixtures
from test_execution import picture as picture
from test_sweep import sweep
from torch import Tensor, nn

import comfy_pack
from echogen_core.config import PRESETS, Preset, TokenizerConfig
from echogen_core.model import EchoGenTransformer
from echogen_core.subject.overlay import OTHER
from echogen_core.subject.regions import extent
from echogen_core.tokenizer import BitTokenizer

LARGE = "echogen-2b"
BOTH = pytest.mark.parametrize("models", ["nano", LARGE], indirect=True)
EDIT = dict(way="redraw", keep_scales=0, grow=0, feather=4.0, fit="crop", size="auto")
REGION = dict(area="left half", gamma_t=-1.0, gamma_i=-1.0)


def small_2b() -> Preset:
    """EchoGen-2B with fewer channels and blocks, behind nano's encoders, at the smallest of its sizes."""
    preset = PRESETS[LARGE]
    features = dict(text_width=128, semantic_width=192, semantic_length=65)
    features |= dict(content_width=32, content_length=196)
    return replace(
        preset,
        transformer=replace(preset.transformer, depth=2, width=64, heads=2, **features),
        tokenizer=TokenizerConfig(preset.tokenizer.bits, base_channels=8, norm_groups=4),
        budget="0.06M",
    )


@pytest.fixture(scope="module")
def models(request: pytest.FixtureRequest, models: Any) -> Any:
    """Of nano's sizes, or with EchoGen-2B's schedules, bits and prompt length, as the test asks."""
    if getattr(request, "param", "nano") == "nano":
        return models
    runtime, preset = comfy_pack.pack_module("nodes.runtime"), small_2b()
    layers = runtime.operations()
    transformer = EchoGenTransformer(preset.transformer, layers)
    tokenizer = BitTokenizer(preset.tokenizer, layers)
    generator = torch.Generator().manual_seed(0)
    for parameter in (*transformer.parameters(), *tokenizer.parameters()):
        nn.init.normal_(parameter, std=0.08, generator=generator)
    return replace(
        models,
        model=runtime.manage_model(transformer, preset),
        tokenizer=runtime.manage(tokenizer, preset),
    )


@pytest.fixture(scope="module")
def ground() -> Tensor:
    """A landscape of colours, 200×150 px."""
    down, across = torch.linspace(0, 1, 150)[:, None], torch.linspace(0, 1, 200)[None]
    bands = [down.expand(150, 200), across.expand(150, 200), (0.5 + 0.5 * torch.sin(9 * down * across))]
    return torch.stack(bands, -1)[None]


@pytest.fixture(scope="module")
def right() -> Tensor:
    mask_1HW = torch.zeros(1, 150, 200)
    mask_1HW[:, 30:120, 110:190] = 1
    return mask_1HW


def edited(pack: Any, models: Any, image: Tensor, mask: Tensor | None, **options: Any) -> Any:
    settings = {**EDIT, **options}
    return run(pack, "EchoGenEditPicture", image=image, tokenizer=models.tokenizer, mask=mask, **settings)[0]


def drawn(pack: Any, models: Any, **inputs: Any) -> Any:
    return run(pack, "EchoGenSampler", model=models.model, **{**SAMPLER, **inputs})


def decoded(pack: Any, models: Any, bits: Any) -> Tensor:
    return run(pack, "EchoGenDecodeBits", bits=bits, tokenizer=models.tokenizer)[0]


@BOTH
@pytest.mark.parametrize("way", ["redraw", "place"])
def test_the_picture_changes_inside_the_mask_alone(
    pack: Any,
    models: Any,
    features: Any,
    ground: Tensor,
    right: Tensor,
    way: str,
) -> None:
    edit = edited(pack, models, ground, right, way=way)
    bits, done = drawn(pack, models, edit=edit, **features)
    (pasted, changed) = run(pack, "EchoGenPasteBack", image=decoded(pack, models, bits), edit=done)
    assert pasted.shape == ground.shape and changed.shape == right.shape
    moved = (pasted - ground).abs().amax(-1)
    assert float(moved[:, :, :100].max()) == 0, "far from the mask"
    assert float((moved > 0.05).float().mean()) > 0.02, "something was drawn"
    again, same = drawn(pack, models, edit=done, **features)
    assert same_bits(bits, again) and same is done, "a second sampler draws in the same place"


@pytest.mark.parametrize(
    ("options", "columns"),
    [
        (dict(fit="crop"), (25, 175)),
        (dict(fit="around the mask"), (65, 200)),
        (dict(fit="pad"), None),
        (dict(way="place", fit="around the mask"), None),  # not known before the subject is drawn
    ],
)
def test_a_frame_shows_what_the_model_sees(
    pack: Any, models: Any, ground: Tensor, right: Tensor, options: dict[str, Any], columns: Any
) -> None:
    import folder_paths

    node = pack["EchoGenEditPicture"].PREPARE_CLASS_CLONE({})
    inputs = dict(image=ground, tokenizer=models.tokenizer, mask=right, **{**EDIT, **options})
    (written,) = node.EXECUTE_NORMALIZED(**inputs).ui["images"]
    with Image.open(Path(folder_paths.get_temp_directory()) / written["filename"]) as preview:
        pixels = torch.from_numpy(np.array(preview.convert("RGB")))
    framed = extent((pixels == torch.tensor(OTHER)).all(-1))
    if framed is None or columns is None:
        assert framed is columns
    else:
        scale = pixels.shape[1] / ground.shape[2]
        assert (framed[0] / scale, framed[2] / scale) == pytest.approx(columns, abs=1)


@BOTH
def test_nothing_kept_of_the_whole_picture_is_a_plain_picture(
    pack: Any,
    models: Any,
    features: Any,
    ground: Tensor,
) -> None:
    edit = edited(pack, models, ground, None)
    plain, none = drawn(pack, models, aspect_ratio=edit.edit.schedule.aspect_ratio, **features)
    bits, done = drawn(pack, models, edit=edit, **features)
    assert same_bits(plain, bits) and none is None and done is not None


@BOTH
def test_all_scales_kept_is_the_picture_through_the_tokenizer(
    pack: Any,
    models: Any,
    features: Any,
    ground: Tensor,
    right: Tensor,
) -> None:
    scales = len(edited(pack, models, ground, right).edit.schedule.scales)
    bits, _ = drawn(pack, models, edit=edited(pack, models, ground, right, keep_scales=scales), **features)
    encoded, fitted = run(
        pack, "EchoGenEncodeBits", image=ground, tokenizer=models.tokenizer, fit="crop", size="auto"
    )
    assert same_bits(bits, encoded) and fitted.shape == decoded(pack, models, bits).shape


@BOTH
def test_a_region_over_everything_is_a_plain_picture(pack: Any, models: Any, features: Any) -> None:
    plain, _ = drawn(pack, models, **features)
    subject = {name: features[name] for name in ("semantic", "content")}
    (regions,) = run(pack, "EchoGenSubjectRegion", **{**REGION, "area": "everywhere"}, **subject)
    whole, _ = drawn(pack, models, text=features["text"], regions=regions)
    assert same_bits(plain, whole)
    (left,) = run(pack, "EchoGenSubjectRegion", **REGION, **subject)
    half, _ = drawn(pack, models, text=features["text"], regions=left)
    (two,) = run(pack, "EchoGenSubjectRegion", **{**REGION, "area": "right half"}, previous=left, **subject)
    both, _ = drawn(pack, models, text=features["text"], regions=two)
    assert not same_bits(plain, half) and not same_bits(half, both) and both.complete


@BOTH
def test_a_negative_prompt_changes_the_picture(pack: Any, models: Any, features: Any) -> None:
    (negative,) = run(pack, "EchoGenEncodeText", text_encoder=models.text_encoder, prompt="in a forest")
    plain, _ = drawn(pack, models, **features)
    steered, _ = drawn(pack, models, negative=negative, **features)
    assert not same_bits(plain, steered)


def drawn_and_pasted(pack: Any, models: Any, edit: Any, features: Any, **inputs: Any) -> tuple[Any, Tensor]:
    bits, done = drawn(pack, models, edit=edit, **features, **inputs)
    return bits, run(pack, "EchoGenPasteBack", image=decoded(pack, models, bits), edit=done)[0]


@pytest.mark.parametrize(("way", "batch"), [("redraw", 3), ("place", 2)])
def test_a_batch_is_its_single_pictures(
    pack: Any, models: Any, features: Any, ground: Tensor, right: Tensor, way: str, batch: int
) -> None:
    """Of one picture for all, and of a picture and a mask for each."""
    several = torch.cat([ground, 1 - ground, ground.flip(1)])[:batch]
    masks = torch.cat([right, right.flip(2), torch.ones_like(right)])[:batch]
    for images, marked in ((ground, right), (several, masks))[: 2 if way == "redraw" else 1]:
        edit = edited(pack, models, images, marked, way=way)
        bits, pasted = drawn_and_pasted(pack, models, edit, features, batch=batch)
        last = slice(-1, None)
        edit = edited(pack, models, images[last], marked[last], way=way)
        alone, back = drawn_and_pasted(pack, models, edit, features, seed=SAMPLER["seed"] + batch - 1)
        assert all(torch.equal(a[last], b) for a, b in zip(bits.scales, alone.scales, strict=True))
        assert torch.equal(pasted[last], back)


@pytest.mark.parametrize("way", ["redraw", "place"])
def test_a_sweep_of_an_edit_has_the_samplers_pictures(
    pack: Any,
    models: Any,
    features: Any,
    ground: Tensor,
    right: Tensor,
    way: str,
) -> None:
    (left,) = run(pack, "EchoGenSubjectRegion", **REGION, text=features["text"])
    more = dict(edit=edited(pack, models, ground, right, way=way), negative=features["text"], **features)
    more |= {"regions": left} if way == "redraw" else {}
    cells = {"redraw": (3.0, 1.0), "place": (3.0,)}[way]
    _, bits = sweep(pack, models, gamma_t="2", gamma_i=str(cells)[1:-1], seed=9, **more).result
    for cell, gamma_i in zip(bits, cells, strict=True):
        single, _ = drawn(pack, models, gamma_t=2.0, gamma_i=gamma_i, seed=9, **more)
        assert same_bits(cell, single)


def test_place_can_be_cancelled_in_each_pass(
    pack: Any,
    models: Any,
    features: Any,
    ground: Tensor,
    right: Tensor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its progress fills once for each pass, and pictures are shown of the second alone."""
    import comfy.model_management as mm
    import comfy.utils

    edit = edited(pack, models, ground, right, way="place")
    seen: list[tuple[int, int, bool]] = []
    cancel_at = 0

    def hook(value: int, total: int, preview: Any, node_id: Any = None) -> None:
        seen.append((value, total, preview is not None))
        if len(seen) == cancel_at:
            mm.interrupt_current_processing()

    for name in ("PROGRESS_THROTTLE_MIN_INTERVAL", "PROGRESS_THROTTLE_MIN_PERCENT"):
        monkeypatch.setattr(
            comfy.utils, name, 0, raising=False
        )  # newer versions skip updates in quick succession
    comfy.utils.set_progress_bar_global_hook(hook)
    try:
        for cancel_at in (2, 7):
            seen.clear()
            with pytest.raises(mm.InterruptProcessingException):
                drawn(pack, models, edit=edit, tokenizer=models.tokenizer, **features)
            assert len(seen) == cancel_at
        cancel_at = 0
        seen.clear()
        drawn(pack, models, edit=edit, tokenizer=models.tokenizer, **features)
        assert seen == [(scale, 5, shown) for shown in (False, True) for scale in range(1, 6)]
    finally:
        comfy.utils.set_progress_bar_global_hook(None)
        mm.interrupt_current_processing(False)


def test_a_regions_own_gamma(pack: Any, models: Any, features: Any) -> None:
    subject = {name: features[name] for name in ("semantic", "content")}
    sampled = []
    for gammas in (dict(gamma_t=-1.0, gamma_i=-0.05), dict(gamma_t=2.0, gamma_i=3.0), dict(gamma_i=1.0)):
        (region,) = run(pack, "EchoGenSubjectRegion", **{**REGION, **gammas}, **subject)
        sampled.append(drawn(pack, models, text=features["text"], regions=region)[0])
    assert same_bits(sampled[0], sampled[1]) and not same_bits(sampled[0], sampled[2])
