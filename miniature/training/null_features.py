"""Trains a transformer's null features: what stands for a prompt or a reference that isn't given.

`python -m miniature null-features --data DATA --start BUNDLE --out RUN`; run it again to continue. The
transformer's own stage shows a subject in every picture, so that without a reference it draws a pale spot
where a subject would be. Here, pictures without a reference show their scene alone. All else is frozen: with
a prompt and both paths of a reference, the transformer computes bit for bit what it did.
Shapes: N pictures, K tokens computed, d bits per token.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
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
from .weighted_loss import weighted_bit_loss

logger = logging.getLogger(__name__)

TRAINED = ("null_text", "null_semantic")
"""Not null_content: it also stands beside semantic features that are given, and has to leave their subject to
them. Trained along, it left that branch worse; these two suffice."""


class Kind(NamedTuple):
    """Which of text, semantic and content are given, and how many quarters of the conditions are so."""

    given: tuple[bool, bool, bool]
    quarters: int


KINDS = {
    "text_only": Kind((True, False, False), 2),
    "neither": Kind((False, False, False), 1),
    "content_only": Kind((True, False, True), 1),
}
"""The branches that read what is trained. The last has a subject; the pictures of the others must not."""
BARE_QUARTERS = 3

HELDOUT = 24
"""Conditions, of held-out subjects, that a run is measured with; a multiple of four."""


@dataclass(frozen=True)
class NullFeaturesRecipe:
    """Settings of a run, which ends after `minutes` (on a CPU: of processor time).

    quarter: conditions of a step in a quarter of them. targets: pictures that share a condition.
    learning_rate: in standard deviations of given features, per step. token_share: of the last scale's tokens
    that a step computes. bit_flips: largest flip rate of bitwise self-correction.
    """

    minutes: float = 8.0
    quarter: int = 2
    targets: int = 2
    learning_rate: float = 0.05
    token_share: float = 0.5
    bit_flips: float = 0.3
    seed: int = 0


class Drawn(NamedTuple):
    """Conditions of all KINDS in their order, all features given, which to keep, and the pictures' bits."""

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
    def draw(self, quarter: int, bit_flips: float, number: int) -> Drawn:
        """`quarter` conditions in every quarter of them."""
        bundle = self._bundle
        batches = []
        for source, quarters in ((self._bare, BARE_QUARTERS), (self._whole, 4 - BARE_QUARTERS)):
            source.generator.manual_seed(number)
            batches.append(source.batch(quarters * quarter, NANO_MIX, self._targets))
        references_B3HW = torch.cat([batch.references_B3HW for batch in batches])
        references_B3HW = reference_picture(references_B3HW, bundle.content.config.reference_size)
        forced = quantize_with_bit_flips(
            bundle.tokenizer.latent(torch.cat([batch.targets_B3HW for batch in batches])),
            find_schedule(bundle.preset.budget).scales,
            strength=bit_flips,
            numpy_rng=np.random.default_rng(number),
            generator=torch.Generator(self._device).manual_seed(number),
        )
        kept = [kind.given for kind in KINDS.values() for _ in range(kind.quarters * quarter)]
        given = encode_pairs(
            bundle, [prompt for batch in batches for prompt in batch.prompts], references_B3HW
        )
        return Drawn(given, torch.tensor(kept, device=self._device).T, forced)


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


def losses(bundle: Bundle, drawn: Drawn, kept_K: Tensor) -> dict[str, Tensor]:
    """The bit loss of each kind, weighted by margin, of the tokens whose indices are `kept_K`."""
    schedule, forced = find_schedule(bundle.preset.budget), drawn.forced
    conditions = drop_conditions(bundle.transformer, drawn.given, drawn.keep_3B)
    with math_attention():
        logits_NKd2 = bundle.transformer.teacher_forced(
            conditions, forced.inputs_BLD, schedule, tokens_K=kept_K
        )
    start, end = schedule.spans[-1]
    emphasis_K = torch.where(kept_K < start, 1.0, (end - start) / (len(kept_K) - start))
    sizes = [kind.quarters * len(logits_NKd2) // 4 for kind in KINDS.values()]
    of_kinds = zip(
        KINDS,
        logits_NKd2.split(sizes),
        forced.labels_BLD[:, kept_K].split(sizes),
        forced.margins_BLD[:, kept_K].split(sizes),
        strict=True,
    )
    return {
        name: weighted_bit_loss(logits, labels, schedule, emphasis_K, margins, kept_K)
        for name, logits, labels, margins in of_kinds
    }


class NullFeaturesLoss:
    """The loss of a step on pictures that its number determines."""

    def __init__(self, bundle: Bundle, pictures: Pictures, recipe: NullFeaturesRecipe) -> None:
        self._bundle, self._pictures, self._recipe = bundle, pictures, recipe
        self._span = find_schedule(bundle.preset.budget).spans[-1]

    def __call__(self, step: int) -> StepLoss:
        """A mean over all conditions, and that of each kind."""
        recipe, (start, end) = self._recipe, self._span
        number = recipe.seed * 1_000_003 + step
        drawn = self._pictures.draw(recipe.quarter, recipe.bit_flips, number)
        order = torch.randperm(end - start, generator=torch.Generator().manual_seed(number))
        some = order[: max(1, round((end - start) * recipe.token_share))].sort().values
        kept_K = torch.cat((torch.arange(start), some + start)).to(drawn.keep_3B.device)
        parts = losses(self._bundle, drawn, kept_K)
        total = torch.stack([KINDS[name].quarters / 4 * loss for name, loss in parts.items()]).sum()
        return StepLoss(total, {name: loss.detach() for name, loss in parts.items()})


@torch.no_grad()
def figures(bundle: Bundle, drawn: Drawn) -> dict[str, float]:
    """The losses of all tokens."""
    every_K = torch.arange(drawn.forced.labels_BLD.shape[1], device=drawn.keep_3B.device)
    return {f"heldout_{name}": round(float(loss), 4) for name, loss in losses(bundle, drawn, every_K).items()}


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
    heldout = Pictures(bundle, data, "heldout", 1, device).draw(HELDOUT // 4, 0.0, 1)
    logger.info("Before: %s.", figures(bundle, heldout))
    model = begin(bundle, heldout.given)
    settings = OptimiserSettings(recipe.learning_rate, weight_decay=0.0)
    trainer = EncoderTrainer(out, model, settings, recipe.minutes, device, within)
    loss = NullFeaturesLoss(bundle, pictures, recipe)
    trainer.train(loss, partial(figures, bundle, heldout), log_every=20)
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
        quarter=options.quarter,
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
        "--quarter",
        type=whole(1),
        default=defaults.quarter,
        help="a quarter of the conditions per step, with two pictures each",
    )
    parser.add_argument(
        "--learning-rate",
        type=rate,
        default=defaults.learning_rate,
        help="per step, in standard deviations of given features",
    )
    parser.add_argument("--seed", type=seed, default=defaults.seed, help="seed of everything random")
    return parser
