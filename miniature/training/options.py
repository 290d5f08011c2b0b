"""Options that the stages' command lines share."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from echogen_core.config import CANDIDATES, Preset
from echogen_core.scales import find_schedule
from echogen_core.utils.option_parser import OptionParser
from echogen_core.utils.option_types import device, number, output_folder, threads, whole

from ..data.dataset import load_scenes

MINIATURES = ("nano", *CANDIDATES)
"""Presets that can be trained."""

minutes = number(0, above=True)
"""Training time."""
seed = whole(0, 2**32 - 1)
"""Stages multiply it by about a million, and torch.Generator takes 64 bits."""
share = number(0, 1)
"""Part of a whole."""
rate = number(0, above=True)
"""Learning rate."""
weight = number(0)
"""Of a loss; 0 turns it off."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds --preset and --device."""
    parser.add_argument("--preset", choices=MINIATURES, default="nano", help="which miniature")
    parser.add_argument("--device", type=device, help="cuda, cpu, ... (default: cuda if available)")


def add_minutes(parser: argparse.ArgumentParser, default: float, purpose: str) -> None:
    """Adds --minutes and, in its place, --within, whose value is the end as time.monotonic() gives it."""
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--minutes", type=minutes, default=default, help=purpose)
    either.add_argument(
        "--within",
        type=lambda text: time.monotonic() + 60 * minutes(text),
        metavar="MINUTES",
        help="wall-clock minutes from now after which the run ends, its schedules completed by then",
    )


def encoder_parser(stage: str, about: str | None) -> argparse.ArgumentParser:
    """The common options of the encoder stages."""
    parser = OptionParser(prog=f"python -m miniature {stage}", description=about)
    parser.add_argument("--data", type=Path, required=True, help="folder made by `prepare`")
    parser.add_argument(
        "--out", type=output_folder, required=True, help="folder of the run, which continues an earlier one"
    )
    add_minutes(parser, 12.0, "training time in minutes, on a CPU of processor time")
    parser.add_argument("--threads", type=threads, default=1, help="CPU threads")
    add_options(parser)
    return parser


def find_device(name: str | None) -> torch.device:
    """The device of this name; None: a GPU if there is one."""
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def check_picture_size(data: Path, preset: Preset, times: int = 1) -> None:
    """Raises ValueError unless prepared pictures are `times` as large as those that the preset encodes."""
    size = load_scenes(data, "train")[0].crops_KHW3.shape[1]
    needed = times * find_schedule(preset.budget).pixels_hw[0]
    if size != needed:
        sprites = f" --sprite {needed}" if times > 1 else ""  # the default ones would be enlarged
        raise ValueError(
            f"Expected pictures of {needed} px for {preset.name}, got {size} px in {data}: "
            f"prepare another folder with `python -m miniature prepare --picture {needed}{sprites}`."
        )
