"""Trains nano's transformer with its text encoder and writes the bundle.

`python -m miniature transformer --data DATA --tokenizer FILE --semantic FILE --content FILE --out
RUN`; run again, it goes on where it stopped. `--start BUNDLE` trains shipped weights on instead, with the
files given in the place of the bundle's. `--export` only writes the bundle from the newest checkpoint.
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
from echogen_core.encoders.config import find_encoders
from echogen_core.model import EchoGenTransformer
from echogen_core.scales import find_schedule
from echogen_core.tokenizer import BitTokenizer
from echogen_core.training.initialise import initialise
from echogen_core.training.run_folder import only_run
from echogen_core.writing import write_text

from ..data.attribution import attribution
from ..data.dataset import PLAIN, SUBJECT_WORDS, Compositor, Mix
from ..data.words import NIGHT, PLACES, SIZES, sized
from .guide import sharpen
from .options import add_options, check_size, device_of
from .trainer import Parts, Trainer
from .transformer_recipe import NANO_MIX, Recipe

logger = logging.getLogger(__name__)


def prompt_corpus(data: Compositor, mix: Mix) -> list[str]:
    """Every phrase and subject name that training prompts are made of, for learning the tokenizer."""
    phrases = [phrase for scene in data.scenes for phrase in scene.phrases]
    phrases.append(PLAIN)
    names = [f"a {row['name'].lower()}" for row in data.subjects]
    words = [*SUBJECT_WORDS, *names]
    if mix.wordy:
        words += [f"{sized(word, size)} {place}" for word in words for size in SIZES for place in PLACES]
        phrases += [f"{phrase} {NIGHT}" for phrase in phrases]
    return [f"{word} {phrases[i % len(phrases)]}" for i, word in enumerate(words)] + phrases * 4


def fresh_parts(preset: Preset, encoders: EncoderConfigs, args: argparse.Namespace) -> Parts:
    """New transformer and text encoder, beside the trained tokenizer, semantic and content encoders."""
    torch.manual_seed(args.seed)
    vocabulary = args.out / TOKENIZER_FILE
    if not vocabulary.is_file():
        corpus = prompt_corpus(Compositor(args.data, "train"), NANO_MIX)
        write_text(vocabulary, build_tokenizer(corpus, encoders.text.vocabulary).to_str(pretty=True))
    transformer = EchoGenTransformer(preset.transformer)
    initialise(transformer, torch.Generator().manual_seed(args.seed))
    sharpen(transformer)
    return Parts(
        transformer=transformer,
        text=TextEncoder(encoders.text, wrap_tokenizer(Tokenizer.from_file(str(vocabulary)))),
        content=load_part(args.content, "content"),
        semantic=load_part(args.semantic, "semantic"),
        tokenizer=load_part(args.tokenizer, "tokenizer"),
        schedule=find_schedule(preset.budget),
    )


def parts_of(bundle: Bundle, **others: Any) -> Parts:
    """A bundle's modules, to be trained on, with `others` (kind -> module) in the place of its own.

    Raises:
        ValueError: another tokenizer has more or fewer bits, or pixels a token.
    """
    tokenizer: BitTokenizer = others.pop("tokenizer", bundle.tokenizer)
    check_patch(bundle.preset, tokenizer.config)
    if tokenizer.config.bits != bundle.preset.transformer.bits:
        raise ValueError(
            f"expected a tokenizer of {bundle.preset.transformer.bits} bits, as the bundle's transformer, "
            f"got one of {tokenizer.config.bits}; train a new transformer on it (without --start)."
        )
    names = ("transformer", "text", "content", "semantic")
    modules = {name: others.get(name, getattr(bundle, name)) for name in names}
    for name in ("transformer", "text"):
        modules[name].requires_grad_(True)
    return Parts(**modules, tokenizer=tokenizer, schedule=find_schedule(bundle.preset.budget))


def export(trainer: Trainer, preset: Preset, args: argparse.Namespace) -> Path:
    """The averaged weights as a bundle folder, with the works they were trained on."""
    folder: Path = args.out / "bundle"
    parts = trainer.parts
    bundle = Bundle(preset, parts.transformer, parts.tokenizer, parts.text, parts.semantic, parts.content)
    with trainer.averaged():
        save_bundle(bundle, folder)
    write_text(folder / "ATTRIBUTION.md", attribution(args.data))
    return folder


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of this stage."""
    defaults = Recipe()
    parser = argparse.ArgumentParser(prog="python -m miniature transformer", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder made by the prepare stage")
    parser.add_argument("--tokenizer", type=Path, help="tokenizer.safetensors of the tokenizer stage")
    parser.add_argument("--semantic", type=Path, help="semantic.safetensors of the semantic stage")
    parser.add_argument("--content", type=Path, help="content.safetensors of the content stage")
    parser.add_argument("--start", type=Path, help="train a bundle folder on")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, log and bundle")
    parser.add_argument("--minutes", type=float, default=defaults.minutes, help="training time in all")
    parser.add_argument("--batch", type=int, default=defaults.batch, help="references a step")
    parser.add_argument("--targets", type=int, default=defaults.targets, help="pictures of each reference")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument(
        "--guide",
        type=float,
        default=defaults.guide,
        help="weight of guided attention; 0 for a bundle that looks where it should",
    )
    parser.add_argument("--workers", type=int, default=defaults.workers, help="threads that share a batch")
    parser.add_argument("--export", action="store_true", help="write the bundle and stop")
    parser.add_argument(
        "--at-most", type=float, default=math.inf, help="minutes before this command saves and ends"
    )
    parser.add_argument(
        "--compile", default="", metavar="BACKEND", help="torch.compile the blocks, such as inductor on a GPU"
    )
    add_options(parser)
    args = parser.parse_args(argv)
    if not args.start and len(_given(args)) < 3:
        parser.error("give --tokenizer, --semantic and --content, or --start with a bundle folder")
    if args.batch % args.workers:
        parser.error(f"--batch must be a multiple of {args.workers}, the workers that share it")
    with only_run(args.out):
        train(args)
    return 0


def train(args: argparse.Namespace) -> None:
    """The whole of a run, and the bundle it leaves. Raises as `load_part` and `check_size`."""
    torch.set_num_threads(1)  # the workers are the parallelism
    preset, device = find_preset(args.preset), device_of(args.device)
    check_size(args.data, preset)
    if args.start:
        others = {kind: load_part(path, kind) for kind, path in _given(args).items()}
        parts = parts_of(load_bundle(preset.name, args.start), **others)
    else:
        parts = fresh_parts(preset, find_encoders(preset.name), args)
    recipe = Recipe(
        minutes=args.minutes,
        batch=args.batch,
        targets=args.targets,
        workers=args.workers if device.type == "cpu" else 1,
        seed=args.seed,
        guide=args.guide,
        compiler=args.compile,
    )
    trainer = Trainer(parts, args.data, args.out, recipe, device)
    if not args.export:
        trainer.run(args.at_most)
    logger.info("Bundle written to %s.", export(trainer, preset, args))


def _given(args: argparse.Namespace) -> dict[str, Path]:
    """The parts that are named one by one."""
    named = {kind: getattr(args, kind) for kind in ("tokenizer", "semantic", "content")}
    return {kind: path for kind, path in named.items() if path}
