"""`python -m echogen_core generate`: the subject of a picture in a new scene, without ComfyUI."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ..checkpoints.bundle import Places
from ..checkpoints.conversion import DTYPES
from ..checkpoints.folders import find_comfyui, model_folders
from ..checkpoints.published_models import PUBLISHED
from ..config import PRESETS
from ..pipeline import NO_SUBJECT, EchoGenPipeline, Settings
from ..scales import ASPECT_RATIOS
from ..writing import write_picture as write_picture_file
from .models import PACK, places

LARGEST_SIDE = 8192


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """The command's options."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "generate", help="make pictures", description=__doc__
    )
    parser.add_argument("--reference", type=Path, help="picture of the subject; left out: the prompt alone")
    parser.add_argument("--mask", type=Path, help="white on the subject; left out: alpha or a plain border")
    parser.add_argument("--prompt", required=True, help='where it is, such as "a teddy bear in a forest"')
    parser.add_argument("--out", type=Path, required=True, help="picture to write; a batch is numbered")
    parser.add_argument("--model", default="nano", choices=list(PRESETS))
    parser.add_argument("--weights", type=Path, help="folder with the model's files (nano needs none)")
    parser.add_argument("--comfyui", metavar="PATH", help="else: the ComfyUI that has them; see `models`")
    parser.add_argument("--gamma-t", type=float, help="strength of the prompt, 0 to 8 (default: the model's)")
    parser.add_argument(
        "--gamma-i", type=float, help="strength of the subject, 0 to 8 (default: the model's)"
    )
    parser.add_argument("--tau", type=float, help="temperature, above 0 (default: the model's)")
    parser.add_argument("--aspect-ratio", default="1:1", choices=ASPECT_RATIOS, metavar="W:H")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=1, help="pictures, seeds counted up")
    parser.add_argument("--device", help="such as cuda, mps or cpu (default: cuda where there is one)")
    parser.add_argument(
        "--dtype", choices=list(DTYPES), help="of the weights (default: bf16 on cuda, else fp32)"
    )
    parser.add_argument("--enlarge", type=int, default=1, help="enlarge the result this many times (bicubic)")
    return parser


def run(args: argparse.Namespace) -> int:
    """Make the pictures and print their paths."""
    if args.batch < 1 or args.enlarge < 1:
        raise ValueError(f"--batch and --enlarge must be at least 1, got {args.batch} and {args.enlarge}.")
    picture_format(args.out)  # before minutes of work, not after
    reference = read_picture(args.reference) if args.reference else None
    mask = read_mask(args.mask) if args.mask else None
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = DTYPES[args.dtype or ("bf16" if device.startswith("cuda") else "fp32")]
    pipeline = EchoGenPipeline.from_bundle(args.model, args.weights or _places(args), dtype, device)
    began = time.perf_counter()
    subject = NO_SUBJECT if reference is None else pipeline.subject(reference, mask_BHW=mask)
    settings = Settings(args.gamma_t, args.gamma_i, args.tau, aspect_ratio=args.aspect_ratio)
    seeds = range(args.seed, args.seed + args.batch)
    picture = pipeline.generate(pipeline.branches(args.prompt, subject, settings), seeds, settings)
    seconds = time.perf_counter() - began
    for path, image in zip(_output_paths(args.out, args.batch), picture.images_B3HW, strict=True):
        write_picture(image, path, args.enlarge)
        sys.stdout.write(f"{path}\n")
    sys.stderr.write(f"{args.batch} picture(s) in {seconds:.2f} s after loading\n")
    return 0


def _places(args: argparse.Namespace) -> Places | None:
    """Where a published model's files are; None: in the pack."""
    if args.model not in PUBLISHED:
        return None
    return places(args.model, model_folders(find_comfyui(args.comfyui, os.environ, PACK)))


def read_picture(path: Path) -> Tensor:
    """[1, 3, H, W] or, with transparency, [1, 4, H, W] in 0..1; upright as the camera meant it.

    Raises ValueError when the file is no picture or too large, FileNotFoundError when there is none.
    """
    mode = "RGBA" if _open(path).mode in ("RGBA", "LA", "PA") or "transparency" in _open(path).info else "RGB"
    array = np.asarray(_open(path).convert(mode), dtype=np.float32) / 255
    return torch.from_numpy(array.copy()).permute(2, 0, 1)[None]


def read_mask(path: Path) -> Tensor:
    """[1, H, W] in 0..1. Raises as `read_picture`."""
    return torch.from_numpy(np.asarray(_open(path).convert("L"), dtype=np.float32) / 255)[None]


def write_picture(image_3HW: Tensor, path: Path, enlarge: int = 1) -> None:
    """Write a picture of 0..1; the file name's ending decides the format."""
    # truncated, as the official code does
    array = (image_3HW.permute(1, 2, 0).cpu().numpy() * 255).astype(np.uint8)
    image = Image.fromarray(array)
    if enlarge > 1:
        image = image.resize((image.width * enlarge, image.height * enlarge), Image.Resampling.BICUBIC)
    write_picture_file(path, image, picture_format(path))


def picture_format(path: Path) -> str:
    """Pillow's name of the format that a file name's ending stands for; ValueError when there is none."""
    found = Image.registered_extensions().get(path.suffix.lower())
    if found not in Image.SAVE:
        raise ValueError(f"Expected a name that ends in .png, .jpg or .webp to write to, got {path}.")
    return found


def _open(path: Path) -> Image.Image:
    if not path.is_file():
        raise FileNotFoundError(f"There is no picture at {path}: check the path.")
    try:
        image = Image.open(path)
        if max(image.size) > LARGEST_SIDE:
            raise ValueError(
                f"{path} is {image.width}x{image.height} px: expected at most {LARGEST_SIDE} px a side. "
                "Make it smaller."
            )
        return ImageOps.exif_transpose(image)
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"{path} is no picture that can be read ({error}): use PNG, JPEG or WebP."
        ) from error


def _output_paths(out: Path, count: int) -> list[Path]:
    if count == 1:
        return [out]
    return [out.with_name(f"{out.stem}_{index:02d}{out.suffix}") for index in range(count)]
