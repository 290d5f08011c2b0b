"""Trains nano's transformer with its text encoder, and writes the bundle.

`python -m miniature transformer --data DATA --tokenizer FILE --semantic FILE --content FILE --out RUN`; run
it again to continue. `--start BUNDLE` fine-tunes a bundle instead; files named beside it replace the
bundle's. `--export` only writes the bundle from the latest checkpoint.
"""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from echogen_core.checkpoints import Bundle, check_patch, load_bundle, load_part, save_bundle
from echogen_core.config import Preset, find_preset
from echogen_core.encoders import TOKENIZER_FILE, EncoderConfigs, TextEncoder, build_tokenizer, wrap_tokenizer
from echogen_core.encoders.sizes import find_encoders
from echogen_core.model import EchoGenTransformer
from echogen_core.scales import find_schedule
from echogen_core.tokenizer import BitTokenizer
from echogen_core.training.initialise import initialise
from echogen_core.training.run_folder import only_run
from echogen_core.utils.option_checks import Unused, refuse_unused
from echogen_core.utils.option_parser import OptionParser
from echogen_core.utils.option_types import number, output_folder, whole
from echogen_core.utils.writing import write_text

from ..data.attribution import attribution
from ..data.dataset import PLAIN, SUBJECT_WORDS, Compositor, Mix
from ..data.prompt_words import NIGHT, PLACES, SIZES, with_size
from .guided_attention import sharpen_heads
from .options import add_minutes, add_options, check_picture_size, find_device, seed, weight
from .transformer_recipe import NANO_MIX, TransformerRecipe
from .transformer_trainer import Modules, Trainer

logger = logging.getLogger(__name__)

UNUSED = tuple(
    Unused(f"--{name}", lambda args: args.export, "with --export, which doesn't train. Drop one of the two.")
    for name in ("minutes", "within", "batch", "targets", "guide", "workers", "at-most", "compile")
)


def prompt_corpus(data: Compositor, mix: Mix) -> list[str]:
    """Prompts with every phrase and subject name that can occur, to train the text tokenizer on."""
    phrases = [phrase for scene in data.scenes for phrase in scene.phrases]
    phrases.append(PLAIN)
    names = [f"a {row['name'].lower()}" for row in data.subjects]
    words = [*SUBJECT_WORDS, *names]
    if mix.has_prompt_words:
        words += [f"{with_size(word, size)} {place}" for word in words for size in SIZES for place in PLACES]
        phrases += [f"{phrase} {NIGHT}" for phrase in phrases]
    return [f"{word} {phrases[i % len(phrases)]}" for i, word in enumerate(words)] + phrases * 4


def new_modules(preset: Preset, encoders: EncoderConfigs, args: argparse.Namespace) -> Modules:
    """A new transformer and text encoder with the trained tokenizer, semantic and content encoder.

    Raises as `load_part`.
    """
    torch.manual_seed(args.seed)
    vocabulary = args.out / TOKENIZER_FILE
    if not vocabulary.is_file():
        corpus = prompt_corpus(Compositor(args.data, "train"), NANO_MIX)
        write_text(vocabulary, build_tokenizer(corpus, encoders.text.vocabulary).to_str(pretty=True))
    transformer = EchoGenTransformer(preset.transformer)
    initialise(transformer, torch.Generator().manual_seed(args.seed))
    sharpen_heads(transformer)
    return Modules(
        transformer=transformer,
        text=TextEncoder(encoders.text, wrap_tokenizer(Tokenizer.from_file(str(vocabulary)))),
        content=load_part(args.content, "content"),
        semantic=load_part(args.semantic, "semantic"),
        tokenizer=load_part(args.tokenizer, "tokenizer"),
        schedule=find_schedule(preset.budget),
    )


def bundle_modules(bundle: Bundle, **others: Any) -> Modules:
    """A bundle's modules for training; `others` (kind -> module) replace its own.

    Raises:
        ValueError: another tokenizer has a different number of bits, or of pixels per token.
    """
    tokenizer: BitTokenizer = others.pop("tokenizer", bundle.tokenizer)
    check_patch(bundle.preset, tokenizer.config)
    if tokenizer.config.bits != bundle.preset.transformer.bits:
        raise ValueError(
            f"Expected a tokenizer of {bundle.preset.transformer.bits} bits, like the bundle's transformer, "
            f"got one of {tokenizer.config.bits}: train a new transformer on it (without --start)."
        )
    names = ("transformer", "text", "content", "semantic")
    modules = {name: others.get(name, getattr(bundle, name)) for name in names}
    for name in ("transformer", "text"):
        modules[name].requires_grad_(True)
    return Modules(**modules, tokenizer=tokenizer, schedule=find_schedule(bundle.preset.budget))


def export(trainer: Trainer, preset: Preset, args: argparse.Namespace) -> Path:
    """Writes the averaged weights as a bundle folder, with its attribution; returns the folder."""
    folder: Path = args.bundle or args.out / "bundle"
    modules = trainer.modules
    bundle = Bundle(
        preset, modules.transformer, modules.tokenizer, modules.text, modules.semantic, modules.content
    )
    with trainer.averaged():
        save_bundle(bundle, folder)
    write_text(folder / "ATTRIBUTION.md", attribution(args.data))
    return folder


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of this stage; returns the exit code."""
    defaults = TransformerRecipe()
    parser = OptionParser(prog="python -m miniature transformer", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder made by the prepare stage")
    parser.add_argument("--tokenizer", type=Path, help="tokenizer.safetensors of the tokenizer stage")
    parser.add_argument("--semantic", type=Path, help="semantic.safetensors of the semantic stage")
    parser.add_argument("--content", type=Path, help="content.safetensors of the content stage")
    parser.add_argument("--start", type=Path, help="bundle folder to fine-tune")
    parser.add_argument(
        "--out", type=output_folder, required=True, help="folder of the run, which continues an earlier one"
    )
    add_minutes(parser, defaults.minutes, "training time in minutes, in total")
    parser.add_argument("--batch", type=whole(1), default=defaults.batch, help="references per step")
    parser.add_argument("--targets", type=whole(1), default=defaults.targets, help="pictures per reference")
    parser.add_argument("--seed", type=seed, default=defaults.seed, help="seed of everything random")
    parser.add_argument(
        "--guide",
        type=weight,
        default=defaults.guide,
        help="weight of guided attention; 0 for a bundle that has learnt it",
    )
    parser.add_argument(
        "--workers", type=whole(1), default=defaults.workers, help="threads that share a batch"
    )
    parser.add_argument(
        "--bundle", type=output_folder, help="folder to write the bundle to (default: `bundle` in --out)"
    )
    parser.add_argument("--export", action="store_true", help="only write the bundle")
    parser.add_argument(
        "--at-most",
        type=number(0),
        default=math.inf,
        help="minutes after which this command saves and ends; 0: at once (default: no limit)",
    )
    parser.add_argument(
        "--compile",
        default="",
        metavar="BACKEND",
        help="torch.compile backend for the blocks, such as inductor on a GPU",
    )
    add_options(parser)
    args = parser.parse_args(argv)
    refuse_unused(args, UNUSED, parser)
    if not args.start and len(_named_files(args)) < 3:
        parser.error("expected --tokenizer, --semantic and --content, or --start with a bundle folder")
    if args.batch % args.workers:
        parser.error(f"expected --batch to be a multiple of --workers ({args.workers}), got {args.batch}")
    with only_run(args.out):
        train(args)
    return 0


def train(args: argparse.Namespace) -> None:
    """A whole run, and the bundle that comes out of it. Raises as `load_part` and `check_picture_size`."""
    torch.set_num_threads(1)  # --workers threads share a batch instead
    preset, device = find_preset(args.preset), find_device(args.device)
    check_picture_size(args.data, preset)
    if args.start:
        others = {kind: load_part(path, kind) for kind, path in _named_files(args).items()}
        modules = bundle_modules(load_bundle(preset.name, args.start), **others)
    else:
        modules = new_modules(preset, find_encoders(preset.name), args)
    recipe = TransformerRecipe(
        minutes=args.minutes,
        deadline=args.within,
        batch=args.batch,
        targets=args.targets,
        workers=args.workers if device.type == "cpu" else 1,
        seed=args.seed,
        guide=args.guide,
        compiler=args.compile,
    )
    trainer = Trainer(modules, args.data, args.out, recipe, device)
    if not args.export:
        trainer.run(args.at_most, lambda: export(trainer, preset, args))
    logger.info("Bundle written to %s.", export(trainer, preset, args))


def _named_files(args: argparse.Namespace) -> dict[str, Path]:
    """The files of parts that were named one by one."""
    named = {kind: getattr(args, kind) for kind in ("tokenizer", "semantic", "content")}
    return {kind: path for kind, path in named.items() if path}
