"""The tokenizer's trainer: it learns, resumes where it stopped, freezes the codes, and writes our format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from echogen_core.checkpoints.keymap_tokenizer import translate_tokenizer
from echogen_core.config import TokenizerConfig
from echogen_core.training.norm import FastGroupNorm
from echogen_core.training.tokenizer import Run, TokenizerRecipe, export, train, write_sheet

CONFIG = TokenizerConfig(bits=8, base_channels=8, channel_multipliers=(1, 2), res_blocks=1, norm_groups=4)
SCALES = ((1, 1), (2, 2), (4, 4))
RECIPE = TokenizerRecipe(minutes=60, steps=30, batch=8, lr=5e-3, warmup=0.1, decoder_phase=0.3)


class Blobs:
    """Pictures 8x8 of one colour above another."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def pictures(self, count: int) -> Tensor:
        colours = torch.rand(count, 3, 2, 1, generator=self.generator)
        return colours.repeat_interleave(4, 2).expand(-1, -1, -1, 8).contiguous()


def test_loss_falls_and_the_run_is_written(tmp_path: Path) -> None:
    run = Run(CONFIG, SCALES, RECIPE, tmp_path)
    heldout = Blobs(1).pictures(16)
    before = run.evaluate(heldout)["psnr"]
    after = train(run, Blobs(0), heldout)
    assert after["psnr"] > before + 1
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
    write_sheet(stored, SCALES, heldout, tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 100


def test_resume_goes_on_where_it_stopped(tmp_path: Path) -> None:
    run = Run(CONFIG, SCALES, RECIPE, tmp_path)
    assert not run.resume()
    source = Blobs(0)
    for _ in range(3):
        run.train_step(source.pictures(8))
    run.save()
    pictures = source.pictures(8)
    again = Run(CONFIG, SCALES, RECIPE, tmp_path)
    assert again.resume() and again.step == 3 and again.elapsed == run.elapsed
    assert again.train_step(pictures) == run.train_step(pictures)
    assert all(
        torch.equal(a, b) for a, b in zip(again.model.parameters(), run.model.parameters(), strict=True)
    )


def test_the_last_phase_leaves_the_codes_alone(tmp_path: Path) -> None:
    run = Run(CONFIG, SCALES, RECIPE, tmp_path)
    run.step = 25
    encoder = [p.clone() for p in run.model.encoder.parameters()]
    decoder = [p.clone() for p in run.model.decoder.parameters()]
    run.train_step(Blobs(0).pictures(8))
    assert all(torch.equal(a, b) for a, b in zip(encoder, run.model.encoder.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(decoder, run.model.decoder.parameters(), strict=True))


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
