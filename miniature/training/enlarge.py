"""Initialises a miniature from the weights of one with other sizes.

`python -m miniature enlarge --start OLD --tokenizer FILE --out NEW` writes a bundle of the preset's sizes.
Tensors that fit are copied, patch embeddings are resized, and the content path starts anew, because its
tokens differ. NEW has to be trained before it is of use: `transformer --start NEW`.
Shapes: O outputs, P old and Q new pixels across a patch.
"""

from __future__ import annotations

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
from echogen_core.encoders.sizes import find_encoders
from echogen_core.model import EchoGenTransformer
from echogen_core.training.initialise import initialise
from echogen_core.training.run_folder import only_run
from echogen_core.utils.option_parser import OptionParser
from echogen_core.utils.option_types import output_folder

from .content import ContentRecipe, scale_latents
from .guided_attention import sharpen_heads
from .options import MINIATURES, seed
from .restore import load_matching

logger = logging.getLogger(__name__)

_PATCHES = "dino.embeddings.patch_embeddings.projection.weight"


def resize_patch_embedding(kernel_O3PP: Tensor, side: int) -> Tensor:
    """Resizes a patch embedding to patches of `side` pixels, [O, 3, Q, Q].

    It responds to a patch as the old one does to the patch scaled down to P pixels.
    """
    old = kernel_O3PP.shape[-1]
    unit_Q1Q = torch.eye(side)[:, None]
    reduce_QP = F.interpolate(unit_Q1Q, old, mode="linear", antialias=False, align_corners=False)[:, 0]
    reduce_QP = reduce_QP / reduce_QP.sum(0)
    return torch.einsum("qp,oxpr,sr->oxqs", reduce_QP, kernel_O3PP, reduce_QP)


def enlarge(start: Path, tokenizer: Path, preset: Preset, seed: int) -> Bundle:
    """A bundle of the preset's sizes from the one in the folder `start`; tokenizer: file of the new size.

    Raises:
        FileNotFoundError, ValueError: as `load_part`.
    """
    encoders, generator = find_encoders(preset.name), torch.Generator().manual_seed(seed)
    transformer = EchoGenTransformer(preset.transformer)
    initialise(transformer, generator)
    old = load_part(start / "transformer.safetensors", "transformer").state_dict()
    fresh = load_matching(transformer, old, fresh="content")
    sharpen_heads(transformer)
    logger.info("Transformer: %d tensors start anew, including all of the content path.", len(fresh))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        content = ContentEncoder(encoders.content)
        scale_latents(content, ContentRecipe().deviation)
    fresh = load_matching(content, load_part(start / "content.safetensors", "content").state_dict())
    logger.info("Content encoder: these start anew: %s.", ", ".join(fresh))
    return Bundle(
        preset,
        transformer,
        load_part(tokenizer, "tokenizer"),
        load_part(start / "text.safetensors", "text"),
        _semantic(start / "semantic.safetensors", encoders.semantic),
        content,
    )


def _semantic(path: Path, config: SemanticEncoderConfig) -> SemanticEncoder:
    """The semantic encoder with the same number of patches, in another size."""
    patch = load_part(path, "semantic").config.patch
    old = load_part(path, "semantic", config=replace(config, patch=patch, image_size=config.grid * patch))
    state = {name: tensor.float() for name, tensor in old.state_dict().items()}
    state[_PATCHES] = resize_patch_embedding(state[_PATCHES], config.patch)
    semantic = SemanticEncoder(config)
    semantic.load_state_dict(state)
    return semantic


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of this stage; returns the exit code."""
    parser = OptionParser(prog="python -m miniature enlarge", description=__doc__)
    parser.add_argument("--start", type=Path, required=True, help="bundle folder of the older miniature")
    parser.add_argument(
        "--tokenizer", type=Path, required=True, help="tokenizer.safetensors of the tokenizer stage"
    )
    parser.add_argument("--out", type=output_folder, required=True, help="folder of the new bundle")
    parser.add_argument("--preset", choices=MINIATURES, default="nano", help="sizes of the new miniature")
    parser.add_argument("--seed", type=seed, default=0, help="seed of what starts anew")
    options = parser.parse_args(argv)
    with only_run(options.out):
        bundle = enlarge(options.start, options.tokenizer, find_preset(options.preset), options.seed)
        save_bundle(bundle, options.out)
    logger.info("Bundle written to %s.", options.out)
    return 0
