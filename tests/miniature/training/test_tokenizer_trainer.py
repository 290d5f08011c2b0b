"""The tokenizer's training loop: it learns, resumes, freezes the codes, and writes our format."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from echogen_core.checkpoints.keymap_tokenizer import translate_tokenizer
from miniature.data.compose import MaskedImages
from miniature.training.tokenizer import write_sheet
from miniature.training.tokenizer_recipe import TokenizerRecipe
from miniature.training.tokenizer_trainer import TokenizerTrainer, export, train

from .two_colours import CONFIG, TwoColours

SCALES = ((1, 1), (2, 2))


RECIPE = TokenizerRecipe(
    minutes=60, steps=30, batch=8, lr=5e-3, warmup=0.1, decoder_phase=0.3, perceptual_weight=0
)


def test_loss_falls_and_the_run_is_written(tmp_path: Path) -> None:
    run = TokenizerTrainer(CONFIG, SCALES, RECIPE, tmp_path)
    heldout = TwoColours(1).draw(16)
    before = run.evaluate(heldout)["psnr"]
    after = train(run, TwoColours(0), heldout)
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
    source = TwoColours(0)
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


def test_the_last_phase_leaves_the_codes_alone(tmp_path: Path) -> None:
    run = TokenizerTrainer(CONFIG, SCALES, RECIPE, tmp_path)
    run.step = 25
    encoder = [p.clone() for p in run.model.encoder.parameters()]
    decoder = [p.clone() for p in run.model.decoder.parameters()]
    run.train_step(TwoColours(0).draw(8))
    assert all(torch.equal(a, b) for a, b in zip(encoder, run.model.encoder.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(decoder, run.model.decoder.parameters(), strict=True))


def test_the_subjects_pixels_count_more(tmp_path: Path) -> None:
    pictures = TwoColours(0).draw(8)
    losses = []
    for weight in (0.0, 8.0):
        run = TokenizerTrainer(CONFIG, SCALES, replace(RECIPE, subject_weight=weight), tmp_path / str(weight))
        losses.append(run.train_step(pictures)["mse"])
    assert losses[0] != losses[1]
    whole = MaskedImages(pictures.images_B3HW, torch.ones_like(pictures.subject_B1HW))
    run = TokenizerTrainer(CONFIG, SCALES, replace(RECIPE, subject_weight=8.0), tmp_path / "whole")
    assert run.train_step(whole)["mse"] == pytest.approx(losses[0], rel=1e-4)
