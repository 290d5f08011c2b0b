"""Editing pictures, and regions, through the real classes at nano's sizes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from test_execution import SAMPLER, features, picture, run, same_bits  # noqa: F401

EDIT = dict(way="redraw", keep_scales=0, grow=0, feather=4.0, fit="crop", size="auto")
REGION = dict(area="left half", gamma_t=-1.0, gamma_i=-1.0)


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


@pytest.mark.parametrize("way", ["redraw", "place"])
def test_the_picture_changes_inside_the_mask_alone(
    pack: Any,
    models: Any,
    features: Any,
    ground: Tensor,
    right: Tensor,
    way: str,  # noqa: F811
) -> None:
    edit = edited(pack, models, ground, right, way=way)
    bits, done = drawn(pack, models, edit=edit, **features)
    (pasted, changed) = run(pack, "EchoGenPasteBack", image=decoded(pack, models, bits), edit=done)
    assert pasted.shape == ground.shape and changed.shape == right.shape
    moved = (pasted - ground).abs().amax(-1)
    assert float(moved[:, :, :100].max()) == 0, "far from the mask"
    assert float((moved > 0.05).float().mean()) > 0.02, "something was drawn"


def test_nothing_kept_of_the_whole_picture_is_a_plain_picture(
    pack: Any,
    models: Any,
    features: Any,
    ground: Tensor,  # noqa: F811
) -> None:
    plain, none = drawn(pack, models, **features)
    bits, done = drawn(pack, models, edit=edited(pack, models, ground, None), **features)
    assert same_bits(plain, bits) and none is None and done is not None


def test_all_scales_kept_is_the_picture_through_the_tokenizer(
    pack: Any,
    models: Any,
    features: Any,
    ground: Tensor,
    right: Tensor,  # noqa: F811
) -> None:
    bits, _ = drawn(pack, models, edit=edited(pack, models, ground, right, keep_scales=5), **features)
    encoded, fitted = run(
        pack, "EchoGenEncodeBits", image=ground, tokenizer=models.tokenizer, fit="crop", size="auto"
    )
    assert same_bits(bits, encoded) and fitted.shape == (1, 128, 128, 3)


def test_a_region_over_everything_is_a_plain_picture(pack: Any, models: Any, features: Any) -> None:  # noqa: F811
    plain, _ = drawn(pack, models, **features)
    subject = {name: features[name] for name in ("semantic", "content")}
    (regions,) = run(pack, "EchoGenSubjectRegion", **{**REGION, "area": "everywhere"}, **subject)
    whole, _ = drawn(pack, models, text=features["text"], regions=regions)
    assert same_bits(plain, whole)
    (left,) = run(pack, "EchoGenSubjectRegion", **REGION, **subject)
    half, _ = drawn(pack, models, text=features["text"], regions=left)
    assert not same_bits(plain, half)


def test_a_negative_prompt_changes_the_picture(pack: Any, models: Any, features: Any) -> None:  # noqa: F811
    (negative,) = run(pack, "EchoGenEncodeText", text_encoder=models.text_encoder, prompt="in a forest")
    plain, _ = drawn(pack, models, **features)
    steered, _ = drawn(pack, models, negative=negative, **features)
    assert not same_bits(plain, steered)
