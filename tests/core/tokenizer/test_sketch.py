"""Sketches of codes, learnt from pictures."""

from __future__ import annotations

import torch
from PIL import Image
from torch.nn import functional as F

from echogen_core.checkpoints.bundle import ASSETS
from echogen_core.checkpoints.load import load_tokenizer
from echogen_core.pictures import cover_crop, from_pil
from echogen_core.scales import find_schedule
from echogen_core.subject.samples import GROUNDS
from echogen_core.tokenizer import Sketcher


def test_a_linear_decoder_is_learnt_from_one_picture() -> None:
    generator = torch.Generator().manual_seed(0)
    shown, other = torch.randn(2, 1, 4, 40, 30, generator=generator).unbind()
    weight = torch.randn(12, 4, 1, 1, generator=generator) / 40

    def decode(codes_BDHW: torch.Tensor) -> torch.Tensor:
        return F.pixel_shuffle(F.conv2d(codes_BDHW, weight), 2).add(0.5).clamp(0, 1)

    sketcher = Sketcher()
    sketcher.learn(shown, F.interpolate(decode(shown), scale_factor=4.0))
    torch.testing.assert_close(sketcher.draw(other), decode(other), atol=0.02, rtol=0)


def test_sketches_look_like_pictures_and_get_better() -> None:
    nano = load_tokenizer(ASSETS / "nano" / "tokenizer.safetensors").eval()
    sketcher = Sketcher()

    def encoded(name: str) -> tuple[torch.Tensor, torch.Tensor]:
        photograph = cover_crop(Image.open(GROUNDS / name).convert("RGB"), (128, 128))
        picture_13hw = from_pil(photograph)[None]
        return nano.encode(picture_13hw, find_schedule("nano").scales).quantized_BDHW, picture_13hw

    def unlike(codes_BDHW: torch.Tensor, picture_13hw: torch.Tensor) -> float:
        """1: as unlike the picture as its mean colour."""
        small_13hw = F.interpolate(picture_13hw, (32, 32), mode="area")
        wrong = (sketcher.draw(codes_BDHW) - small_13hw).square().mean()
        return (wrong / small_13hw.var((2, 3)).mean()).item()

    meadow, venice = encoded("mountain_meadow.webp"), encoded("cup_cake_in_venice.webp")
    sketcher.learn(*meadow)
    before = unlike(*venice)
    sketcher.learn(*venice)
    assert unlike(*venice) < 0.1 < before < 0.5


def test_what_is_no_number_teaches_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    codes_BDHW = torch.randn(1, 4, 20, 20, generator=generator)
    pictures_B3hw = torch.rand(1, 3, 80, 80, generator=generator)
    nan = float("nan")
    sketcher = Sketcher()
    sketcher.learn(codes_BDHW, torch.full_like(pictures_B3hw, nan))
    assert bool((sketcher.draw(codes_BDHW) == 0.5).all()), "it has learnt from nothing"
    sketcher.learn(codes_BDHW, pictures_B3hw)
    before = sketcher.draw(codes_BDHW)
    for spoilt in (nan, float("inf")):
        sketcher.learn(codes_BDHW, torch.full_like(pictures_B3hw, spoilt))
        sketcher.learn(torch.full_like(codes_BDHW, spoilt), pictures_B3hw)
    assert torch.equal(sketcher.draw(codes_BDHW), before)
    pictures_B3hw[:, :, :40] = nan  # the upper half alone
    sketcher.learn(codes_BDHW, pictures_B3hw)
    after = sketcher.draw(codes_BDHW)
    assert bool(after.isfinite().all()) and not torch.equal(after, before)
