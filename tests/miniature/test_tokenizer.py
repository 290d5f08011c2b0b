"""The tokenizer's trainer: it learns, resumes where it stopped, freezes the codes, and writes our format."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from echogen_core.checkpoints.keymap_tokenizer import translate_tokenizer
from echogen_core.config import TokenizerConfig
from echogen_core.tokenizer import BitTokenizer
from miniature.data.compose import MaskedImages
from miniature.training.group_norm import FastGroupNorm
from miniature.training.optimisers import ConvKernel
from miniature.training.perceptual import Perceptual
from miniature.training.pixel_unshuffle import enlarge_unshuffle
from miniature.training.tokenizer import write_sheet
from miniature.training.tokenizer_recipe import TokenizerRecipe
from miniature.training.tokenizer_trainer import TokenizerTrainer, export, train

CONFIG = TokenizerConfig(
    bits=8, base_channels=8, channel_multipliers=(1, 2), res_blocks=1, unshuffle=2, norm_groups=4
)
SCALES = ((1, 1), (2, 2))
RECIPE = TokenizerRecipe(
    minutes=60, steps=30, batch=8, lr=5e-3, warmup=0.1, decoder_phase=0.3, perceptual_weight=0
)


class Blobs:
    """Pictures 8x8 of one colour above another."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, count: int) -> MaskedImages:
        colours = torch.rand(count, 3, 2, 1, generator=self.generator)
        images_B3HW = colours.repeat_interleave(4, 2).expand(-1, -1, -1, 8).contiguous()
        subject_B1HW = torch.zeros(count, 1, 8, 8)
        subject_B1HW[..., :4, :] = 1
        return MaskedImages(images_B3HW, subject_B1HW)


def test_loss_falls_and_the_run_is_written(tmp_path: Path) -> None:
    run = TokenizerTrainer(CONFIG, SCALES, RECIPE, tmp_path)
    heldout = Blobs(1).draw(16)
    before = run.evaluate(heldout)["psnr"]
    after = train(run, Blobs(0), heldout)
    assert after["psnr"] > before + 1
    assert after["subject_psnr"] > before
    assert 0 <= after["bit_entropy"] <= 1
    assert run.step == 30 and run.frozen
    last = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert last["final"] and last["psnr"] == after["psnr"]

    stored = export(run, tmp_path / "tokenizer.safetensors")
    with safe_open(tmp_path / "tokenizer.safetensors", "pt") as file:
        assert file.metadata()["kind"] == "tokenizer"
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    state = translate_tokenizer(tensors, CONFIG)
    assert all(torch.equal(state[name].float(), tensor) for name, tensor in stored.state_dict().items())
    write_sheet(stored, SCALES, heldout.images_B3HW, tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 100


def test_resume_goes_on_where_it_stopped(tmp_path: Path) -> None:
    run = TokenizerTrainer(CONFIG, SCALES, RECIPE, tmp_path)
    assert not run.resume()
    source = Blobs(0)
    for _ in range(3):
        run.train_step(source.draw(8))
    run.save()
    pictures = source.draw(8)
    again = TokenizerTrainer(CONFIG, SCALES, RECIPE, tmp_path)
    assert again.resume() and again.step == 3 and again.elapsed == run.elapsed
    assert again.train_step(pictures) == run.train_step(pictures)
    assert all(
        torch.equal(a, b) for a, b in zip(again.model.parameters(), run.model.parameters(), strict=True)
    )


def test_a_larger_fold_starts_as_the_old_picture_enlarged() -> None:
    torch.manual_seed(0)
    old, config = BitTokenizer(CONFIG).eval(), replace(CONFIG, unshuffle=6)
    new = BitTokenizer(config).eval()
    new.load_state_dict(enlarge_unshuffle(old, config))

    def enlarged(images_B3HW: Tensor) -> Tensor:
        return images_B3HW.repeat_interleave(3, 2).repeat_interleave(3, 3)

    images_B3HW = Blobs(2).draw(2).images_B3HW
    with torch.no_grad():
        latent_BDHW = old.latent(images_B3HW)
        torch.testing.assert_close(new.latent(enlarged(images_B3HW)), latent_BDHW)
        picture_B3HW = enlarged(old.reconstruct(latent_BDHW))
        torch.testing.assert_close(new.reconstruct(latent_BDHW), picture_B3HW)
    for other in (replace(CONFIG, unshuffle=3), replace(config, bits=9), replace(CONFIG, unshuffle=1)):
        with pytest.raises(ValueError, match="smaller pixel-unshuffle factor"):
            enlarge_unshuffle(old, other)


def test_the_last_phase_leaves_the_codes_alone(tmp_path: Path) -> None:
    run = TokenizerTrainer(CONFIG, SCALES, RECIPE, tmp_path)
    run.step = 25
    encoder = [p.clone() for p in run.model.encoder.parameters()]
    decoder = [p.clone() for p in run.model.decoder.parameters()]
    run.train_step(Blobs(0).draw(8))
    assert all(torch.equal(a, b) for a, b in zip(encoder, run.model.encoder.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(decoder, run.model.decoder.parameters(), strict=True))


def test_a_kernel_and_its_matrix_are_one_memory() -> None:
    kernel = nn.Parameter(torch.randn(4, 3, 3, 3).to(memory_format=torch.channels_last))
    pair = ConvKernel.of(kernel)
    with torch.no_grad():
        pair.matrix[1, 5] = 7.0
    assert (kernel[1] == 7.0).sum() == 1
    kernel.grad = torch.arange(108.0).view(4, 3, 3, 3)
    pair.take_gradient()
    assert kernel.grad is None
    assert pair.matrix.grad is not None
    assert torch.equal(pair.matrix.grad[:, 0], torch.arange(4) * 27.0)
    assert torch.equal(pair.matrix.grad[0, :3], torch.tensor([0.0, 9.0, 18.0]))


def test_the_subjects_pixels_count_more(tmp_path: Path) -> None:
    pictures = Blobs(0).draw(8)
    losses = []
    for weight in (0.0, 8.0):
        run = TokenizerTrainer(CONFIG, SCALES, replace(RECIPE, subject_weight=weight), tmp_path / str(weight))
        losses.append(run.train_step(pictures)["mse"])
    assert losses[0] != losses[1]
    whole = MaskedImages(pictures.images_B3HW, torch.ones_like(pictures.subject_B1HW))
    run = TokenizerTrainer(CONFIG, SCALES, replace(RECIPE, subject_weight=8.0), tmp_path / "whole")
    assert run.train_step(whole)["mse"] == pytest.approx(losses[0], rel=1e-4)


def test_the_perceptual_distance_is_zero_for_the_same_and_has_a_gradient() -> None:
    torch.manual_seed(0)
    layers = nn.ModuleList((nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1), nn.Conv2d(8, 8, 1)))
    stem, *blocks = layers.requires_grad_(False)
    looks = Perceptual(stem, blocks, (0,))
    pictures = Blobs(0).draw(4).images_B3HW
    assert float(looks.distance(pictures, pictures)) == 0
    leaf = pictures.clone().requires_grad_()
    distance = looks.distance(leaf, pictures.flip(2))
    assert 0 < float(distance.detach()) < 4
    (gradient,) = torch.autograd.grad(distance, [leaf])
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize(("side", "seen"), [(8, 128), (64, 128), (128, 128), (192, 192)])
def test_small_pictures_are_enlarged_for_the_perceptual_distance(side: int, seen: int) -> None:
    stem = nn.Conv2d(3, 4, 3)
    shapes = []
    stem.register_forward_pre_hook(lambda _, inputs: shapes.append(inputs[0].shape[-2:]))
    Perceptual(stem, [nn.Conv2d(4, 4, 1)], (0,)).distance(*torch.rand(2, 1, 3, side, side))
    assert shapes == [(seen, seen)] * 2


@pytest.mark.parametrize("groups", [1, 4, 8])
def test_fast_group_norm_is_group_norm(groups: int) -> None:
    plain, fast = nn.GroupNorm(groups, 8, eps=1e-6), FastGroupNorm(groups, 8, eps=1e-6)
    x = torch.randn(3, 8, 5, 7, generator=torch.Generator().manual_seed(0)) * 2 + 1
    slope = torch.randn(3, 8, 5, 7, generator=torch.Generator().manual_seed(1))
    gradients = []
    for norm in (plain, fast):
        nn.init.constant_(norm.weight, 0.7)
        leaf = x.clone().requires_grad_()
        y = norm(leaf)
        torch.testing.assert_close(y, plain(x))
        gradients.append(torch.autograd.grad((y * slope).sum(), [leaf, norm.weight, norm.bias]))
    for expected, got in zip(*gradients, strict=True):
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
