"""nano's architecture, narrower, with random weights."""

from __future__ import annotations

from dataclasses import replace

import torch

from echogen_core.checkpoints import Bundle
from echogen_core.config import PRESETS
from echogen_core.encoders import (
    ENCODERS,
    ContentEncoder,
    SemanticEncoder,
    TextEncoder,
    build_tokenizer,
    wrap_tokenizer,
)
from echogen_core.model import EchoGenTransformer
from echogen_core.tokenizer import BitTokenizer


def random_bundle() -> Bundle:
    torch.manual_seed(3)
    preset, encoders = PRESETS["nano"], ENCODERS["nano"]
    preset = replace(
        preset,
        transformer=replace(preset.transformer, depth=2, width=64, heads=2),
        tokenizer=replace(preset.tokenizer, base_channels=32),
    )
    words = wrap_tokenizer(build_tokenizer(["the subject in scene 1 said a"], vocabulary=300))
    transformer = EchoGenTransformer(preset.transformer)
    for parameter in transformer.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return Bundle(
        preset,
        transformer,
        BitTokenizer(preset.tokenizer),
        TextEncoder(replace(encoders.text, vocabulary=len(words)), words),
        SemanticEncoder(encoders.semantic),
        ContentEncoder(encoders.content),
    )
