"""Turn a weight file into one safetensors file: quicker to open, and as small as you want it.

IN is any form of any part: echogen_2b.pth (also inside a training checkpoint), an Infinity base model, the
bit tokenizer, the folder of flan-t5-xl or dinov2-base, dinov2_vitb14_pretrain.pth, FLUX's ae.safetensors or
diffusers folder, or a file that this command made. What it is, and its sizes, are read from it. Of a VAE and
of T5 the encoder alone is kept.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from ..checkpoints.conversion import DTYPES, Conversion, convert


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """The command's options."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "convert",
        help="turn a weight file into safetensors, in another type or without its base",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("input", type=Path, metavar="IN", help="weight file, or folder from the hub")
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    parser.add_argument(
        "--dtype",
        choices=list(DTYPES),
        help="type of the weights (default: as stored). fp8: matrices in e4m3 with a scale each, about half "
        "of bf16; what the model keeps in full precision stays as it is",
    )
    parser.add_argument(
        "--adapter-only",
        action="store_true",
        help="EchoGen without its frozen base: about half; needs --base now, and the base beside it later",
    )
    parser.add_argument(
        "--base",
        type=Path,
        help="the Infinity model that an EchoGen model was trained on (infinity_2b_reg.pth); checked by hash",
    )
    parser.add_argument(
        "--tokenizer",
        type=Path,
        help="tokenizer.json for a text encoder (default: the one beside IN); it is packed into the file",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Convert, with the progress on standard error and the new file's path on standard output."""
    began = time.perf_counter()
    dtype = None if args.dtype is None else DTYPES[args.dtype]
    wanted = Conversion(dtype, args.adapter_only, args.base, args.tokenizer)
    path = convert(args.input, args.out, wanted, _report)
    seconds = time.perf_counter() - began
    sys.stderr.write(f"\r{path.stat().st_size / 1e9:.2f} GB in {seconds:.0f} s\n")
    sys.stdout.write(f"{path}\n")
    return 0


def _report(done: int, total: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done / 1e9:.2f} of {total / 1e9:.2f} GB")
