"""The content encoder's stage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from echogen_core.checkpoints import load_part
from echogen_core.checkpoints.save import save_part
from echogen_core.config import TokenizerConfig
from echogen_core.tokenizer import BitTokenizer
from miniature.training import content
from miniature.training.content import main as train_content


def test_content_latents_learn_pixels_and_place(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "STATISTICS", 16)
    monkeypatch.setattr(content, "HELDOUT", 8)
    config = TokenizerConfig(8, 8, (1, 1), 1, unshuffle=4, norm_groups=8)
    tokenizer = save_part(tmp_path / "tokenizer.safetensors", "tokenizer", BitTokenizer(config), config)
    files = ["--data", str(data), "--tokenizer", str(tokenizer), "--out", str(tmp_path)]
    figures = []
    for minutes in ("0.002", "0.03"):
        assert train_content([*files, "--pictures", "4", "--minutes", minutes]) == 0
        figures.append(json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1]))
    assert 1 <= figures[0]["step"] < figures[1]["step"], "goes on where it stopped"
    assert figures[1]["heldout_psnr"] > figures[0]["heldout_psnr"]
    assert figures[1]["heldout_place"] < figures[0]["heldout_place"]
    encoder = load_part(tmp_path / "content.safetensors", "content")
    latents = encoder.encode(torch.rand(1, 3, 64, 64)).latents_VCHW
    assert latents.shape == (1, 32, 14, 14) and torch.isfinite(latents).all()
    files[-1] = str(tmp_path / "on")
    started = ["--start", str(tmp_path / "content.safetensors"), "--minutes", "0.0001"]
    assert train_content([*files, "--pictures", "4", *started]) == 0
    went_on = load_part(tmp_path / "on" / "content.safetensors", "content")
    away = (went_on.conv_in.weight - encoder.conv_in.weight).abs().max()
    assert away < 0.5 * encoder.conv_in.weight.abs().max(), "a step from where it began"
