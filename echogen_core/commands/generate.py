"""Make pictures of a subject in a new scene, without ComfyUI.

Without --reference the picture follows the prompt alone. The built-in model (nano) runs as it is; for another
one, fetch its files first: python -m echogen_core models
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..aspect_ratios import AspectRatio, find_aspect_ratio
from ..checkpoints.bundle import SearchFolders
from ..checkpoints.catalog.folders import find_comfyui, model_folders
from ..checkpoints.catalog.published_models import PUBLISHED
from ..config import PRESETS
from ..dtypes import DTYPES
from ..encoders.known_words import scene_notes
from ..pipeline import NO_SUBJECT, EchoGenPipeline, Settings
from ..scales import ASPECT_RATIOS
from ..subject.cutout import Cutout
from ..utils.option_checks import Unused, refuse_unused
from ..utils.option_types import device, gamma, number, output_file, seed, whole, words
from ..utils.printable import counted, printable
from ..utils.writing import write_picture as write_picture_file
from . import reference_options
from .models import PACK, search_folders

SEEDS = 1 << 64
"""Number of seeds; after the largest, a batch continues with 0, as in ComfyUI's nodes."""

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""Endings of pictures that are written -> Pillow's names."""

UNUSED = (
    *reference_options.UNUSED,
    Unused(
        "--gamma-i",
        lambda args: args.reference is None,
        "without --reference: there is no subject to weigh. Add --reference, or drop --gamma-i.",
    ),
    Unused(
        "--comfyui",
        lambda args: bool(args.weights) and not _finds_subjects(args),
        "together with --weights, which names the folders to search. Give one of the two.",
    ),
    Unused(
        "--comfyui",
        lambda args: args.model not in PUBLISHED and not _finds_subjects(args),
        f"on this model, whose weights come with the pack. Drop --comfyui, or choose --model "
        f"{' or '.join(name for name in PRESETS if name in PUBLISHED)}.",
    ),
)


def _finds_subjects(args: argparse.Namespace) -> bool:
    """Whether models of ComfyUI's folders may find or outline the subject."""
    return args.phrase is not None or args.box is not None


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Adds the command and its options."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "generate",
        help="make pictures",
        description=__doc__,
    )
    parser.add_argument(
        "--prompt", type=words, required=True, help='the scene, e.g. "a teddy bear in a forest"'
    )
    parser.add_argument(
        "--out", type=output_file, required=True, help="picture to write; a batch gets numbers"
    )
    reference_options.add_options(parser)
    _add_model(parser)
    _add_settings(parser)
    return parser


def _add_model(parser: argparse.ArgumentParser) -> None:
    """Which model, where its files are, and how it computes."""
    parser.add_argument("--model", default="nano", choices=list(PRESETS), help="model to use")
    parser.add_argument(
        "--weights",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help="folders to search for the model's files (default: nano's own, or those of your ComfyUI)",
    )
    parser.add_argument(
        "--comfyui",
        metavar="PATH",
        help="search this ComfyUI's model folders (default: COMFYUI_PATH, or where this pack is installed)",
    )
    parser.add_argument(
        "--transformer",
        type=Path,
        metavar="FILE",
        help="use this transformer instead of the model's own, e.g. subject.safetensors of a training run; "
        "a file of subject parameters alone also needs its base model, beside it or among the model's files",
    )
    parser.add_argument("--device", type=device, help="cuda, mps, cpu, ... (default: cuda if available)")
    parser.add_argument(
        "--dtype", choices=list(DTYPES), help="precision of the weights (default: bf16 on cuda, else fp32)"
    )


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """How the pictures are drawn."""
    parser.add_argument("--gamma-t", type=gamma, help="prompt strength, 0 to 8 (default: the model's)")
    parser.add_argument("--gamma-i", type=gamma, help="subject strength, 0 to 8 (default: the model's)")
    parser.add_argument(
        "--tau", type=number(0, above=True), help="temperature, above 0 (default: the model's)"
    )
    parser.add_argument(
        "--aspect-ratio",
        type=_aspect_ratio,
        default="1:1",
        metavar="W:H",
        help=f"16:9, portrait, 1920x1080, ...: the nearest of {', '.join(ASPECT_RATIOS)}",
    )
    parser.add_argument("--seed", type=seed, default=0, help="seed of the first picture")
    parser.add_argument(
        "--batch", type=whole(1), default=1, help="number of pictures, with seeds SEED, SEED + 1, ..."
    )
    parser.add_argument(
        "--enlarge", type=whole(1), default=1, metavar="N", help="enlarge the result N times (bicubic)"
    )


def run(args: argparse.Namespace) -> int:
    """Make the pictures and print their paths. Raises ValueError or OSError for what the user can mend."""
    _check(args)
    cut_out = _cut_out(args)
    pipeline = _load(args)
    began = time.perf_counter()
    subject = NO_SUBJECT if cut_out is None else pipeline.encode_reference(cut_out.images_B3SS)
    settings = Settings(args.gamma_t, args.gamma_i, args.tau, aspect_ratio=args.aspect_ratio.official)
    seeds = [(args.seed + index) % SEEDS for index in range(args.batch)]
    picture = pipeline.generate(pipeline.branches(args.prompt, subject, settings), seeds, settings)
    seconds = time.perf_counter() - began
    for path, image in zip(_output_paths(args.out, args.batch), picture.images_B3HW, strict=True):
        write_picture(image, path, args.enlarge)
        sys.stdout.write(f"{path}\n")
    sys.stderr.write(f"{counted(args.batch, 'picture')} in {seconds:.2f} s, loading not included\n")
    for note in filter(None, (args.aspect_ratio.note, *scene_notes(args.model, [args.prompt]))):
        sys.stderr.write(f"{note}\n")
    return 0


def _aspect_ratio(text: str) -> AspectRatio:
    try:
        return find_aspect_ratio(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _cut_out(args: argparse.Namespace) -> Cutout | None:
    """The subject of the reference picture; says what was done. None without a picture."""
    if not args.reference:
        return None
    picture = reference_options.read_picture(args.reference)
    mask = reference_options.read_mask(args.mask) if args.mask else None
    made = reference_options.cut(args, picture, mask, _device(args))
    sys.stderr.write(f"{reference_options.told(made)}\n")
    return made


def _check(args: argparse.Namespace) -> None:
    """ValueError for what can be told before minutes of work."""
    refuse_unused(args, UNUSED)
    picture_format(args.out)


def _device(args: argparse.Namespace) -> str:
    return args.device or ("cuda" if torch.cuda.is_available() else "cpu")


def _load(args: argparse.Namespace) -> EchoGenPipeline:
    device = _device(args)
    dtype = DTYPES[args.dtype or ("bf16" if device.startswith("cuda") else "fp32")]
    pipeline = EchoGenPipeline.from_bundle(
        args.model, args.weights or _comfyui_folders(args), dtype, device, transformer=args.transformer
    )
    if args.reference and not pipeline.bundle.transformer.config.subject:
        raise ValueError(
            "--reference needs an EchoGen transformer, and this one is a base model without a subject path. "
            "Choose another --transformer or --model, or drop --reference."
        )
    return pipeline


def _comfyui_folders(args: argparse.Namespace) -> SearchFolders | None:
    """Where ComfyUI keeps a published model's files; None for a model that comes with the pack."""
    if args.model not in PUBLISHED:
        return None
    return search_folders(args.model, model_folders(find_comfyui(args.comfyui, os.environ, PACK)))


def write_picture(image_3HW: Tensor, path: Path, enlarge: int = 1) -> None:
    """Write a picture [3, H, W] of 0..1, enlarged by a whole factor; the file's ending sets the format.

    Raises ValueError as `picture_format`, OSError as writing.write_atomically.
    """
    # truncated, as the official code does
    array = (image_3HW.permute(1, 2, 0).cpu().numpy() * 255).astype(np.uint8)
    image = Image.fromarray(array)
    if enlarge > 1:
        image = image.resize((image.width * enlarge, image.height * enlarge), Image.Resampling.BICUBIC)
    write_picture_file(path, image, picture_format(path))


def picture_format(path: Path) -> str:
    """Pillow's name for the format of a file ending. Raises ValueError for an ending not in `FORMATS`."""
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        raise ValueError(f"--out must end in .png, .jpg or .webp, got {printable(path)}.")
    return found


def _output_paths(out: Path, count: int) -> list[Path]:
    if count == 1:
        return [out]
    return [out.with_name(f"{out.stem}_{index:02d}{out.suffix}") for index in range(count)]
