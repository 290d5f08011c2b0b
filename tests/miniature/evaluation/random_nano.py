"""nano's architecture, narrower, with random weights."""

from __future__ import annotations

from dataclasses import replace

import random_models

from echogen_core.checkpoints import Bundle
from echogen_core.config import PRESETS

NANO = PRESETS["nano"]
NARROW = replace(
    NANO,
    transformer=replace(NANO.transformer, depth=1, width=64, heads=2),
    tokenizer=replace(NANO.tokenizer, base_channels=32),
)


def random_bundle() -> Bundle:
    return random_models.random_bundle(NARROW, ["the subject in scene 1 said a"], spread=0.05)
