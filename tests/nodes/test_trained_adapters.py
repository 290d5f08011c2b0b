"""Subject parameters as the trainer writes them, back in the nodes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from test_execution import SAMPLER, run, same_bits

from echogen_core.training.command import main as train

PROMPT = "a toy car on a beach"


@pytest.fixture
def diffusion_models(tmp_path: Path, pack: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in the place of ComfyUI's."""
    import folder_paths

    folder = tmp_path / "diffusion_models"
    folder.mkdir()
    known = folder_paths.folder_names_and_paths
    monkeypatch.setitem(known, "diffusion_models", ([str(folder)], known["diffusion_models"][1]))
    return folder


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """One training row, in the official form."""
    folder = tmp_path / "rows"
    folder.mkdir()
    for name, colour in (("cond.png", "red"), ("output.png", "maroon")):
        Image.new("RGB", (64, 64), colour).save(tmp_path / name)
    row = {
        "output_image": "output.png",
        "cond_image": "cond.png",
        "h_div_w": 1.0,
        "long_caption": PROMPT,
    }
    (folder / "1.000_000000001.jsonl").write_text(f"{json.dumps(row)}\n")
    return folder


def test_trained_adapters_of_nano_make_pictures_in_the_nodes(
    pack: dict[str, Any], models: Any, models_folder: Path, diffusion_models: Path, rows: Path, tmp_path: Path
) -> None:
    nano = models_folder / "nano"
    asked = ["--data", str(rows), "--images", str(tmp_path), "--out", str(tmp_path / "run")]
    asked += ["--model", "nano", "--init-from", str(nano / "transformer.safetensors"), "--parts", str(nano)]
    asked += ["--steps", "2", "--batch", "1", "--workers", "0", "--pictures-every", "0", "--base-rate", "10"]
    with torch.inference_mode(False):
        assert train(asked) == 0
    for name in ("subject.safetensors", "base.safetensors"):
        shutil.copy(tmp_path / "run" / name, diffusion_models)

    assert "subject.safetensors" in pack["EchoGenLoadModel"].GET_SCHEMA().inputs[0].options
    (model,) = run(pack, "EchoGenLoadModel", file="subject.safetensors", dtype="auto")
    loaded = dict(model.module.named_parameters())
    saved = torch.load(tmp_path / "run" / "state.pt", weights_only=True)["average"]
    assert saved and all(torch.equal(loaded[name], tensor) for name, tensor in saved.items())

    (text,) = run(pack, "EchoGenEncodeText", text_encoder=models.text_encoder, prompt=PROMPT)
    image_1HW3 = torch.full((1, 64, 64, 3), 0.6)
    seen = {"image": image_1HW3, "strength": 1.0}
    (semantic,) = run(pack, "EchoGenEncodeSemantic", semantic_encoder=models.semantic_encoder, **seen)
    (content,) = run(pack, "EchoGenEncodeContent", content_encoder=models.content_encoder, **seen)
    given = {"text": text, "semantic": semantic, "content": content}
    untrained = pack["EchoGenLoadBundle"].execute("nano (built in)").result[0]
    before, after = (
        run(pack, "EchoGenSampler", model=found, **given, **SAMPLER)[0] for found in (untrained, model)
    )
    assert not same_bits(before, after), "what was learnt changes the picture"
    (image,) = run(pack, "EchoGenDecodeBits", bits=after, tokenizer=models.tokenizer)
    assert image.shape == (1, 256, 256, 3) and bool(image.isfinite().all())
