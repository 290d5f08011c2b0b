"""What the command lines of all stages share: which miniature, and on which device."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from ..config import CANDIDATES, Preset
from ..scales import find_schedule
from .dataset import load_scenes

MINIATURES = ("nano", *CANDIDATES)
"""Presets that these stages train."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds --preset and --device."""
    parser.add_argument(
        "--preset", choices=MINIATURES, default="nano", help="which miniature (default: nano)"
    )
    parser.add_argument("--device", help="cpu or cuda (default: a GPU where there is one)")


def device_of(name: str | None) -> torch.device:
    """The device of a name; without one, a GPU where there is one."""
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def check_size(data: Path, preset: Preset) -> None:
    """Raises ValueError when the prepared pictures are not of the preset's size."""
    size = load_scenes(data, "train")[0].crops_KHW3.shape[1]
    needed = find_schedule(preset.budget).pixels_hw[0]
    if size != needed:
        raise ValueError(
            f"{data} holds pictures of {size} px, {preset.name} needs {needed} px: prepare them with "
            f"`python -m echogen_core.training prepare --picture {needed}` in a folder of their own."
        )
