"""A beginning for the miniature's training out of one of other sizes.

`python -m miniature enlarge --start OLD --tokenizer FILE --out NEW` writes a bundle of the
preset's sizes: what fits is kept, larger patches see what the smaller ones saw, and the content path begins
anew, because its tokens are others. NEW is no model yet: `transformer --start NEW` trains it.
Shapes: O outputs, P old and Q new pixels across a patch.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from echogen_core.checkpoints import Bundle, load_part, save_bundle
from echogen_core.config import Preset, find_preset
from echogen_core.encoders import ContentEncoder, SemanticEncoder, SemanticEncoderConfig
from echogen_core.encoders.config import find_encoders
from echogen_core.model import EchoGenTransformer
from echogen_core.training.initialise import initialise
from echogen_core.training.run_folder import only_run
from echogen_core.training.state import fitting

from .content import Recipe, scaled
from .guide import sharpen
from .options import MINIATURES

logger = logging.getLogger(__name__)

_PATCHES = "dino.embeddings.patch_embeddings.projection.weight"


def repatched(kernel_O3PP: Tensor, side: int) -> Tensor:
    """A patch embedding that reads of patches of `side` pixels what the old one read of them reduced."""
    old = kernel_O3PP.shape[-1]
    unit_Q1Q = torch.eye(side)[:, None]
    reduce_QP = F.interpolate(unit_Q1Q, old, mode="linear", antialias=False, align_corners=False)[:, 0]
    reduce_QP = reduce_QP / reduce_QP.sum(0)
    return torch.einsum("qp,oxpr,sr->oxqs", reduce_QP, kernel_O3PP, reduce_QP)


def enlarge(start: Path, tokenizer: Path, preset: Preset, seed: int) -> Bundle:
    """The bundle in `start` at the preset's sizes, with a tokenizer that has them.

    Raises:
        FileNotFoundError, ValueError: as `load_part`.
    """
    encoders, generator = find_encoders(preset.name), torch.Generator().manual_seed(seed)
    transformer = EchoGenTransformer(preset.transformer)
    initialise(transformer, generator)
    old = load_part(start / "transformer.safetensors", "transformer").state_dict()
    left = fitting(transformer, old, fresh="content")
    sharpen(transformer)
    logger.info("Of the transformer %d tensors begin anew, all of the content path.", len(left))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        content = ContentEncoder(encoders.content)
        scaled(content, Recipe().deviation)
    left = fitting(content, load_part(start / "content.safetensors", "content").state_dict())
    logger.info("Of the content encoder begin anew: %s.", ", ".join(left))
    return Bundle(
        preset,
        transformer,
        load_part(tokenizer, "tokenizer"),
        load_part(start / "text.safetensors", "text"),
        _semantic(start / "semantic.safetensors", encoders.semantic),
        content,
    )


def _semantic(path: Path, config: SemanticEncoderConfig) -> SemanticEncoder:
    """The semantic encoder with as many patches, larger ones."""
    patch = load_part(path, "semantic").config.patch
    old = load_part(path, "semantic", config=replace(config, patch=patch, image_size=config.grid * patch))
    state = {name: tensor.float() for name, tensor in old.state_dict().items()}
    state[_PATCHES] = repatched(state[_PATCHES], config.patch)
    semantic = SemanticEncoder(config)
    semantic.load_state_dict(state)
    return semantic


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of this step."""
    parser = argparse.ArgumentParser(prog="python -m miniature enlarge", description=__doc__)
    parser.add_argument("--start", type=Path, required=True, help="bundle folder of the older miniature")
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer.safetensors of its stage")
    parser.add_argument("--out", type=Path, required=True, help="folder of the new bundle")
    parser.add_argument("--preset", choices=MINIATURES, default="nano", help="whose sizes (default: nano)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    with only_run(options.out):
        bundle = enlarge(options.start, options.tokenizer, find_preset(options.preset), options.seed)
        save_bundle(bundle, options.out)
    logger.info("Bundle written to %s.", options.out)
    return 0
