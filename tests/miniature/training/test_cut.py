"""Training of the built-in cut: its pictures and their truth, what the network sees, and that it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from echogen_core.checkpoints import segmentation_models
from echogen_core.checkpoints.segmentation_models import load_salient
from echogen_core.pictures import IMAGENET_MEAN, IMAGENET_STD
from miniature.data import composites
from miniature.data.dataset import ImageTable
from miniature.training import cut
from miniature.training.cut import TEXTURES, TrainingComposites, cut_loss, network_input, objective
from miniature.training.encoder_trainer import EncoderTrainer, OptimiserSettings

RED = torch.tensor([0.8, 0.1, 0.1, 1.0])
LOOKS = ((64, 1, 0), (64, 0, 1))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of a third of their sides."""
    monkeypatch.setattr(cut, "_SCALE", cut._SCALE / 3)


@pytest.fixture
def source() -> TrainingComposites:
    """A red square and a blue bar on dim backgrounds."""
    square_4HW = RED[:, None, None].expand(4, 60, 60)
    bar_4HW = RED[[2, 1, 0, 3]][:, None, None].expand(4, 20, 90)
    backgrounds = [np.full((16, 32, 3), shade, np.float32) for shade in (0.3, 0.4)]
    icon_1HW4 = np.zeros((1, 1, 32, 32, 4), np.uint8)
    icon_1HW4[..., 8:24, 8:24, :] = 255
    return TrainingComposites(
        [("square", square_4HW), ("bar", bar_4HW)],
        backgrounds,
        np.random.default_rng(0),
        ImageTable([icon_1HW4], torch.device("cpu")),
        [torch.rand(1, 40, 50, generator=torch.Generator().manual_seed(0))],
    )


def test_a_composite_shows_its_subject_where_the_truth_says(source: TrainingComposites) -> None:
    plain = composites.CompositeGenerator([source.sprites[0]], source.backgrounds, source.rng)
    made = plain.compose((120, 160), [0.25], truncated=False, grain=0.0)
    assert made.names == ("square",) and made.image_3HW.shape == (3, 120, 160)
    truth_HW = made.truths_NHW[0]
    assert float(truth_HW.float().mean()) == pytest.approx(0.25, rel=0.05)
    red_HW = made.image_3HW[0] - made.image_3HW[2] > 0.3
    assert torch.equal(red_HW, truth_HW)


def test_pictures_are_of_many_kinds_and_their_truths_never_empty(source: TrainingComposites) -> None:
    drawn = [source.draw() for _ in range(60)]
    assert {len(made.names) for made in drawn} == {1, 2}
    assert {name for made in drawn for name in made.names} == {"square", "bar", "icon"}
    assert {made.background for made in drawn} == {-1, 0, 1}, "plain and rough ones, and every panorama"
    for made in drawn:
        assert made.image_3HW.shape[1:] == made.alphas_NHW.shape[1:]
        assert float(made.image_3HW.min()) >= 0 and float(made.image_3HW.max()) <= 1
        assert (made.alphas_NHW > 0.5).flatten(1).any(1).all()
        assert float(made.alphas_NHW.sum(0).max()) <= 1.001, "what stands behind is not counted twice"


def test_the_same_numbers_draw_the_same_pictures(source: TrainingComposites) -> None:
    first, second = (_seeded(source, 5).draw() for _ in range(2))
    assert torch.equal(first.image_3HW, second.image_3HW) and first.names == second.names
    assert not torch.equal(first.image_3HW, _seeded(source, 6).draw().image_3HW)


def _seeded(source: TrainingComposites, seed: int) -> TrainingComposites:
    source.rng = np.random.default_rng(seed)
    return source


def test_from_near_the_subject_fills_the_square(source: TrainingComposites) -> None:
    made = source.compose((200, 300), [0.04], truncated=False, grain=0.0)
    whole_3SS, seen_1SS = network_input(made, 64, False, source.rng)
    near_3SS, large_1SS = network_input(made, 64, True, source.rng)
    assert whole_3SS.shape == near_3SS.shape == (3, 64, 64) and large_1SS.shape == (1, 64, 64)
    assert float(large_1SS.mean()) > 3 * float(seen_1SS.mean())
    mean_311, std_311 = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    assert float((near_3SS * std_311 + mean_311).max()) == pytest.approx(1, abs=1e-4), "as the cut gives it"


def test_the_loss_of_a_right_answer_is_nothing() -> None:
    alpha_B1SS = torch.zeros(2, 1, 8, 8)
    alpha_B1SS[:, :, 2:6, 2:6] = 1
    right, overlap = cut_loss((alpha_B1SS - 0.5) * 40, alpha_B1SS)
    assert float(right) == pytest.approx(0, abs=1e-4) and float(overlap) == pytest.approx(1, abs=1e-4)
    blind, half = cut_loss(torch.zeros(2, 1, 8, 8), alpha_B1SS)
    assert float(half) == pytest.approx(8 / (16 + 32 - 8))
    assert float(blind) == pytest.approx(np.log(2) + 0.5 * (1 - 0.2))


def test_it_learns_and_goes_on_where_it_stopped(
    source: TrainingComposites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cut, "_PASSES", LOOKS)
    net = load_salient().net.requires_grad_(True)
    with torch.no_grad():
        net.merge.bias += 2  # sees too much everywhere
    run = EncoderTrainer(tmp_path, net, OptimiserSettings(1e-2, 0.0, warmup=1e-9), 60, torch.device("cpu"))
    losses = [float(run._one_step(lambda _: objective(net, source, 1, 0))["loss_64"]) for _ in range(6)]
    assert losses[-1] < 0.7 * losses[0]
    run.step = 6
    run._save()
    again = EncoderTrainer(
        tmp_path, load_salient().net, OptimiserSettings(1e-2, 0.0), 60, torch.device("cpu")
    )
    assert again.step == 6
    assert torch.equal(again.model.merge.bias, net.merge.bias)


def test_the_command_writes_weights_that_the_cut_reads(
    source: TrainingComposites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renders and panoramas need packages: they alone are stood in for."""
    monkeypatch.setattr(composites, "render_sprites", lambda *_: source.sprites)
    monkeypatch.setattr(composites, "read_backgrounds", lambda *_: source.backgrounds)
    monkeypatch.setattr(composites, "split_subjects", lambda *_: [])
    monkeypatch.setattr(cut, "_PASSES", LOOKS)
    (tmp_path / "icons").mkdir()
    np.save(tmp_path / "icons" / "train_views.npy", np.full((1, 1, 16, 16, 4), 255, np.uint8))
    for name in TEXTURES:
        Image.new("L", (32, 32), 90).save(tmp_path / f"{name}.png")
    start = Path(__file__).resolve().parents[2] / "golden" / "u2netp.safetensors"
    arguments: dict[str, Any] = {"start": start, "npm": tmp_path, "icons": tmp_path, "textures": tmp_path}
    words = [word for name, path in arguments.items() for word in (f"--{name}", str(path))]
    assert cut.main([*words, "--out", str(tmp_path / "run"), "--minutes", "0.01"]) == 0
    assert "brick, grass, gravel" in (tmp_path / "run" / "ATTRIBUTION.md").read_text("utf-8")
    monkeypatch.setattr(segmentation_models, "U2NETP", tmp_path / "run" / cut.WEIGHTS)
    trained, published = load_salient().state_dict(), load_file(start)
    for name, before in published.items():  # halves, and a step or two
        torch.testing.assert_close(trained[name].float(), before, rtol=2e-3, atol=5e-3)
    assert any(
        not torch.equal(trained[name].float(), before.half().float()) for name, before in published.items()
    )


def test_missing_textures_say_where_they_come_from(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="scikit-image"):
        cut.read_textures(tmp_path)
