"""Trains a miniature's decoder on, with codes as its transformer draws them.

`python -m miniature decoder --data DATA --start BUNDLE --out RUN`; run again, it goes on where
it stopped. What the encoder says of a picture and what the transformer says of it differ: of the last scale's
bits a part falls the other way. A decoder that has seen such codes knows which pictures they stand for. Half
of each batch keeps the true codes. Only the decoder changes: the bits, and all that was learnt of them, stay.
Shapes: B pictures, H W pixels or tokens, D bits per token, L tokens of all scales.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from echogen_core.checkpoints import Bundle, load_bundle, save_bundle
from echogen_core.config import find_preset
from echogen_core.encoders.pictures import reference_picture
from echogen_core.model.transformer import Conditions
from echogen_core.sampling.bits import draw_bits, picture_generators
from echogen_core.sampling.guidance import Guidance
from echogen_core.scales import find_schedule
from echogen_core.tokenizer import add_scale, quantize_multiscale, quantize_with_bit_flips
from echogen_core.training.condition_dropout import drop_conditions, encode_pairs
from echogen_core.training.run_folder import only_run
from echogen_core.writing import write_text

from ..data.attribution import attribution
from ..data.dataset import Compositor
from ..data.pictures import Coded, CompositorPictures
from .options import check_size, device_of
from .tokenizer import Run, export, train
from .tokenizer_recipe import TokenizerRecipe, add_recipe, given_recipe
from .transformer_recipe import NANO_MIX

logger = logging.getLogger(__name__)

DISTURBED = 0.1
"""Largest share of the earlier scales' bits that is flipped before the last scale is drawn."""

BRANCHES = torch.tensor([[True, True, True], [True, False, False], [False, False, False]])
"""Text, semantic and content in each branch of the guidance, in the order of its weights."""


class DrawnCodes:
    """Pictures with codes whose last scale the transformer has drawn, guided as the preset says."""

    def __init__(self, bundle: Bundle, data: Path, split: str, seed: int, device: torch.device) -> None:
        self._bundle, self._device = bundle, device
        self._schedule = find_schedule(bundle.preset.budget)
        self._compositor = Compositor(data, split, seed, device=device)
        self._numpy_rng = np.random.default_rng(seed)
        self._flips = torch.Generator(device).manual_seed(seed)
        self._seed = seed

    @torch.no_grad()
    def pictures(self, count: int) -> Coded:
        """fp32 [count, 3, H, W] with their subjects' masks and drawn codes."""
        pairs, bundle = self._compositor.batch(count, NANO_MIX), self._bundle
        references_B3HW = reference_picture(pairs.references_B3HW, bundle.content.config.reference_size)
        scales = self._schedule.scales
        with torch.autocast(self._device.type, torch.bfloat16):
            given = encode_pairs(bundle, pairs.prompts, references_B3HW)
            forced = quantize_with_bit_flips(
                bundle.tokenizer.latent(pairs.targets_B3HW),
                scales,
                strength=DISTURBED,
                flip_scales=len(scales) - 1,
                numpy_rng=self._numpy_rng,
                generator=self._flips,
            )
            bits_BLD = self._draw(given, forced.inputs_BLD)
        # before the last scale, the sum so far has the last scale's size already
        height, width = scales[-1]
        summed_BDHW = forced.inputs_BLD[:, -height * width :].mT.unflatten(-1, (height, width))
        codes_BDHW = add_scale(summed_BDHW, bits_BLD.unflatten(1, (height, width)), scales[-1])
        return Coded(pairs.targets_B3HW, pairs.subject_masks_B1HW, codes_BDHW)

    def _draw(self, given: Conditions, inputs_BLD: Tensor) -> Tensor:
        """The last scale's bits [B, its tokens, D]."""
        preset, model, count = self._bundle.preset, self._bundle.transformer, len(inputs_BLD)
        logits = [
            model.teacher_forced(
                drop_conditions(model, given, keep_3.to(self._device)[:, None].expand(3, count)),
                inputs_BLD,
                self._schedule,
            )[:, slice(*self._schedule.spans[-1])].float()
            for keep_3 in BRANCHES
        ]
        weights = Guidance.constant(preset.gamma_t, preset.gamma_i, 1).weights(0)
        guided = sum(
            (weight * part for weight, part in zip(weights, logits, strict=True)),
            start=torch.zeros_like(logits[0]),
        )
        seeds = range(self._seed, self._seed + count)
        self._seed += count
        return draw_bits(guided / preset.tau, picture_generators(seeds), preset.top_p)


class MixedCodes:
    """One picture with its true codes after each with drawn ones."""

    def __init__(self, drawn: DrawnCodes, true: CompositorPictures, bundle: Bundle) -> None:
        self._drawn, self._true, self._tokenizer = drawn, true, bundle.tokenizer
        self._scales = find_schedule(bundle.preset.budget).scales

    @torch.no_grad()
    def pictures(self, count: int) -> Coded:
        """fp32 [count, 3, H, W]; count is even."""
        drawn, true = self._drawn.pictures(count // 2), self._true.pictures(count // 2)
        with torch.autocast(true.images_B3HW.device.type, torch.bfloat16):
            latent_BDHW = self._tokenizer.latent(true.images_B3HW)
        codes_BDHW = quantize_multiscale(latent_BDHW, self._scales).codes_BDHW
        both = zip(drawn, (*true, codes_BDHW), strict=True)
        return Coded(*(torch.stack(pair, 1).flatten(0, 1) for pair in both))


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of this stage."""
    defaults = TokenizerRecipe(minutes=20.0, lr=4e-4, muon=4e-3, perceptual_weight=1.0)
    parser = argparse.ArgumentParser(prog="python -m miniature decoder", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder made by the prepare stage")
    parser.add_argument("--start", type=Path, required=True, help="the bundle folder to train on")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run and of the new bundle")
    add_recipe(parser, defaults)
    options = parser.parse_args(argv)
    if options.batch % (2 * options.workers):
        parser.error(f"--batch must be a multiple of {2 * options.workers}, twice the workers")
    torch.set_num_threads(1)  # the workers are the parallelism
    preset, device = find_preset(options.preset), device_of(options.device)
    recipe = replace(
        given_recipe(options, defaults, device),
        decoder_phase=1.0,
        decoder_lr=1.0,
        easing=0.0,
        perceptual_start=0.0,
    )
    with only_run(options.out):
        check_size(options.data, preset)
        bundle = load_bundle(preset.name, options.start, device=device)
        folder = train_decoder(bundle, recipe, options.data, options.out, device)
    logger.info("Bundle written to %s.", folder)
    return 0


def train_decoder(
    bundle: Bundle, recipe: TokenizerRecipe, data: Path, out: Path, device: torch.device
) -> Path:
    """The whole of a run; returns the folder of the bundle with the new decoder."""
    tokenizer = bundle.tokenizer
    run = Run(tokenizer.config, find_schedule(bundle.preset.budget).scales, recipe, out, device)
    if not run.resume():
        run.model.load_state_dict(tokenizer.state_dict())
    seed = recipe.seed + run.step
    drawn = DrawnCodes(bundle, data, "train", seed, device)
    source = MixedCodes(drawn, CompositorPictures(data, "train", seed, device), bundle)
    heldout = DrawnCodes(bundle, data, "heldout", 1, device).pictures(64)
    true = CompositorPictures(data, "heldout", 1, device).pictures(64)
    run.log({"before": run.evaluate(heldout), "of true codes": run.evaluate(true)})
    train(run, source, heldout)
    run.log({"of true codes": run.evaluate(true)})
    decoder = export(run, out / "tokenizer.safetensors")
    folder = out / "bundle"
    save_bundle(replace(bundle, tokenizer=decoder), folder)
    write_text(folder / "ATTRIBUTION.md", attribution(data))
    return folder
