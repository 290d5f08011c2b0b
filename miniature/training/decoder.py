"""Fine-tunes a miniature's decoder on codes that its transformer samples.

`python -m miniature decoder --data DATA --start BUNDLE --out RUN`; run it again to continue. The encoder's
and the transformer's codes of a picture differ in some of the last scale's bits. A decoder trained on sampled
codes learns which pictures they stand for. Half of each batch keeps the encoder's codes. Only the decoder
changes: the bits keep their meaning, and the transformer stays valid. Super-resolution, which reads what the
decoder computes, is left out: train it afterwards.
Shapes: B pictures, H W pixels or tokens, D bits per token, L tokens of all scales.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from echogen_core.checkpoints import Bundle, load_bundle, save_bundle
from echogen_core.config import find_preset
from echogen_core.encoders.reference import reference_picture
from echogen_core.model.branch import Conditions
from echogen_core.pictures import reduced
from echogen_core.sampling.bits import draw_bits, picture_generators
from echogen_core.sampling.guidance import Guidance
from echogen_core.scales import find_schedule
from echogen_core.tokenizer import add_scale, quantize_multiscale, quantize_with_bit_flips
from echogen_core.training.condition_dropout import drop_conditions
from echogen_core.training.run_folder import only_run
from echogen_core.utils.option_parser import OptionParser
from echogen_core.utils.option_types import output_folder
from echogen_core.utils.writing import write_text

from ..data.attribution import attribution
from ..data.dataset import Compositor
from ..data.image_sources import CodedImages, CompositeSource
from ..encoded_size import without_super_resolution
from .options import check_picture_size, find_device
from .pair_features import encode_pairs
from .precision import mixed_precision
from .tokenizer_recipe import TokenizerRecipe, add_recipe_options, recipe_from
from .tokenizer_trainer import HELDOUT, TokenizerTrainer, export, train
from .transformer_recipe import NANO_MIX

logger = logging.getLogger(__name__)

BIT_FLIPS = 0.1
"""Largest share of the earlier scales' bits that is flipped before the last scale is sampled."""

BRANCHES = torch.tensor([[True, True, True], [True, False, False], [False, False, False]])
"""Which of text, semantic and content each guidance branch sees, in the order of the guidance weights."""


class SampledCodes:
    """Draws pictures with codes whose last scale the transformer samples at the preset's guidance."""

    def __init__(self, bundle: Bundle, data: Path, split: str, seed: int, device: torch.device) -> None:
        self._bundle, self._device = bundle, device
        self._schedule = find_schedule(bundle.preset.budget)
        self._compositor = Compositor(data, split, seed, device=device)
        self._numpy_rng = np.random.default_rng(seed)
        self._flips = torch.Generator(device).manual_seed(seed)
        self._seed = seed

    @torch.no_grad()
    def draw(self, count: int) -> CodedImages:
        """float32 pictures [count, 3, H, W] in 0..1 with their subjects' masks and sampled codes.

        Larger pictures than the schedule's are coded at the schedule's size.
        """
        pairs, bundle = self._compositor.batch(count, NANO_MIX), self._bundle
        references_B3HW = reference_picture(pairs.references_B3HW, bundle.content.config.reference_size)
        scales = self._schedule.scales
        with mixed_precision(self._device):
            given = encode_pairs(bundle, pairs.prompts, references_B3HW)
            forced = quantize_with_bit_flips(
                bundle.tokenizer.latent(reduced(pairs.targets_B3HW, self._schedule.pixels_hw)),
                scales,
                strength=BIT_FLIPS,
                flip_scales=len(scales) - 1,
                numpy_rng=self._numpy_rng,
                generator=self._flips,
            )
            bits_BLD = self._draw(given, forced.inputs_BLD)
        # before the last scale, the sum so far has the last scale's size already
        height, width = scales[-1]
        summed_BDHW = forced.inputs_BLD[:, -height * width :].mT.unflatten(-1, (height, width))
        codes_BDHW = add_scale(summed_BDHW, bits_BLD.unflatten(1, (height, width)), scales[-1])
        return CodedImages(pairs.targets_B3HW, pairs.subject_masks_B1HW, codes_BDHW)

    def _draw(self, given: Conditions, inputs_BLD: Tensor) -> Tensor:
        """Samples the last scale's bits [B, tokens of that scale, D]."""
        preset, count = self._bundle.preset, len(inputs_BLD)
        weights = Guidance.constant(preset.gamma_t, preset.gamma_i, 1).weights(0)
        weighted = [
            weight * self._last_logits(given, inputs_BLD, keep_3.to(self._device)[:, None].expand(3, count))
            for weight, keep_3 in zip(weights, BRANCHES, strict=True)
            if weight
        ]
        guided = sum(weighted[1:], start=weighted[0])
        seeds = range(self._seed, self._seed + count)
        self._seed += count
        return draw_bits(guided / preset.tau, picture_generators(seeds), preset.top_p)

    def _last_logits(self, given: Conditions, inputs_BLD: Tensor, keep_3B: Tensor) -> Tensor:
        """Logits of the last scale's bits, from the conditions that are kept."""
        model = self._bundle.transformer
        logits = model.teacher_forced(drop_conditions(model, given, keep_3B), inputs_BLD, self._schedule)
        return logits[:, slice(*self._schedule.spans[-1])].float()


class MixedCodes:
    """Alternates pictures with sampled codes and pictures with the encoder's."""

    def __init__(self, sampled: SampledCodes, true: CompositeSource, bundle: Bundle) -> None:
        self._sampled, self._true, self._tokenizer = sampled, true, bundle.tokenizer
        self._schedule = find_schedule(bundle.preset.budget)

    @torch.no_grad()
    def draw(self, count: int) -> CodedImages:
        """float32 pictures [count, 3, H, W] in 0..1 with masks and codes; count must be even."""
        sampled, true = self._sampled.draw(count // 2), self._true.draw(count // 2)
        with mixed_precision(true.images_B3HW.device):
            latent_BDHW = self._tokenizer.latent(reduced(true.images_B3HW, self._schedule.pixels_hw))
        codes_BDHW = quantize_multiscale(latent_BDHW, self._schedule.scales).codes_BDHW
        both = zip(sampled, (*true, codes_BDHW), strict=True)
        return CodedImages(*(torch.stack(pair, 1).flatten(0, 1) for pair in both))


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of this stage; returns the exit code."""
    defaults = TokenizerRecipe(minutes=20.0, lr=4e-4, muon=4e-3, perceptual_weight=1.0)
    parser = OptionParser(prog="python -m miniature decoder", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder made by the prepare stage")
    parser.add_argument("--start", type=Path, required=True, help="bundle folder to start from")
    parser.add_argument(
        "--out", type=output_folder, required=True, help="folder of the run and of the resulting bundle"
    )
    add_recipe_options(parser, defaults)
    options = parser.parse_args(argv)
    if options.batch % (2 * options.workers):
        parser.error(
            f"expected --batch as a multiple of {2 * options.workers}, twice --workers, got {options.batch}"
        )
    torch.set_num_threads(1)  # --workers threads share a batch instead
    preset, device = find_preset(options.preset), find_device(options.device)
    recipe = replace(
        recipe_from(options, defaults, device),
        decoder_phase=1.0,
        decoder_lr=1.0,
        quantizer_warmup=0.0,
        perceptual_start=0.0,
    )
    with only_run(options.out):
        check_picture_size(options.data, preset)
        bundle = load_bundle(preset.name, options.start, device=device)
        folder = train_decoder(bundle, recipe, options.data, options.out, device)
    logger.info("Bundle written to %s.", folder)
    return 0


def train_decoder(
    bundle: Bundle, recipe: TokenizerRecipe, data: Path, out: Path, device: torch.device
) -> Path:
    """A whole run; returns the folder of the bundle with the new decoder."""
    tokenizer = without_super_resolution(bundle.tokenizer)
    trainer = TokenizerTrainer(
        tokenizer.config, find_schedule(bundle.preset.budget).scales, recipe, out, device
    )
    if not trainer.resume():
        trainer.model.load_state_dict(tokenizer.state_dict())
    seed = recipe.seed + trainer.step
    sampled = SampledCodes(bundle, data, "train", seed, device)
    source = MixedCodes(sampled, CompositeSource(data, "train", seed, device), bundle)
    heldout = SampledCodes(bundle, data, "heldout", 1, device).draw(HELDOUT)
    true = CompositeSource(data, "heldout", 1, device).draw(HELDOUT)
    trainer.log({"before": trainer.evaluate(heldout), "teacher_forced": trainer.evaluate(true)})
    train(trainer, source, heldout)
    trainer.log({"teacher_forced": trainer.evaluate(true)})
    decoder = export(trainer, out / "tokenizer.safetensors")
    folder = out / "bundle"
    save_bundle(replace(bundle, tokenizer=decoder), folder)
    write_text(folder / "ATTRIBUTION.md", attribution(data))
    return folder
