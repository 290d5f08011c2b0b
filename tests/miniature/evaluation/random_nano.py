"""nano's architecture, narrower, with random weights."""

from __future__ import annotations

from dataclasses import replace

import random_models

from echogen_core.checkpoints import Bundle
from echogen_core.config import PRESETS


def random_bundle() -> Bundle:
    nano = PRESETS["nano"]
    narrow = replace(
        nano,
        transformer=replace(nano.transformer, depth=2, width=64, heads=2),
        tokenizer=replace(nano.tokenizer, base_channels=32),
    )
    return random_models.random_bundle(narrow, ["the subject in scene 1 said a"], spread=0.05)
