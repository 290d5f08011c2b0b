"""A small model in nano's place, and small pictures, for what commands do with their options."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from loaded_once import loaded_once
from PIL import Image
from random_models import random_transformer

from echogen_core import pipeline as pipeline_module
from echogen_core.checkpoints import ASSETS, load_bundle, save_part
from echogen_core.checkpoints import bundle as bundle_module
from echogen_core.checkpoints.conversion import Conversion
from echogen_core.checkpoints.conversion import convert as convert_file
from echogen_core.checkpoints.segmentation_models import load_salient
from echogen_core.commands import reference_options, region_options
from echogen_core.config import PRESETS
from echogen_core.model import EchoGenTransformer
from echogen_core.tokenizer import BitTokenizer


@pytest.fixture(scope="package")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Nano's encoders, a narrow transformer and tokenizer with random weights, and what options name.

    weights: the same with another tokenizer. Single transformers, small pictures, a ComfyUI without models.
    """
    folder = tmp_path_factory.mktemp("files")
    nano, weights = folder / "assets" / "nano", folder / "weights"
    shutil.copytree(ASSETS / "nano", nano)
    config = replace(PRESETS["nano"].transformer, depth=1, width=64, heads=2)
    short = random_transformer(config, torch.float16)
    short.head.linear.weight.data *= 20  # of a trained model's size: bits follow their conditions
    base = EchoGenTransformer(replace(config, subject=False), dtype=torch.float16)
    base.load_state_dict({name: short.state_dict()[name] for name in base.state_dict()})
    torch.manual_seed(0)
    tokenizer = BitTokenizer(replace(PRESETS["nano"].tokenizer, base_channels=8))
    own = save_part(nano / "transformer.safetensors", "transformer", short, config, None)
    save_part(nano / "tokenizer.safetensors", "tokenizer", tokenizer, tokenizer.config)
    save_part(folder / "base.safetensors", "transformer", base, base.config, None)
    adapter = Conversion(adapter_only=True, base=folder / "base.safetensors")
    convert_file(own, folder / "subject.safetensors", adapter, lambda done, total: None)
    shutil.copytree(nano, weights)
    with torch.no_grad():
        for parameter in (*short.parameters(), *tokenizer.parameters()):
            parameter.mul_(0.8)
    save_part(weights / "tokenizer.safetensors", "tokenizer", tokenizer, tokenizer.config)
    save_part(folder / "other.safetensors", "transformer", short, config, None)
    picture = Image.new("RGB", (48, 48), "white")
    picture.paste((200, 30, 30), (10, 10, 30, 30))
    picture.save(folder / "reference.png")
    mask = Image.new("L", (48, 48))
    mask.paste(255, (5, 5, 25, 40))
    mask.save(folder / "mask.png")
    (folder / "models").mkdir()
    return {path.name: path for path in folder.iterdir()} | {"comfyui": folder}


@pytest.fixture
def random_nano(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The pack's weights are those of `files`, and are loaded once, as the built-in cut's are."""
    monkeypatch.setattr(bundle_module, "ASSETS", files["assets"])
    monkeypatch.setattr(pipeline_module, "load_bundle", loaded_once(load_bundle))
    cut_once = cache(load_salient)
    for module in (pipeline_module, reference_options, region_options):
        monkeypatch.setattr(module, "load_salient", cut_once)
