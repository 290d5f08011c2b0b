"""Trains the subject parameters (adapters) of an EchoGen model; its Infinity base stays as it is.

    python -m echogen_core.training --data ROWS --base infinity_2b_reg.pth --parts MODELS --out RUN

Run again, it goes on where it stopped. On several GPUs: accelerate launch -m echogen_core.training,
with the same options. The folder given with --out gets subject.safetensors (load it beside its base),
state.pt (to go on), log.jsonl and pictures. --dry-run says what it would take. docs/training.md explains all.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..checkpoints import ASSETS
from ..checkpoints.identify import identify
from ..config import PRESETS, Preset, TransformerConfig
from ..encoders import ENCODERS
from ..optional_packages import MissingPackageError
from ..processes import check_world_size, is_main_process, needs_cpu_backend
from .manifest import Manifest
from .recipe import Recipe
from .run_folder import only_run

if TYPE_CHECKING:
    from .estimate import Estimate, Machine
    from .trainer import SubjectTrainer

logger = logging.getLogger(__name__)

HELP = {
    "steps": "steps of the optimiser in all",
    "batch": "pictures a process has at once",
    "accumulate": "batches a step; pictures a step = batch x accumulate x processes",
    "base_rate": "learning rate per 256 pictures a step",
    "slow": "share of that rate for the content path in self-attention",
    "warmup": "steps until the full rate",
    "weight_decay": "of matrices",
    "clip": "largest norm of the gradient",
    "ema": "decay of the moving average that is saved; 0: none",
    "drop": "probability of leaving out text, semantic and content, each",
    "flips": "largest rate of flipped bits in self-correction",
    "short": "probability of a caption's first sentence alone",
    "seed": "of everything random",
    "workers": "processes that read pictures; 0: none of their own",
    "log_every": "steps between records",
    "save_every": "steps between saved states",
    "pictures_every": "steps between sheets of pictures; 0: none",
}


AT_LEAST = {
    1: ("steps", "batch", "accumulate", "log_every", "save_every"),
    0: ("warmup", "workers", "pictures_every", "base_rate", "slow", "weight_decay"),
}
SHARES = ("drop", "flips", "short", "ema")
"""Options by what they may be: the least, and those from 0 to 1."""

PATIENCE = timedelta(days=1)
"""How long processes wait for one that writes tens of GB; when one ends, the launcher ends the others."""


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of this stage; 1 with a message when the input is at fault."""
    parser = make_parser()
    args = parser.parse_args(argv)
    try:
        return dry_run(args) if args.dry_run else train(args)
    except (ValueError, OSError, MissingPackageError) as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 1


def train(args: argparse.Namespace) -> int:
    """Load everything and train to the last step."""
    with only_run(args.out) if is_main_process() else nullcontext():
        trainer = make_trainer(args)
        trainer.run()
        trainer.accelerator.end_training()
    return 0


def make_trainer(args: argparse.Namespace) -> SubjectTrainer:
    """All that the options name, loaded and ready to go on; what it takes goes to the log before."""
    recipe, preset, accelerator = _recipe(args), PRESETS[args.model], _accelerator(args)
    from .batch_encoder import BatchEncoder, Encoders
    from .dataset import SubjectDataset
    from .subject_model import TeacherForcedModel, identify_base, load_model
    from .trainer import SubjectTrainer

    args.out.mkdir(parents=True, exist_ok=True)
    rows = Manifest(args.data, preset.budget, args.images)
    rows.check_pictures_exist()
    if accelerator.is_main_process:
        machine, found = _estimate(args, recipe, rows, accelerator)
        for line in (str(machine), *found.lines(recipe.steps)):
            logger.info("%s", line)
    encoders = Encoders.load(args.model, _folders(args), accelerator.device)
    model = load_model(args.base, args.start, encoders.subject_sizes(), recipe.seed, args.official_start)
    encoders.check(model.config)
    model.dtype = torch.bfloat16 if _half(args) else torch.float32
    start = identify_base(model, args.base, args.out, accelerator.is_main_process)
    cache = encoders.cache(args.cache) if args.cache else None
    examples = SubjectDataset(rows, encoders.content.config.reference_size, recipe.seed, recipe.short, cache)
    preparation = BatchEncoder(
        encoders, preset, rows.schedules, recipe.seed, recipe.drop, recipe.flips, cache, accelerator.device
    )
    wrapped = TeacherForcedModel(model, recipe.checkpointing)
    return SubjectTrainer(accelerator, wrapped, start, examples, preparation, recipe, args.out)


def dry_run(args: argparse.Namespace) -> int:
    """Print what training would take: rows and their faults, memory, time. No weights are read."""
    recipe, preset = _recipe(args), PRESETS[args.model]
    accelerator = _accelerator(args)
    rows = Manifest(args.data, preset.budget, args.images)
    looked_at, missing = rows.check_pictures_exist()
    machine, found = _estimate(args, recipe, rows, accelerator)
    per_step = recipe.batch * recipe.accumulate * accelerator.num_processes
    lines = [
        f"rows: {len(rows)} usable, {len(rows.faults)} faults; of {looked_at} rows looked at, {len(missing)} "
        "lack a picture (pictures are opened when they are trained on)",
        *(f"  {ratio:6} {len(numbers)} rows" for ratio, numbers in rows.buckets.items()),
        *(f"  {fault.where}: {fault.kind} ({fault.detail})" for fault in [*rows.faults, *missing][:20]),
        f"a step: {per_step} pictures; {recipe.steps} steps see {recipe.steps * per_step / len(rows):.1f} "
        "times every row",
        str(machine),
        *found.lines(recipe.steps),
    ]
    if accelerator.is_main_process:
        sys.stdout.write("\n".join(lines) + "\n")
    return 0


def make_parser() -> argparse.ArgumentParser:
    """The options of this stage."""
    parser = argparse.ArgumentParser(
        prog="python -m echogen_core.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of [h_div_w]_[count].jsonl")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--model", choices=list(PRESETS), default="echogen-2b", help="sizes and encoders")
    parser.add_argument("--base", type=Path, help="Infinity model that stays as it is")
    parser.add_argument("--start", type=Path, help="EchoGen model to go on from (default: drawn anew)")
    parser.add_argument("--parts", type=Path, nargs="+", help="folders of encoders and tokenizer")
    parser.add_argument("--images", type=Path, default=Path(), help="where relative paths in rows start")
    parser.add_argument("--cache", type=Path, help="folder that keeps features (none: made anew each time)")
    parser.add_argument("--precision", choices=["fp32", "bf16"], help="default: as accelerate is set up")
    parser.add_argument("--schedule", choices=["constant", "cosine"], default="constant")
    parser.add_argument("--no-checkpointing", action="store_true", help="more memory, a quarter less time")
    parser.add_argument(
        "--official-start",
        action="store_true",
        help="the released code's start, whose content path never learns",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what it would take, and stop")
    defaults = Recipe()
    for name, text in HELP.items():
        value = getattr(defaults, name)
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=type(value), default=value, help=f"{text} (default {value})")
    return parser


def _recipe(args: argparse.Namespace) -> Recipe:
    """The options as a Recipe. ValueError for one out of its range."""
    known = {field.name for field in fields(Recipe)} & set(vars(args))
    recipe = Recipe(**{name: getattr(args, name) for name in known}, checkpointing=not args.no_checkpointing)
    wrong = [
        (n, f"of at least {least}")
        for least, names in AT_LEAST.items()
        for n in names
        if not getattr(recipe, n) >= least
    ]
    wrong += [(name, "between 0 and 1") for name in SHARES if not 0 <= getattr(recipe, name) <= 1]
    wrong += [] if recipe.clip > 0 else [("clip", "above 0")]
    if wrong:
        named = (f"--{n.replace('_', '-')} {range_} (got {getattr(recipe, n)})" for n, range_ in wrong)
        raise ValueError(f"expected {', '.join(named)}.")
    return recipe


def _accelerator(args: argparse.Namespace) -> Any:
    """As `accelerate launch` asks for it, without its autocast: the model casts by itself (see model.py)."""
    try:
        from accelerate import Accelerator, DataLoaderConfiguration
        from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
    except ImportError as error:
        raise MissingPackageError(
            "Training needs the package accelerate: pip install accelerate (or this pack with [training])."
        ) from error
    accelerator = Accelerator(
        cpu=needs_cpu_backend(),
        mixed_precision="no",
        gradient_accumulation_steps=args.accumulate,
        dataloader_config=DataLoaderConfiguration(split_batches=True),
        kwargs_handlers=[
            InitProcessGroupKwargs(timeout=PATIENCE),
            DistributedDataParallelKwargs(gradient_as_bucket_view=True),  # no second copy of the gradients
        ],
    )
    check_world_size(accelerator.num_processes)
    return accelerator


def _half(args: argparse.Namespace) -> bool:
    precision = args.precision or os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if precision not in ("fp32", "no", "bf16"):
        raise ValueError(f"expected bf16 or no mixed precision, got {precision}: fp16 loses small gradients.")
    return bool(precision == "bf16")


def _folders(args: argparse.Namespace) -> list[Path]:
    return args.parts or [ASSETS / args.model]


def _estimate(
    args: argparse.Namespace, recipe: Recipe, rows: Manifest, accelerator: Any
) -> tuple[Machine, Estimate]:
    """This machine, measured for a second, and what the run takes on it."""
    from .estimate import Machine, estimate, measure_flops

    preset, half = PRESETS[args.model], _half(args)
    largest = max((rows.schedules[ratio] for ratio in rows.buckets), key=lambda schedule: schedule.tokens)
    machine = Machine(
        accelerator.num_processes,
        accelerator.distributed_type == "FSDP",
        half,
        accelerator.device.type == "cuda",
        measure_flops(accelerator.device, torch.bfloat16 if half else torch.float32),
    )
    config = _sizes(args, preset)
    return machine, estimate(config, ENCODERS[args.model], preset.tokenizer, largest, recipe, machine)


def _sizes(args: argparse.Namespace, preset: Preset) -> TransformerConfig:
    """Sizes of the model to train: of the file given, or the preset's. ValueError when it is none."""
    path = args.start or args.base
    if path is None:
        return preset.transformer
    found = identify(path)
    if found.kind != "transformer":
        option = "--start" if args.start else "--base"
        raise ValueError(
            f"{path} is {found.title}: expected a transformer of EchoGen or Infinity with {option}."
        )
    subject = preset.transformer
    return replace(
        found.config,
        subject=True,
        semantic_width=subject.semantic_width,
        semantic_length=subject.semantic_length,
        content_width=subject.content_width,
        content_length=subject.content_length,
    )
