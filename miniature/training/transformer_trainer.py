"""The training loop of nano's transformer and text encoder, on the bits of a frozen tokenizer.

The paper's recipe at a small size: bitwise self-correction, loss weighted by scale, text, semantic and
content dropped independently. Time-boxed and resumable: schedules follow the minutes spent, so that they
complete at any budget.
Shape suffixes: B pairs, L tokens, T tokens of all scales, d bits.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from echogen_core.encoders import ContentEncoder, SemanticEncoder, TextEncoder
from echogen_core.encoders.reference import reference_picture
from echogen_core.model import EchoGenTransformer
from echogen_core.model.branch import Conditions
from echogen_core.scales import ScaleSchedule
from echogen_core.tokenizer import BitTokenizer
from echogen_core.tokenizer.bsq import TeacherForcing, quantize_with_bit_flips
from echogen_core.training.condition_dropout import drop_conditions
from echogen_core.training.moving_average import replaced, update_average
from echogen_core.training.state_file import write_state
from echogen_core.utils.writing import append_line

from ..data.dataset import Compositor, Mix, PairBatch
from ..data.prompt_words import ReferenceBoxes
from .guided_attention import GuidedAttention
from .math_attention import math_attention
from .optimisers import set_rates
from .pair_features import encode_pairs
from .precision import mixed_precision
from .restore import load_optimizer_states, load_state
from .run_time import checkpoint_seconds, total_seconds
from .transformer_optimisers import build_optimizers
from .transformer_recipe import TransformerRecipe
from .weighted_loss import sampled_tokens, scale_accuracy, subject_emphasis, weighted_bit_loss

logger = logging.getLogger(__name__)


TEXT_STEP = 32
"""Prompts for a compiled model are padded to a multiple of this many tokens."""

HELDOUT = 96
"""Pairs of held-out subjects that a run is measured with."""


class Noise(NamedTuple):
    """One worker's random numbers for condition dropping and bit flips; the generator is on the device."""

    generator: torch.Generator
    numpy_rng: np.random.Generator


class _WorkerResult(NamedTuple):
    """One worker's part of a step; guide_loss: of guided attention, in nats (0: not guided)."""

    gradients: tuple[Tensor | None, ...]
    loss: float
    accuracy: list[float]
    guide_loss: float


@dataclass
class Modules:
    """The modules of a bundle. Tokenizer, semantic and content encoder are frozen, as in the paper.

    When trained jointly, the content encoder lost two thirds of what could be read from its latents in 200
    steps.
    """

    transformer: EchoGenTransformer
    text: TextEncoder
    content: ContentEncoder
    semantic: SemanticEncoder
    tokenizer: BitTokenizer
    schedule: ScaleSchedule

    def trained(self) -> nn.ModuleDict:
        """The modules that are trained."""
        return nn.ModuleDict({"transformer": self.transformer, "text": self.text})

    def frozen(self) -> tuple[nn.Module, ...]:
        """The modules that are not trained."""
        return self.tokenizer, self.semantic, self.content


class Trainer:
    """Trains in one process on one device; keeps state.pt and log.jsonl in `out`, and resumes from it."""

    def __init__(
        self,
        modules: Modules,
        data: Path,
        out: Path,
        recipe: TransformerRecipe,
        device: torch.device | str = "cpu",
    ) -> None:
        self.modules, self.recipe, self.out = modules, recipe, out
        self.device = torch.device(device)
        out.mkdir(parents=True, exist_ok=True)
        self.trained = modules.trained().to(self.device)
        if recipe.compiler:
            for block in modules.transformer.blocks:
                block.compile(backend=recipe.compiler)
        for module in modules.frozen():
            module.to(self.device).eval().requires_grad_(False)
        self.average = {name: p.detach().clone() for name, p in self.trained.named_parameters()}
        self.optimizers = build_optimizers(self.trained, recipe)
        self.step, self.seconds = 0, 0.0
        self.data = Compositor(data, "train", seed=recipe.seed, device=self.device)
        self.heldout = Compositor(data, "heldout", seed=recipe.seed, device=self.device)
        self._resume()
        # a resumed run draws new pictures
        self.data.generator.manual_seed(recipe.seed * 1_000_003 + self.step)
        self.noise = [_noise(recipe.seed, self.step, worker, self.device) for worker in range(recipe.workers)]
        # a CPU is many times slower on denormal numbers: workers treat them as zero
        self.pool = ThreadPoolExecutor(recipe.workers, initializer=torch.set_flush_denormal, initargs=(True,))
        self.loader = ThreadPoolExecutor(1)
        self.prefetched: Future[PairBatch] | None = None

    def run(self, at_most: float = math.inf, saved: Callable[[], object] = lambda: None) -> None:
        """Trains until the recipe's minutes are used up.

        at_most: minutes after which this call saves and returns anyway; the next run continues.
        saved: called after each checkpoint on the way.
        """
        self.trained.train()
        total = total_seconds(self.recipe.minutes, self.seconds, self.recipe.deadline)
        self.recipe = replace(self.recipe, minutes=total / 60)
        last = started = time.monotonic()
        began = started - self.seconds
        compiling = bool(self.recipe.compiler)  # in the first step: its time does not count
        log_path = self.out / "log.jsonl"
        attention = math_attention() if self.device.type == "cpu" else nullcontext()
        record: dict[str, Any] = {}
        with attention:
            while self.progress() < 1 and time.monotonic() - started < at_most * 60:
                record = self._train_step()
                if compiling:
                    began, compiling = time.monotonic() - self.seconds, False
                self.seconds = time.monotonic() - began
                if self.step % self.recipe.validate_every == 0:
                    record |= self._validate()
                record |= {"step": self.step, "minutes": round(self.seconds / 60, 4)}
                if self.step % 20 == 0:
                    append_line(log_path, json.dumps(record))
                if time.monotonic() - last >= checkpoint_seconds(self.device):
                    self.save()
                    saved()
                    last = time.monotonic()
        if record and self.step % 20:
            append_line(log_path, json.dumps(record))
        self.save()

    def progress(self) -> float:
        """Share of the run that is done, 0..1."""
        return min(1.0, self.seconds / (self.recipe.minutes * 60))

    def save(self) -> None:
        """Writes state.pt atomically."""
        state = {
            "trained": self.trained.state_dict(),
            "average": self.average,
            "optimizers": [o.state_dict() for o in self.optimizers],
            "step": self.step,
            "seconds": self.seconds,
        }
        write_state(self.out / "state.pt", state)
        logger.info("Saved step %d after %.1f minutes.", self.step, self.seconds / 60)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Puts the moving average in place of the trained weights, for evaluation and export."""
        with replaced(dict(self.trained.named_parameters()), self.average):
            self.trained.eval()
            try:
                yield
            finally:
                self.trained.train()

    def _resume(self) -> None:
        path = self.out / "state.pt"
        if not path.is_file():
            return
        state = load_state(path)
        self.trained.load_state_dict(state["trained"])
        self.average = {name: tensor.to(self.device) for name, tensor in state["average"].items()}
        if len(state["optimizers"]) == len(self.optimizers):
            load_optimizer_states(self.optimizers, state["optimizers"])
        else:
            logger.warning("The number of workers has changed: weights are resumed, optimisers start anew.")
        self.step, self.seconds = state["step"], state["seconds"]
        logger.info("Resumed at step %d, %.1f minutes.", self.step, self.seconds / 60)

    def _train_step(self) -> dict[str, Any]:
        progress = self.progress()
        rate = min(1.0, (self.step + 1) / self.recipe.warmup) * min(
            1.0, (1 - progress) / self.recipe.cooldown
        )
        set_rates(self.optimizers, rate)
        pairs = self._next_pairs()
        shares = list(self.pool.map(self._worker_step, split_pairs(pairs, self.recipe.workers), self.noise))
        for parameter, *gradients in zip(
            self.trained.parameters(), *(share.gradients for share in shares), strict=True
        ):
            given = [gradient for gradient in gradients if gradient is not None]
            parameter.grad = torch.stack(given).mean(0) if len(given) > 1 else next(iter(given), None)
        nn.utils.clip_grad_norm_(self.trained.parameters(), self.recipe.clip)
        list(self.pool.map(_apply, self.optimizers))
        self.step += 1
        update_average(self.average, self.trained.named_parameters(), self.step, self.recipe.ema)
        accuracy = np.mean([share.accuracy for share in shares], axis=0)
        loss = float(np.mean([share.loss for share in shares]))
        guide_loss = float(np.mean([share.guide_loss for share in shares]))
        bits = [round(float(a), 4) for a in accuracy]
        return {"loss": loss, "guide_loss": guide_loss, "lr": rate, "bits": bits}

    def _next_pairs(self) -> PairBatch:
        """The batch drawn during the last step; starts drawing the next one."""

        def prefetch() -> Future[PairBatch]:
            recipe = self.recipe
            return self.loader.submit(self._pairs, self.data, recipe.batch, recipe.mix, recipe.targets)

        pairs = (self.prefetched or prefetch()).result()
        self.prefetched = prefetch()
        return pairs

    def _pairs(self, source: Compositor, count: int, mix: Mix, targets: int = 1) -> PairBatch:
        """A batch with references at the encoders' input size."""
        pairs, size = source.batch(count, mix, targets), self.modules.content.config.reference_size
        if pairs.references_B3HW.shape[-1] == size:
            return pairs
        return pairs._replace(references_B3HW=reference_picture(pairs.references_B3HW, size))

    def _worker_step(self, pairs: PairBatch, noise: Noise) -> _WorkerResult:
        schedule = self.modules.schedule
        tokens_K = self._sample_tokens(noise)
        logits, forced, guide_loss = self._forward(
            pairs, noise, self.recipe.drop, self.recipe.bit_flips, tokens_K
        )
        emphasis_BT = subject_emphasis(pairs.subject_masks_B1HW, schedule, self.recipe.subject)
        margins_BKd = forced.margins_BLD[:, tokens_K] if self.recipe.weigh_by_margin else None
        labels_BKd = forced.labels_BLD[:, tokens_K]
        loss = weighted_bit_loss(
            logits, labels_BKd, schedule, emphasis_BT[:, tokens_K], margins_BKd, tokens_K
        )
        # the last layer's content stream has dead weights, without a gradient
        gradients = torch.autograd.grad(
            loss + self._guide_weight() * guide_loss, list(self.trained.parameters()), allow_unused=True
        )
        accuracy = scale_accuracy(logits.detach(), labels_BKd, schedule)
        return _WorkerResult(gradients, float(loss.detach()), accuracy, float(guide_loss.detach()))

    def _sample_tokens(self, noise: Noise) -> Tensor:
        """Indices of the tokens that a step computes: all, or a random share of the last scale's."""
        share = 1.0 if self.progress() >= self.recipe.all_tokens_from else self.recipe.token_share
        return sampled_tokens(self.modules.schedule, share, noise.generator)

    def _guide_weight(self) -> float:
        """Weight of the guided-attention loss, falling to 0."""
        return self.recipe.guide * max(0.0, 1 - self.progress() / self.recipe.guide_until)

    def _validate(self) -> dict[str, Any]:
        """Loss and bit accuracy on held-out subjects, without dropping or flipping."""
        self.heldout.generator.manual_seed(self.recipe.seed)
        # its shapes differ from training's: compiling them would evict those
        eager = torch.compiler.set_stance("force_eager") if self.recipe.compiler else nullcontext()
        with torch.no_grad(), self.averaged(), eager:
            logits, forced, _ = self._forward(
                self._pairs(self.heldout, HELDOUT, self.recipe.mix), self.noise[0], drop=0.0, flips=0.0
            )
        accuracy = scale_accuracy(logits, forced.labels_BLD, self.modules.schedule)
        loss = float(weighted_bit_loss(logits, forced.labels_BLD, self.modules.schedule))
        return {"heldout_loss": loss, "heldout_bits": [round(a, 4) for a in accuracy]}

    def _forward(
        self, pairs: PairBatch, noise: Noise, drop: float, flips: float, tokens_K: Tensor | None = None
    ) -> tuple[Tensor, TeacherForcing, Tensor]:
        """Logits of `tokens` (None: all) [B, K, d, 2], their targets, and the guided-attention loss."""
        modules = self.modules
        with mixed_precision(self.device):
            with torch.no_grad():
                latent = modules.tokenizer.latent(pairs.targets_B3HW)
            forced = quantize_with_bit_flips(
                latent,
                modules.schedule.scales,
                strength=flips,
                numpy_rng=noise.numpy_rng,
                generator=noise.generator,
            )
            shape = (3, len(pairs.prompts))
            keep_3B = torch.rand(shape, generator=noise.generator, device=self.device) >= drop
            inputs = self._conditions(pairs, keep_3B)
            guide = None if tokens_K is None else self._guide(pairs, keep_3B[2], tokens_K)
            logits = modules.transformer.teacher_forced(
                inputs, forced.inputs_BLD, modules.schedule, guide, tokens_K
            )
        return logits, forced, logits.new_zeros(()) if guide is None else guide.loss()

    def _guide(self, pairs: PairBatch, has_content_B: Tensor, tokens_K: Tensor) -> GuidedAttention | None:
        if pairs.reference_boxes is None or not self._guide_weight():
            return None
        grid = self.modules.content.config.grid
        return GuidedAttention(
            pairs.reference_boxes,
            pairs.subject_masks_B1HW,
            has_content_B,
            self.modules.schedule,
            grid,
            tokens_K,
        )

    def _conditions(self, pairs: PairBatch, keep_3B: Tensor) -> Conditions:
        """keep_3B: whether text, semantic and content are kept, per reference."""
        multiple = TEXT_STEP if self.recipe.compiler else 1
        given = encode_pairs(self.modules, pairs.prompts, pairs.references_B3HW, multiple)
        return drop_conditions(self.modules.transformer, given, keep_3B)


def split_pairs(pairs: PairBatch, parts: int) -> list[PairBatch]:
    """Splits a batch into `parts` equal shares, each reference with its targets."""
    prompts = [pairs.prompts[i::parts] for i in range(parts)]
    owned = (len(pairs.prompts), -1)
    targets = pairs.targets_B3HW.unflatten(0, owned)
    masks = pairs.subject_masks_B1HW.unflatten(0, owned)
    boxes = pairs.reference_boxes
    return [
        PairBatch(
            pairs.references_B3HW[i::parts],
            targets[i::parts].flatten(0, 1),
            masks[i::parts].flatten(0, 1),
            prompts[i],
            pairs.scenes_B[i::parts],
            pairs.subjects_B[i::parts],
            boxes and ReferenceBoxes(*(values.unflatten(0, owned)[i::parts].flatten() for values in boxes)),
        )
        for i in range(parts)
    ]


def _noise(seed: int, step: int, worker: int, device: torch.device) -> Noise:
    mixed = (seed * 1_000_003 + step) * 101 + worker
    return Noise(torch.Generator(device).manual_seed(mixed), np.random.default_rng(mixed))


def _apply(optimizer: torch.optim.Optimizer) -> None:
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
