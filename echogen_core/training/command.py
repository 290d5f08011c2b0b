"""The command: data, model and trainer put together from its options, and the dry run."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..checkpoints import ASSETS
from ..checkpoints.identify import identify
from ..config import PRESETS, Preset, TransformerConfig
from ..encoders import ENCODERS
from ..utils.option_checks import refuse_unused
from ..utils.optional_packages import MissingPackageError
from ..utils.printable import counted
from ..utils.processes import check_world_size, is_main_process, needs_cpu_backend
from .manifest import Fault, Manifest
from .recipe import Recipe, peak_rate
from .run_folder import only_run
from .run_options import UNUSED, chosen_recipe, half_precision, make_parser

if TYPE_CHECKING:
    from .trainer import SubjectTrainer

logger = logging.getLogger(__name__)

SHOWN_FAULTS = 20
BARRIER_TIMEOUT = timedelta(days=1)
"""How long processes wait for one that writes tens of GB; the launcher ends all when one of them ends."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command. Raises ValueError, OSError or MissingPackageError for what the user can mend."""
    args = make_parser().parse_args(argv)
    refuse_unused(args, UNUSED)
    return dry_run(args) if args.dry_run else train(args)


def train(args: argparse.Namespace) -> int:
    """Load everything and train to the last step."""
    with only_run(args.out) if is_main_process() else nullcontext():
        trainer = make_trainer(args)
        trainer.run()
        trainer.accelerator.end_training()
    return 0


def make_trainer(args: argparse.Namespace) -> SubjectTrainer:
    """The trainer with everything that the options name loaded; logs the estimate first."""
    recipe, preset, accelerator = chosen_recipe(args), PRESETS[args.model], _accelerator(args)
    from .batch_encoder import BatchEncoder
    from .dataset import SubjectDataset
    from .frozen_encoders import FrozenEncoders
    from .subject_model import TeacherForcedModel, identify_base, load_model
    from .trainer import SubjectTrainer

    args.out.mkdir(parents=True, exist_ok=True)
    manifest = Manifest(args.data, preset.budget, args.images)
    manifest.check_pictures_exist()
    if accelerator.is_main_process:
        for line in _estimate(args, recipe, manifest, accelerator):
            logger.info("%s", line)
    encoders = FrozenEncoders.load(args.model, args.parts or [ASSETS / args.model], accelerator.device)
    sizes = encoders.subject_sizes()
    model = load_model(args.base, args.init_from, sizes, recipe.seed, args.official_init)
    encoders.check(model.config)
    model.dtype = torch.bfloat16 if half_precision(args) else torch.float32
    base = identify_base(model, args.base, args.out, accelerator.is_main_process)
    cache = encoders.cache(args.cache) if args.cache else None
    dataset = SubjectDataset(
        manifest, encoders.content.config.reference_size, recipe.seed, recipe.short, cache
    )
    batch_encoder = BatchEncoder(
        encoders,
        preset,
        manifest.schedules,
        recipe.seed,
        recipe.drop,
        recipe.flips,
        cache,
        accelerator.device,
    )
    wrapped = TeacherForcedModel(model, recipe.checkpointing)
    return SubjectTrainer(accelerator, wrapped, base, dataset, batch_encoder, recipe, args.out)


def dry_run(args: argparse.Namespace) -> int:
    """Print the data's faults and the estimate of memory and time; no weights are read.

    Raises FileNotFoundError or NotADirectoryError for named files and folders that a run would miss.
    """
    recipe, preset = chosen_recipe(args), PRESETS[args.model]
    _check_paths(args)
    accelerator = _accelerator(args)
    manifest = Manifest(args.data, preset.budget, args.images)
    checked, missing = manifest.check_pictures_exist()
    lines = [*_about_rows(manifest, checked, missing), *_estimate(args, recipe, manifest, accelerator)]
    if accelerator.is_main_process:
        sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _check_paths(args: argparse.Namespace) -> None:
    """That --base and --init-from exist, that --parts are folders, and that --cache can be one."""
    for option, path in (("--base", args.base), ("--init-from", args.init_from)):
        if path and not path.exists():
            raise FileNotFoundError(f"{option} {path} does not exist. Check the path.")
    for folder in args.parts or []:
        if not folder.is_dir():
            raise NotADirectoryError(f"--parts {folder} is not a folder. Check the path.")
    if args.cache and args.cache.exists() and not args.cache.is_dir():
        raise NotADirectoryError(f"--cache {args.cache} is not a folder. Choose another one.")


def _about_rows(manifest: Manifest, checked: int, missing: Sequence[Fault]) -> Iterator[str]:
    yield (
        f"rows: {len(manifest):,} usable, {counted(len(manifest.faults), 'fault')}; of "
        f"{counted(checked, 'row')} checked, {len(missing):,} without a picture (pictures are opened later)"
    )
    for ratio, numbers in manifest.buckets.items():
        yield f"  {ratio:6} {counted(len(numbers), 'row')}"
    for fault in [*manifest.faults, *missing][:SHOWN_FAULTS]:
        yield f"  {fault.where}: {fault.kind} ({fault.detail})"


def _estimate(
    args: argparse.Namespace, recipe: Recipe, manifest: Manifest, accelerator: Any
) -> Iterator[str]:
    """What a step is, and what the run takes on this machine, whose speed is measured for a second."""
    from .estimate import Machine, estimate, host_memory, measure_flops

    preset, half = PRESETS[args.model], half_precision(args)
    per_step = recipe.batch * recipe.accumulate * accelerator.num_processes
    yield (
        f"steps: {recipe.steps:,} of {counted(per_step, 'picture')}; "
        f"epochs: {recipe.steps * per_step / len(manifest):.1f}"
    )
    yield (
        f"learning rate: {peak_rate(recipe, per_step):.3g} = {recipe.base_rate:g} (--base-rate) x {per_step} "
        f"/ 256; times {recipe.slow:g} (--slow) for the content path in self-attention"
    )
    if recipe.warmup >= recipe.steps:
        yield (
            f"warning: the warm-up ({counted(recipe.warmup, 'step')}) is as long as the run or longer "
            f"({counted(recipe.steps, 'step')}): lower --warmup or raise --steps."
        )
    largest = max((manifest.schedules[ratio] for ratio in manifest.buckets), key=lambda found: found.tokens)
    machine = Machine(
        accelerator.num_processes,
        accelerator.distributed_type == "FSDP",
        half,
        accelerator.device.type == "cuda",
        measure_flops(accelerator.device, torch.bfloat16 if half else torch.float32),
    )
    yield str(machine)
    sizes = _sizes(args, preset), ENCODERS[args.model], preset.tokenizer
    found = estimate(*sizes, largest, recipe, machine)
    yield from replace(found, host=host_memory(found, recipe.workers)).lines(recipe.steps)


def _accelerator(args: argparse.Namespace) -> Any:
    """An Accelerator without autocast: the model casts by itself (see subject_model.py)."""
    try:
        from accelerate import Accelerator, DataLoaderConfiguration
        from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
    except ImportError as error:
        raise MissingPackageError(
            "Training needs the package accelerate: run `pip install accelerate`."
        ) from error
    accelerator = Accelerator(
        cpu=needs_cpu_backend(),
        mixed_precision="no",
        gradient_accumulation_steps=args.accumulate,
        dataloader_config=DataLoaderConfiguration(split_batches=True),
        kwargs_handlers=[
            InitProcessGroupKwargs(timeout=BARRIER_TIMEOUT),
            DistributedDataParallelKwargs(gradient_as_bucket_view=True),  # no second copy of the gradients
        ],
    )
    check_world_size(accelerator.num_processes)
    return accelerator


def _sizes(args: argparse.Namespace, preset: Preset) -> TransformerConfig:
    """Sizes of the model to train: the given file's, or the preset's. ValueError for another kind of file."""
    path: Path | None = args.init_from or args.base
    if path is None:
        return preset.transformer
    found = identify(path)
    if found.kind != "transformer":
        option = "--init-from" if args.init_from else "--base"
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
