"""Convert a weight file to a single safetensors file, which opens faster and can be smaller.

IN is any part of a model in any form: echogen_2b.pth (or a training checkpoint with it), an Infinity base
model, the bit tokenizer, the folder of flan-t5-xl or dinov2-base, dinov2_vitb14_pretrain.pth, FLUX's
ae.safetensors or its diffusers folder, or a file made by this command. Kind and sizes are read from the file.
Of a VAE and of T5 only the encoder is written.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from ..checkpoints.conversion import Conversion, convert
from ..dtypes import DTYPES
from ..utils.disk import format_size
from ..utils.option_types import output_file

_PROGRESS_WIDTH = 24
"""Characters of the progress line, so that a shorter text overwrites a longer one."""


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Adds the command and its options."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "convert",
        help="convert a weight file to safetensors, in another precision or without its base model",
        description=__doc__,
    )
    parser.add_argument(
        "input", type=Path, metavar="IN", help="weight file, or folder downloaded from the hub"
    )
    parser.add_argument("--out", type=output_file, required=True, help="safetensors file to write")
    parser.add_argument(
        "--dtype",
        choices=list(DTYPES),
        help="precision of the weights (default: as stored). fp8 stores the matrices in e4m3, one scale "
        "each, at about half the size of bf16; whatever the model keeps in float32 stays as it is",
    )
    parser.add_argument(
        "--adapter-only",
        action="store_true",
        help="write the subject parameters of an EchoGen model only, about half of it; needs --base, and the "
        "base model next to the file when it is loaded",
    )
    parser.add_argument(
        "--base",
        type=Path,
        metavar="FILE",
        help="the Infinity model that IN was trained on (infinity_2b_reg.pth), checked by hash",
    )
    parser.add_argument(
        "--tokenizer",
        type=Path,
        metavar="FILE",
        help="tokenizer.json to pack into a text encoder's file (default: the one in IN or next to it)",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Convert; progress goes to standard error, the new file's path to standard output.

    Raises ValueError or OSError for what the user can mend.
    """
    began = time.perf_counter()
    dtype = None if args.dtype is None else DTYPES[args.dtype]
    settings = Conversion(dtype, args.adapter_only, args.base, args.tokenizer)
    path = convert(args.input, args.out, settings, _report)
    seconds = time.perf_counter() - began
    summary = f"{format_size(path.stat().st_size)} in {seconds:.0f} s"
    sys.stderr.write(f"\r{summary:<{_PROGRESS_WIDTH}}\n")
    sys.stdout.write(f"{path}\n")
    return 0


def _report(done: int, total: int) -> None:
    if sys.stderr.isatty():
        progress = f"{format_size(done)} of {format_size(total)}"
        sys.stderr.write(f"\r{progress:<{_PROGRESS_WIDTH}}")
