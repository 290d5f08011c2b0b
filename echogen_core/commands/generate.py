"""Make pictures of a subject in a new scene, without ComfyUI.

Without --reference the picture follows the prompt alone. The built-in model (nano) runs as it is; for another
one, fetch its files first: python -m echogen_core models
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ..aspect_ratios import find_aspect_ratio
from ..editing import Edit, Way, region_notes
from ..encoders.known_words import scene_notes
from ..features import Subject
from ..pictures import FORMATS, drawn_picture
from ..pipeline import NO_SUBJECT, EchoGenPipeline, Settings
from ..sampling import Region
from ..subject.cutout import Cutout
from ..utils.option_checks import Unused, refuse_unused
from ..utils.option_types import output_file, seed, whole, words
from ..utils.printable import counted, printable
from ..utils.writing import write_picture
from . import edit_options, pipeline_options, reference_options, region_options, sampling_options
from .reference_options import Finders
from .region_options import ReadRegion

SEEDS = 1 << 64
"""Number of seeds; after the largest, a batch continues with 0, as in ComfyUI's nodes."""

UNUSED = (
    *reference_options.unused(lambda args: args.into is None),
    Unused(
        "--mask",
        lambda args: args.reference is None and args.into is None,
        "without --reference or --into, the picture it belongs to. Add one of them, or drop --mask.",
    ),
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
    *pipeline_options.unused(
        finds_subjects=lambda args: args.phrase is not None or args.box is not None,
    ),
)


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
    pipeline_options.add_options(parser)
    sampling_options.add_options(parser)
    _add_batch(parser)
    return parser


def _add_batch(parser: argparse.ArgumentParser) -> None:
    """How many pictures, and how large they are written."""
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
        write_picture(path, drawn_picture(image, args.enlarge), picture_format(path))
        sys.stdout.write(f"{path}\n")
    sys.stderr.write(f"{counted(args.batch, 'picture')} in {seconds:.2f} s, loading not included\n")
    for note in filter(None, notes):
        sys.stderr.write(f"{note}\n")
    return 0


def _draw(args: argparse.Namespace, pipeline: EchoGenPipeline, inputs: _Inputs) -> tuple[Tensor, list[str]]:
    """The pictures [B, 3, H, W], edits pasted back into the picture they are of, and what to say of them."""
    ratio = args.aspect_ratio or find_aspect_ratio("1:1")
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


def _read(args: argparse.Namespace) -> _Inputs:
    """Reads and cuts out before any weights are loaded; says what was done."""
    edit = edit_options.read_edit(args)
    cut_out = None
    if args.reference:
        picture = reference_options.read_picture(args.reference)
        of_subject = args.mask if args.into is None else None
        mask = reference_options.read_mask(of_subject) if of_subject else None
        finders = Finders(args.comfyui, pipeline_options.chosen_device(args))
        cut_out = reference_options.cut(finders, picture, mask, args.box, args.phrase or "")
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


def _load(args: argparse.Namespace) -> EchoGenPipeline:
    shows_a_subject = args.reference or any(region.reference for region in args.region or ())
    return pipeline_options.load_pipeline(args, pipeline_options.chosen_device(args), bool(shows_a_subject))


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
