"""The built-in nano with few of its blocks, which is quick: for what depends on no picture's content."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from echogen_core.checkpoints import ASSETS, Bundle, load_bundle, load_part, save_part
from echogen_core.model import EchoGenTransformer

BLOCKS = 2
"""Of nano's six. All other parts and weights are nano's."""


def first_blocks(model: EchoGenTransformer, subject: bool = True) -> EchoGenTransformer:
    """The model of another's first blocks, with copies of its weights. subject: with a subject path."""
    config = replace(model.config, depth=BLOCKS, subject=subject)
    short = EchoGenTransformer(config, dtype=model.stored_dtype)
    state = model.state_dict()
    short.load_state_dict({name: state[name] for name in short.state_dict()})
    return short.eval().requires_grad_(False)


def short_bundle() -> Bundle:
    """A bundle of one's own, in float32."""
    nano = load_bundle("nano")
    return replace(nano, transformer=first_blocks(nano.transformer))


def write_short_nano(folder: Path) -> Path:
    """Makes a folder like nano's; returns it."""
    shutil.copytree(ASSETS / "nano", folder)
    path = folder / "transformer.safetensors"
    short = first_blocks(load_part(path, "transformer", dtype=None))
    save_part(path, "transformer", short, short.config, None)
    return folder
