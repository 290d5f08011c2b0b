"""What the command lines of all stages share: which miniature, and on which device."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from echogen_core.config import CANDIDATES, Preset
from echogen_core.scales import find_schedule

from ..data.dataset import load_scenes

MINIATURES = ("nano", *CANDIDATES)
"""Presets that these stages train."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds --preset and --device."""
    parser.add_argument(
        "--preset", choices=MINIATURES, default="nano", help="which miniature (default: nano)"
    )
    parser.add_argument("--device", help="cpu or cuda (default: a GPU where there is one)")


def encoder_parser(stage: str, about: str | None) -> argparse.ArgumentParser:
    """The command line of a small encoder's stage, to which it adds its own options."""
    parser = argparse.ArgumentParser(prog=f"python -m miniature {stage}", description=about)
    parser.add_argument("--data", type=Path, required=True, help="folder of prepared data")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; an earlier run goes on")
    parser.add_argument("--minutes", type=float, default=12.0, help="processor minutes (on a GPU: minutes)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    add_options(parser)
    return parser


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
            f"`python -m miniature prepare --picture {needed}` in a folder of their own."
        )
