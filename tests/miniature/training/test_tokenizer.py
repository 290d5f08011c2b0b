"""The tokenizer's stage."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from echogen_core.checkpoints import ASSETS, load_part
from echogen_core.config import PRESETS
from miniature.training.tokenizer import main as train_tokenizer

from ..small_packages import small_sizes


def test_a_tokenizer_begins_as_another_one(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    given = ["--data", str(data), "--perceptual", "0", "--batch", "2", "--device", "cpu", "--workers", "1"]
    start = ["--start", str(ASSETS / "nano" / "tokenizer.safetensors")]
    with small_sizes():
        train_tokenizer([*given, *start, "--out", str(run), "--minutes", "0.0001"])
    first, *_, last = (json.loads(line) for line in (run / "log.jsonl").read_text().splitlines())
    assert (first["recipe"]["quantizer_warmup"], first["recipe"]["perceptual_start"]) == (0, 0)
    assert last["step"] >= 1 and last["psnr"] > 15, "of a picture of one colour; from nothing: below 10"
    plain = replace(PRESETS["nano"].tokenizer, super_resolution=1)  # the decoder's stage enlarges
    assert load_part(run / "tokenizer.safetensors", "tokenizer").config == plain
