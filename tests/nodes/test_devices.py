"""Pictures and masks wherever and however ComfyUI keeps them: on the card (--gpu-only), in half precision.

The card is played by a tensor class, see card_tensors.py.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from card_tensors import CARD, Card
from test_execution import run

SHOWN = dict(background="white", mask_marks="auto", margin=0.08)
WHOLE = dict(
    phrase="", threshold=0.35, pick="best score", when_not_found="built-in cut", soften=1.0, describer="none",
    detector="none", segmenter="none", **SHOWN,
)  # fmt: skip
SEGMENT = dict(soften=0.0, segmenter="none", backend="transformers")
DETECT = dict(
    phrase="ball", threshold=0.3, pick="best score", when_not_found="built-in cut", detector="none",
    backend="transformers",
)  # fmt: skip
BOX = {"x": 20, "y": 10, "width": 24, "height": 30}


@pytest.fixture(scope="module")
def photo() -> torch.Tensor:
    """[1, 48, 64, 3] with values that all types have: dark on a bright ramp, at BOX."""
    ramp = 0.6 + torch.linspace(0, 0.3, 64)[None, None, :, None].expand(1, 48, 64, 3)
    return (ramp * (1 - inside()[..., None])).bfloat16().float()


def inside() -> torch.Tensor:
    mask = torch.zeros(1, 48, 64)
    mask[:, 10:40, 20:44] = 1
    return mask


def outcomes(pack: dict[str, Any], image: torch.Tensor, mask: torch.Tensor) -> list[Any]:
    """Everything that the subject nodes make of a picture and a mask."""
    alpha = torch.cat([image, mask.expand(len(image), -1, -1)[..., None]], dim=-1)
    ways = [
        ("CutOutSubject", dict(image=image, **SHOWN)),
        ("CutOutSubject", dict(image=image, mask=mask, only_largest=True, **SHOWN)),
        ("CutOutSubject", dict(image=alpha, bounding_box=BOX, **SHOWN)),
        ("SubjectSegmentation", dict(image=image, **WHOLE)),
        ("SubjectSegmentation", dict(image=image, mask=mask, bounding_box=BOX, **WHOLE)),
        ("SegmentSubject", dict(image=image, bounding_box=BOX, **SEGMENT)),
        ("DetectSubject", dict(image=alpha, **DETECT)),
        ("DescribeSubject", dict(image=image, phrase="ball", describer="none")),
    ]
    return [result for name, inputs in ways for result in run(pack, f"EchoGen{name}", **inputs)]


@pytest.fixture(scope="module")
def expected(pack: dict[str, Any], photo: torch.Tensor) -> list[Any]:
    """What comes of it as ComfyUI has it by default."""
    with torch.inference_mode():
        return outcomes(pack, photo, inside())


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other) and one.device == other.device and one.dtype == other.dtype
    return bool(one == other)


def test_the_stand_in_is_as_strict_as_a_card(photo: torch.Tensor) -> None:
    with Card():
        there = photo.to(CARD)
        assert (
            there.device == CARD and (there + 1).device == CARD and torch.equal((2 * there).cpu(), 2 * photo)
        )
        assert torch.zeros(2, device=there.device).device == CARD and there.new_zeros(3).device == CARD
        for mistake in (lambda: there.numpy(), lambda: there + photo, lambda: torch.stack([there, photo])):
            with pytest.raises((RuntimeError, TypeError)):
                mistake()


def test_pictures_on_the_card(pack: dict[str, Any], photo: torch.Tensor, expected: list[Any]) -> None:
    with Card():
        found = outcomes(pack, photo.to(CARD), inside().to(CARD))
    assert all(map(same, found, expected)), "the same, on the CPU"


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_pictures_of_other_precision(
    pack: dict[str, Any], photo: torch.Tensor, expected: list[Any], kind: torch.dtype
) -> None:
    assert all(map(same, outcomes(pack, photo.to(kind), inside().to(kind)), expected))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_encoders_take_pictures_of_other_precision(
    pack: dict[str, Any], models: Any, photo: torch.Tensor, kind: torch.dtype
) -> None:
    for name, encoder in (("Semantic", models.semantic_encoder), ("Content", models.content_encoder)):
        of = {f"{name.lower()}_encoder": encoder, "strength": 1.0}
        (expected,) = run(pack, f"EchoGenEncode{name}", **of, image=photo.to(kind).float())
        (found,) = run(pack, f"EchoGenEncode{name}", **of, image=photo.to(kind))
        assert all(map(same, found, expected))


def test_encoders_take_pictures_on_the_card(pack: dict[str, Any], models: Any, photo: torch.Tensor) -> None:
    for name, encoder in (("Semantic", models.semantic_encoder), ("Content", models.content_encoder)):
        of = {f"{name.lower()}_encoder": encoder, "strength": 1.0}
        (expected,) = run(pack, f"EchoGenEncode{name}", **of, image=photo)
        with Card():
            (found,) = run(pack, f"EchoGenEncode{name}", **of, image=photo.to(CARD))
        assert all(map(same, found, expected)), "the encoder of this test computes on the CPU"


def test_results_are_kept_as_comfyui_keeps_them(
    pack: dict[str, Any], photo: torch.Tensor, expected: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import comfy.model_management as mm

    assert all(each.dtype == torch.float32 for each in expected if isinstance(each, torch.Tensor))
    monkeypatch.setattr(mm, "intermediate_dtype", lambda: torch.float16, raising=False)
    monkeypatch.setattr(mm, "intermediate_device", lambda: CARD)
    with Card():
        found = outcomes(pack, photo.to(CARD), inside().to(CARD))
        sample = run(pack, "EchoGenSamplePicture", picture="teddy_bear.png")
    tensors = [each for each in (*found, *sample) if isinstance(each, torch.Tensor)]
    assert all(each.device == CARD and each.dtype == torch.float16 for each in tensors)
    for one, other in zip(found, expected, strict=True):
        assert same(one.cpu(), other.half()) if isinstance(one, torch.Tensor) else one == other
