"""Trains nano's transformer (with its encoders) and writes the bundle.

`python -m echogen_core.training transformer --data DATA --tokenizer FILE --semantic FILE --out RUN`; run
again, it goes on where it stopped. `--export` only writes the bundle from the newest checkpoint.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer

from ..checkpoints import load_part, save_part
from ..config import PRESETS, Preset
from ..encoders import ENCODERS, ContentEncoder, EncoderConfigs, TextEncoder, build_tokenizer, wrap_tokenizer
from ..model import EchoGenTransformer
from ..scales import find_schedule
from .attribution import attribution
from .dataset import SUBJECT_WORDS, Compositor
from .trainer import Parts, Recipe, Trainer

logger = logging.getLogger(__name__)


def prompt_corpus(data: Compositor) -> list[str]:
    """Every phrase and subject name that training prompts are made of, for learning the tokenizer."""
    phrases = [phrase for scene in data.scenes for phrase in scene.phrases]
    phrases.append("on a plain white background")
    names = [f"a {row['name'].lower()}" for row in data.subjects]
    words = [*SUBJECT_WORDS, *names]
    return [f"{word} {phrases[i % len(phrases)]}" for i, word in enumerate(words)] + phrases * 4


def build_parts(preset: Preset, encoders: EncoderConfigs, args: argparse.Namespace) -> Parts:
    """Fresh transformer, text and content encoder, beside the trained tokenizer and semantic encoder."""
    torch.manual_seed(args.seed)
    vocabulary = args.out / "tokenizer.json"
    if not vocabulary.is_file():
        corpus = prompt_corpus(Compositor(args.data, "train"))
        build_tokenizer(corpus, encoders.text.vocabulary).save(str(vocabulary))
    words = Tokenizer.from_file(str(vocabulary))
    return Parts(
        transformer=EchoGenTransformer(preset.transformer),
        text=TextEncoder(encoders.text, wrap_tokenizer(words)),
        content=ContentEncoder(encoders.content),
        semantic=load_part(args.semantic, "semantic").requires_grad_(True),
        tokenizer=load_part(args.tokenizer, "tokenizer").eval().requires_grad_(False),
        schedule=find_schedule(preset.budget),
    )


def export(trainer: Trainer, args: argparse.Namespace) -> Path:
    """The averaged weights as a bundle folder."""
    folder: Path = args.out / "bundle"
    parts = trainer.parts
    with trainer.averaged():
        save_part(
            folder / "transformer.safetensors", "transformer", parts.transformer, parts.transformer.config
        )
        save_part(folder / "text.safetensors", "text", parts.text, parts.text.config)
        save_part(folder / "content.safetensors", "content", parts.content, parts.content.config)
        save_part(folder / "semantic.safetensors", "semantic", parts.semantic, parts.semantic.config)
    save_part(folder / "tokenizer.safetensors", "tokenizer", parts.tokenizer, parts.tokenizer.config)
    (folder / "tokenizer.json").write_bytes((args.out / "tokenizer.json").read_bytes())
    (folder / "ATTRIBUTION.md").write_text(attribution(args.data), encoding="utf-8")
    return folder


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of this stage."""
    defaults = Recipe()
    parser = argparse.ArgumentParser(prog="python -m echogen_core.training transformer", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder made by the prepare stage")
    parser.add_argument(
        "--tokenizer", type=Path, required=True, help="tokenizer.safetensors of the tokenizer stage"
    )
    parser.add_argument(
        "--semantic", type=Path, required=True, help="semantic.safetensors of the semantic stage"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, log and bundle")
    parser.add_argument("--minutes", type=float, default=defaults.minutes, help="training time in all")
    parser.add_argument("--batch", type=int, default=defaults.batch, help="references a step")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--workers", type=int, default=defaults.workers, help="threads that share a batch")
    parser.add_argument("--export", action="store_true", help="write the bundle and stop")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)  # the workers are the parallelism
    args.out.mkdir(parents=True, exist_ok=True)
    parts = build_parts(PRESETS["nano"], ENCODERS["nano"], args)
    recipe = Recipe(minutes=args.minutes, batch=args.batch, workers=args.workers, seed=args.seed)
    trainer = Trainer(parts, args.data, args.out, recipe)
    if not args.export:
        trainer.run()
    logger.info("Bundle written to %s.", export(trainer, args))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
