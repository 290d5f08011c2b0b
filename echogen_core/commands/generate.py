"""Make pictures of a subject in a new scene, without ComfyUI.

Without --reference the picture follows the prompt alone. The built-in model (nano) runs as it is; for another
one, fetch its files first: python -m echogen_core models
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

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
from ..editing import Edit, Way, region_notes
from ..encoders.known_words import scene_notes
from ..features import Subject
from ..pipeline import NO_SUBJECT, EchoGenPipeline, Settings
from ..sampling import Region
from ..scales import ASPECT_RATIOS
from ..subject.cutout import Cutout
from ..utils.option_checks import Unused, refuse_unused
from ..utils.option_types import device, gamma, number, output_file, seed, whole, words
from ..utils.printable import counted, printable
from ..utils.writing import write_picture as write_picture_file
from . import edit_options, reference_options, region_options
from .models import PACK, search_folders
from .region_options import ReadRegion

SEEDS = 1 << 64
"""Number of seeds; after the largest, a batch continues with 0, as in ComfyUI's nodes."""

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""Endings of pictures that are written -> Pillow's names."""

UNUSED = (
    *reference_options.UNUSED,
    *edit_options.UNUSED,
    *region_options.UNUSED,
    Unused(
        "--gamma-i",
        lambda args: not _shows_a_subject(args),
        "without --reference: there is no subject to weigh. Add --reference, or drop --gamma-i.",
    ),
    Unused(
        "--negative",
        lambda args: args.gamma_t == 1 and all(own.gamma_t in (None, 1) for own in args.region or ()),
        "at --gamma-t 1, which leaves it no weight. Choose another --gamma-t, or drop --negative.",
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


def _shows_a_subject(args: argparse.Namespace) -> bool:
    """Whether there is a reference picture that follows --gamma-i."""
    own = (region.reference is not None and region.gamma_i is None for region in args.region or ())
    return args.reference is not None or any(own)


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
    edit_options.add_options(parser)
    region_options.add_options(parser)
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
    parser.add_argument("--negative", type=words, metavar="TEXT", help="what the picture should not show")
    parser.add_argument("--gamma-t", type=gamma, help="prompt strength, 0 to 8 (default: the model's)")
    parser.add_argument("--gamma-i", type=gamma, help="subject strength, 0 to 8 (default: the model's)")
    parser.add_argument(
        "--tau", type=number(0, above=True), help="temperature, above 0 (default: the model's)"
    )
    parser.add_argument(
        "--aspect-ratio",
        type=_aspect_ratio,
        metavar="W:H",
        help=f"16:9, portrait, 1920x1080, ...: the nearest of {', '.join(ASPECT_RATIOS)} (default: 1:1)",
    )
    parser.add_argument("--seed", type=seed, default=0, help="seed of the first picture")
    parser.add_argument(
        "--batch", type=whole(1), default=1, help="number of pictures, with seeds SEED, SEED + 1, ..."
    )
    parser.add_argument(
        "--enlarge", type=whole(1), default=1, metavar="N", help="enlarge the result N times (bicubic)"
    )


class _Inputs(NamedTuple):
    """What was read from files: the subject, the picture to draw in, the regions."""

    cut_out: Cutout | None
    edit: Edit | None
    regions: list[ReadRegion]


def run(args: argparse.Namespace) -> int:
    """Make the pictures and print their paths. Raises ValueError or OSError for what the user can mend."""
    _check(args)
    inputs = _read(args)
    pipeline = _load(args)
    began = time.perf_counter()
    images, notes = _draw(args, pipeline, inputs)
    seconds = time.perf_counter() - began
    for path, image in zip(_output_paths(args.out, args.batch), images, strict=True):
        write_picture(image, path, args.enlarge)
        sys.stdout.write(f"{path}\n")
    sys.stderr.write(f"{counted(args.batch, 'picture')} in {seconds:.2f} s, loading not included\n")
    for note in filter(None, notes):
        sys.stderr.write(f"{note}\n")
    return 0


def _draw(args: argparse.Namespace, pipeline: EchoGenPipeline, inputs: _Inputs) -> tuple[Tensor, list[str]]:
    """The pictures [B, 3, H, W], edits pasted back into the picture they are of, and what to say of them."""
    ratio = args.aspect_ratio or _aspect_ratio("1:1")
    settings = Settings(args.gamma_t, args.gamma_i, args.tau, aspect_ratio=ratio.official)
    seeds = [(args.seed + index) % SEEDS for index in range(args.batch)]
    branches = pipeline.branches(args.prompt, _subject(pipeline, inputs.cut_out), settings, args.negative)
    regions = [_region(args, pipeline, region, settings) for region in inputs.regions]
    picture = pipeline.generate(branches, seeds, settings, regions=regions, edit=inputs.edit)
    notes = [ratio.note, *_scene_notes(args, inputs)]
    masks = [region.mask_HW for region in regions]
    images_B3HW = picture.images_B3HW
    if inputs.edit is not None and picture.canvas is not None:
        masks = [picture.canvas.region_mask(mask_HW) for mask_HW in masks]
        images_B3HW = inputs.edit.pasted_back(picture.canvas, images_B3HW)
        notes += [picture.canvas.note, inputs.edit.unchanged_note(picture.canvas)]
    return images_B3HW, [*notes, *region_notes(masks, picture.bits.schedule)]


def _scene_notes(args: argparse.Namespace, inputs: _Inputs) -> list[str]:
    """About scenes that the model does not know, where a scene is drawn."""
    if inputs.edit is not None and inputs.edit.way is Way.PLACE:
        return []
    prompts = [args.prompt, *(asked.prompt for asked, *_ in inputs.regions if asked.prompt)]
    return scene_notes(args.model, prompts)


def _region(
    args: argparse.Namespace, pipeline: EchoGenPipeline, region: ReadRegion, main: Settings
) -> Region:
    asked = region.asked
    own = replace(
        main,
        gamma_t=main.gamma_t if asked.gamma_t is None else asked.gamma_t,
        gamma_i=main.gamma_i if asked.gamma_i is None else asked.gamma_i,
    )
    prompt = asked.prompt or args.prompt
    return pipeline.region(region.mask_HW, prompt, _subject(pipeline, region.cut_out), own, args.negative)


def _subject(pipeline: EchoGenPipeline, cut_out: Cutout | None) -> Subject:
    return NO_SUBJECT if cut_out is None else pipeline.encode_reference(cut_out.images_B3SS)


def _aspect_ratio(text: str) -> AspectRatio:
    try:
        return find_aspect_ratio(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _read(args: argparse.Namespace) -> _Inputs:
    """Reads and cuts out before any weights are loaded; says what was done."""
    edit = edit_options.read_edit(args)
    cut_out = None
    if args.reference:
        picture = reference_options.read_picture(args.reference)
        of_subject = args.mask if args.into is None else None
        mask = reference_options.read_mask(of_subject) if of_subject else None
        cut_out = reference_options.cut(args, picture, mask, _device(args))
        sys.stderr.write(f"{reference_options.told(cut_out)}\n")
    regions = [region_options.read(asked) for asked in args.region or ()]
    for place, region in enumerate(regions, 1):
        if region.cut_out is not None:
            sys.stderr.write(f"Region {place}: {reference_options.told(region.cut_out)}\n")
    return _Inputs(cut_out, edit, regions)


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
    shows_a_subject = args.reference or any(region.reference for region in args.region or ())
    if shows_a_subject and not pipeline.bundle.transformer.config.subject:
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
