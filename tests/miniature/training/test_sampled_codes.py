"""Codes as the transformer draws them, kept so that they can be drawn anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from short_nano import short_bundle

from echogen_core.checkpoints import Bundle
from echogen_core.scales import find_schedule
from echogen_core.tokenizer import quantize_multiscale
from miniature.training.sampled_codes import CodePainter, ExpectedCodes, PaintedPictures, paint_pictures

from ..small_packages import small_sizes

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return short_bundle()


@pytest.fixture(scope="module")
def painted(data: Path, bundle: Bundle) -> ExpectedCodes:
    return CodePainter(bundle, data, "train", 3, CPU).paint(6)


def drawn(painted: ExpectedCodes, bundle: Bundle, seed: int = 0) -> torch.Tensor:
    return painted.drawn(bundle.preset.top_p, torch.Generator().manual_seed(seed))


def test_a_seed_gives_the_same(data: Path, bundle: Bundle, painted: ExpectedCodes) -> None:
    again = CodePainter(bundle, data, "train", 3, CPU).paint(6)
    assert all(torch.equal(a, b) for a, b in zip(painted, again, strict=True))
    assert torch.equal(drawn(painted, bundle), drawn(again, bundle))
    assert not torch.equal(drawn(painted, bundle), drawn(painted, bundle, seed=1)), "drawn anew"


def test_drawn_codes_are_near_the_encoders(bundle: Bundle, painted: ExpectedCodes) -> None:
    pictures_N3HW = painted.pictures_N3HW / 255
    scales = find_schedule("nano").scales
    with torch.inference_mode():
        true_NDhw = quantize_multiscale(bundle.tokenizer.latent(pictures_N3HW), scales).codes_BDHW
    others = (painted.true_NDhw.float() - true_NDhw).abs() > 1e-2
    assert float(others.float().mean()) < 0.02, "the picture's 8 bits a colour turn a bit here and there"
    codes_NDhw = drawn(painted, bundle)
    away = (codes_NDhw - true_NDhw).square().mean()
    of_another = (codes_NDhw.roll(1, 0) - true_NDhw).square().mean()
    assert 0 < away < 0.7 * of_another
    decoded_N3HW = bundle.tokenizer.decode(codes_NDhw)
    shown_N3HW = torch.nn.functional.interpolate(decoded_N3HW, pictures_N3HW.shape[-2:], mode="area")
    assert (shown_N3HW - pictures_N3HW).abs().mean() < 0.2


def test_a_folder_keeps_them_and_adds_what_it_lacks(data: Path, bundle: Bundle, tmp_path: Path) -> None:
    with small_sizes():
        first = paint_pictures(bundle, data, "train", 4, tmp_path, 5, CPU)
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        more = paint_pictures(bundle, data, "train", 8, tmp_path, 5, CPU)
    assert len(first) == 4 and len(more) == 8
    assert all((tmp_path / name).read_bytes() == content for name, content in before.items())
    whole, some = more.first(8), more.some(3, np.random.default_rng(0))
    assert all(torch.equal(a[:4], b) for a, b in zip(whole, first.first(9), strict=True))
    for row in range(3):
        same = [all(torch.equal(a[row], b[i]) for a, b in zip(some, whole, strict=True)) for i in range(8)]
        assert sum(same) >= 1, "each is one of the folder's, whole"


def test_a_folder_without_pictures_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="No painted pictures"):
        PaintedPictures(tmp_path)
