"""Trains a transformer's null features: what stands for a prompt or a reference that isn't given.

`python -m miniature null-features --data DATA --start BUNDLE --out RUN`; run it again to continue. The
transformer's own stage shows a subject in every picture, so that with a prompt alone it draws a pale spot
where a subject would be. Here, pictures of a prompt alone show its scene. What else reads the null features
learns to be what it was, most of all the branch without prompt and reference, from which guidance points
away: with equal γ_t and γ_I it and the one with all features are all that counts. Everything else is frozen:
with a prompt and both paths of a reference, the transformer computes bit for bit what it did.
Shapes: N pictures, K tokens computed, d bits per token.
"""

from __future__ import annotations

import argparse
import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from echogen_core.checkpoints import Bundle, load_bundle, save_bundle
from echogen_core.config import find_preset
from echogen_core.encoders.reference import reference_picture
from echogen_core.model import EchoGenTransformer
from echogen_core.model.branch import Conditions
from echogen_core.scales import find_schedule
from echogen_core.tokenizer.bsq import TeacherForcing, quantize_with_bit_flips
from echogen_core.training.condition_dropout import drop_conditions
from echogen_core.training.run_folder import only_run
from echogen_core.utils.option_types import whole
from echogen_core.utils.writing import write_text

from ..data.attribution import attribution
from ..data.bare_scenes import BareScenes
from ..data.dataset import Compositor
from .encoder_trainer import EncoderTrainer, OptimiserSettings, StepLoss
from .math_attention import math_attention
from .options import check_picture_size, encoder_parser, find_device, rate, seed
from .pair_features import encode_pairs
from .transformer_recipe import NANO_MIX
from .weighted_loss import bit_divergence, sampled_tokens, weighted_bit_loss

logger = logging.getLogger(__name__)

TRAINED = ("null_text", "null_semantic")
"""Not null_content: it also stands beside semantic features that are given, and has to leave their subject to
them. Trained along, it left that branch worse; these two suffice."""


class Kind(NamedTuple):
    """Which of text, semantic and content are given, and how many times in a step.

    bare: learns from the bits of pictures without a subject. Otherwise from the transformer as it was.
    """

    given: tuple[bool, bool, bool]
    times: int = 1
    bare: bool = False


KINDS = {
    "text_only": Kind((True, False, False), 2, bare=True),
    "neither": Kind((False, False, False)),
    "content_only": Kind((True, False, True)),
    "reference_only": Kind((False, True, True)),
}
"""What reads the trained features, but for one path of a reference without a prompt."""

HELDOUT = 6
"""Conditions of each kind, of held-out subjects, that a run is measured with."""


@dataclass(frozen=True)
class NullFeaturesRecipe:
    """Settings of a run, which ends after `minutes` (on a CPU: of processor time).

    conditions: of each kind in a step. targets: pictures that share a condition.
    learning_rate: in standard deviations of given features, per step. token_share: of the last scale's tokens
    that a step computes. bit_flips: largest flip rate of bitwise self-correction.
    """

    minutes: float = 13.0
    conditions: int = 2
    targets: int = 2
    learning_rate: float = 0.05
    token_share: float = 0.5
    bit_flips: float = 0.3
    seed: int = 0


class Drawn(NamedTuple):
    """What a kind is trained with: all features of its conditions, which to keep, its pictures' bits."""

    given: Conditions
    keep_3B: Tensor
    forced: TeacherForcing


class Pictures:
    """Draws what null features are trained with; a number determines what is drawn."""

    def __init__(self, bundle: Bundle, data: Path, split: str, targets: int, device: torch.device) -> None:
        self._bundle, self._targets, self._device = bundle, targets, device
        self._bare = BareScenes(data, split, device=device)
        self._whole = Compositor(data, split, device=device)

    @torch.no_grad()
    def draw(self, conditions: int, bit_flips: float, number: int) -> dict[str, Drawn]:
        """For each of KINDS, that many conditions times its own number."""
        numbers = np.random.SeedSequence(number).generate_state(len(KINDS))
        return {
            name: self._draw(kind, conditions * kind.times, bit_flips, int(own))
            for (name, kind), own in zip(KINDS.items(), numbers, strict=True)
        }

    def _draw(self, kind: Kind, conditions: int, bit_flips: float, number: int) -> Drawn:
        bundle, source = self._bundle, self._bare if kind.bare else self._whole
        source.generator.manual_seed(number)
        batch = source.batch(conditions, NANO_MIX, self._targets)
        forced = quantize_with_bit_flips(
            bundle.tokenizer.latent(batch.targets_B3HW),
            find_schedule(bundle.preset.budget).scales,
            strength=bit_flips,
            numpy_rng=np.random.default_rng(number),
            generator=torch.Generator(self._device).manual_seed(number),
        )
        references_B3HW = reference_picture(batch.references_B3HW, bundle.content.config.reference_size)
        keep_3B = torch.tensor(kind.given, device=self._device)[:, None].expand(-1, conditions)
        return Drawn(encode_pairs(bundle, batch.prompts, references_B3HW), keep_3B, forced)


class _InUnits(nn.Module):
    """A parameter in units of a standard deviation, so that one learning rate suits all."""

    def __init__(self, unit: float) -> None:
        super().__init__()
        self._unit = unit

    def forward(self, units: Tensor) -> Tensor:
        return units * self._unit

    def right_inverse(self, value: Tensor) -> Tensor:
        return value / self._unit


def begin(bundle: Bundle, given: Conditions) -> nn.ModuleList:
    """Makes the null features trainable, in units of the given features; returns what holds the parameters.

    The semantic ones begin as those of a blank reference. They are nearer to no subject at all than what the
    transformer's own stage left, which stands for any subject.
    """
    transformer = bundle.transformer.requires_grad_(False)
    assert given.text_mask_BL is not None and given.patches_BPE is not None
    units = (float(given.text_BLT[given.text_mask_BL].std()), float(given.patches_BPE.std()))
    size = bundle.content.config.reference_size
    with torch.no_grad():
        blank = bundle.semantic.encode(given.text_BLT.new_ones(1, 3, size, size))
        transformer.null_semantic.copy_(torch.cat((blank.cls_VC, blank.patches_VPC[0])))
    for name, unit in zip(TRAINED, units, strict=True):
        transformer.get_parameter(name).requires_grad_(True)
        parametrize.register_parametrization(transformer, name, _InUnits(unit))
    return nn.ModuleList(transformer.get_submodule(f"parametrizations.{name}") for name in TRAINED)


def finish(transformer: EchoGenTransformer) -> None:
    """Undoes what `begin` did to the transformer, except for the values."""
    for name in TRAINED:
        parametrize.remove_parametrizations(transformer, name, leave_parametrized=True)
        transformer.get_parameter(name).requires_grad_(False)


class NullFeaturesLoss:
    """The loss of a step on pictures that its number determines.

    Made before `begin`, of whose transformer it keeps a copy as the teacher.
    """

    def __init__(self, bundle: Bundle, pictures: Pictures, recipe: NullFeaturesRecipe) -> None:
        self._model, self._teacher = bundle.transformer, copy.deepcopy(bundle.transformer)
        self._schedule = find_schedule(bundle.preset.budget)
        self._pictures, self._recipe = pictures, recipe

    def __call__(self, step: int) -> StepLoss:
        """A mean over all conditions, and that of each kind."""
        recipe = self._recipe
        number = recipe.seed * 1_000_003 + step
        drawn = self._pictures.draw(recipe.conditions, recipe.bit_flips, number)
        generator = torch.Generator().manual_seed(number)
        kept_K = sampled_tokens(self._schedule, recipe.token_share, generator)
        parts = {name: self.of_kind(name, each, kept_K) for name, each in drawn.items()}
        times = sum(kind.times for kind in KINDS.values())
        total = torch.stack([KINDS[name].times * loss for name, loss in parts.items()]).sum() / times
        return StepLoss(total, {name: loss.detach() for name, loss in parts.items()})

    def of_kind(self, name: str, drawn: Drawn, kept_K: Tensor) -> Tensor:
        """The loss of one of KINDS, of the tokens whose indices are `kept_K`."""
        forced, schedule = drawn.forced, self._schedule
        kept_K = kept_K.to(forced.labels_BLD.device)
        logits_NKd2 = self._logits(self._model, drawn, kept_K)
        if KINDS[name].bare:
            labels_NKd, margins_NKd = (x[:, kept_K] for x in (forced.labels_BLD, forced.margins_BLD))
            return weighted_bit_loss(logits_NKd2, labels_NKd, schedule, None, margins_NKd, kept_K)
        with torch.no_grad():
            teacher_NKd2 = self._logits(self._teacher, drawn, kept_K)
        return bit_divergence(logits_NKd2, teacher_NKd2, schedule, kept_K)

    @torch.no_grad()
    def figures(self, drawn: Mapping[str, Drawn]) -> dict[str, float]:
        """The losses of all tokens."""
        every_K = torch.arange(self._schedule.spans[-1][1])
        return {
            f"heldout_{name}": round(float(self.of_kind(name, each, every_K)), 4)
            for name, each in drawn.items()
        }

    def _logits(self, model: EchoGenTransformer, drawn: Drawn, kept_K: Tensor) -> Tensor:
        """Of the tokens in `kept_K`, [N, K, d, 2]."""
        conditions = drop_conditions(model, drawn.given, drawn.keep_3B)
        with math_attention():
            return model.teacher_forced(conditions, drawn.forced.inputs_BLD, self._schedule, tokens_K=kept_K)


def train_null_features(
    bundle: Bundle,
    recipe: NullFeaturesRecipe,
    data: Path,
    out: Path,
    device: torch.device,
    within: float | None = None,
) -> Path:
    """A whole run; returns the folder of the new bundle. within: the `deadline` of EncoderTrainer."""
    pictures = Pictures(bundle, data, "train", recipe.targets, device)
    heldout = Pictures(bundle, data, "heldout", 1, device).draw(HELDOUT, 0.0, 1)
    loss = NullFeaturesLoss(bundle, pictures, recipe)
    logger.info("Before: %s.", loss.figures(heldout))
    model = begin(bundle, heldout["content_only"].given)
    settings = OptimiserSettings(recipe.learning_rate, weight_decay=0.0)
    trainer = EncoderTrainer(out, model, settings, recipe.minutes, device, within)
    trainer.train(loss, partial(loss.figures, heldout), log_every=20)
    finish(bundle.transformer)
    folder = out / "bundle"
    save_bundle(bundle, folder)
    write_text(folder / "ATTRIBUTION.md", attribution(data))
    return folder


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of this stage; returns the exit code."""
    options = _parser().parse_args(argv)
    torch.set_num_threads(options.threads)
    preset, device = find_preset(options.preset), find_device(options.device)
    recipe = NullFeaturesRecipe(
        minutes=options.minutes,
        conditions=options.conditions,
        learning_rate=options.learning_rate,
        seed=options.seed,
    )
    with only_run(options.out):
        check_picture_size(options.data, preset)
        bundle = load_bundle(preset.name, options.start, device=device)
        folder = train_null_features(bundle, recipe, options.data, options.out, device, options.within)
    logger.info("Bundle written to %s.", folder)
    return 0


def _parser() -> argparse.ArgumentParser:
    defaults = NullFeaturesRecipe()
    parser = encoder_parser("null-features", __doc__)
    parser.set_defaults(minutes=defaults.minutes)
    parser.add_argument("--start", type=Path, required=True, help="bundle folder to start from")
    parser.add_argument(
        "--conditions",
        type=whole(1),
        default=defaults.conditions,
        help="of each kind per step, with two pictures each",
    )
    parser.add_argument(
        "--learning-rate",
        type=rate,
        default=defaults.learning_rate,
        help="per step, in standard deviations of given features",
    )
    parser.add_argument("--seed", type=seed, default=defaults.seed, help="seed of everything random")
    return parser
