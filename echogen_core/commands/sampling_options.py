"""The options that say how pictures are drawn: negative prompt, γ, tau, aspect ratio."""

from __future__ import annotations

import argparse

from ..aspect_ratios import AspectRatio, find_aspect_ratio
from ..scales import ASPECT_RATIOS
from ..utils.option_types import gamma, temperature, words


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds them."""
    parser.add_argument("--negative", type=words, metavar="TEXT", help="what the picture should not show")
    parser.add_argument("--gamma-t", type=gamma, help="prompt strength, 0 to 8 (default: the model's)")
    parser.add_argument("--gamma-i", type=gamma, help="subject strength, 0 to 8 (default: the model's)")
    parser.add_argument("--tau", type=temperature, help="temperature, above 0 (default: the model's)")
    parser.add_argument(
        "--aspect-ratio",
        type=aspect_ratio,
        metavar="W:H",
        help=f"16:9, portrait, 1920x1080, ...: the nearest of {', '.join(ASPECT_RATIOS)} (default: 1:1)",
    )


def aspect_ratio(text: str) -> AspectRatio:
    """A ratio by any of its names."""
    try:
        return find_aspect_ratio(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
