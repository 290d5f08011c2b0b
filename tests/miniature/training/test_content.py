"""The content encoder's stage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from echogen_core.checkpoints import load_part
from echogen_core.checkpoints.save import save_part
from echogen_core.config import TokenizerConfig
from echogen_core.encoders import ContentEncoder
from echogen_core.encoders.sizes import find_encoders
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


def test_kept_heads_explain_the_encoder_they_are_fitted_to_and_are_not_trained(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an untrained encoder: the heads' loss falls, its own weights stay."""
    monkeypatch.setattr(content, "STATISTICS", 8)
    config = TokenizerConfig(8, 8, (1, 1), 1, unshuffle=4, norm_groups=8)
    recipe = content.ContentRecipe(photographic=0.5)
    model = content.ContentWithHeads(BitTokenizer(config), find_encoders("nano").content, recipe)
    source = content.BatchSource(data, BitTokenizer(config), 112, recipe, torch.device("cpu"))
    assert (source.mix.textured, source.mix.relit) == (0.5, 0.5)
    batch = source.draw(source.train, 8, recipe.seed)
    weights = {name: tensor.clone() for name, tensor in model.encoder.state_dict().items()}
    before = float(model(batch).total.detach())
    content.keep_meaning(model, source)
    assert float(model(batch).total.detach()) < 0.5 * before
    changed = [n for n, t in model.encoder.state_dict().items() if not torch.equal(t, weights[n])]
    assert not changed
    model(batch).total.backward()
    assert all(parameter.grad is None for parameter in model.heads.parameters())
    assert any(parameter.grad is not None for parameter in model.encoder.parameters())


def test_keep_trains_the_encoder_alone_and_needs_a_start(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STATISTICS", "HELDOUT"):
        monkeypatch.setattr(content, name, 8)
    config = TokenizerConfig(8, 8, (1, 1), 1, unshuffle=4, norm_groups=8)
    tokenizer = save_part(tmp_path / "tokenizer.safetensors", "tokenizer", BitTokenizer(config), config)
    encoder = ContentEncoder(find_encoders("nano").content)
    start = save_part(tmp_path / "content.safetensors", "content", encoder, encoder.config)
    files = ["--data", str(data), "--tokenizer", str(tokenizer), "--out", str(tmp_path / "kept"), "--keep"]
    with pytest.raises(ValueError, match="--keep has no effect without --start"):
        train_content(files)
    more = ["--start", str(start), "--photographic", "0.5", "--pictures", "2", "--minutes", "0.0001"]
    assert train_content([*files, *more]) == 0
    state = torch.load(tmp_path / "kept" / "checkpoint.pt", weights_only=True)
    rates = [group["lr"] for optimizer in state["optimizers"] for group in optimizer["param_groups"]]
    assert max(rates) <= content.KEPT * 0.01
    trained = load_part(tmp_path / "kept" / "content.safetensors", "content").state_dict()
    assert any(
        not torch.equal(trained[name], tensor.half().float()) for name, tensor in encoder.state_dict().items()
    )
