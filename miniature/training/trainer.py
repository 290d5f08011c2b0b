"""Trains nano's transformer with its text encoder, on the bits of a frozen tokenizer.

The paper's recipe at a small size: bitwise self-correction, loss weighed by scale, text, semantic and content
dropped independently. Time-boxed and resumable: progress is measured in minutes of training, so that a run
gives its best at any budget.
Shape suffixes: B pairs, L tokens, T tokens of all scales, d bits.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from echogen_core.encoders import ContentEncoder, SemanticEncoder, TextEncoder
from echogen_core.encoders.pictures import reference_picture
from echogen_core.model import EchoGenTransformer
from echogen_core.model.transformer import Conditions
from echogen_core.scales import ScaleSchedule
from echogen_core.tokenizer import BitTokenizer
from echogen_core.tokenizer.bsq import TeacherForcing, quantize_with_bit_flips
from echogen_core.training.condition_dropout import drop_conditions, encode_pairs
from echogen_core.training.loss import bit_loss, scale_accuracy, subject_emphasis
from echogen_core.training.state import go_on, replaced, update_average, write_state
from echogen_core.writing import append_line

from ..data.dataset import Compositor, Mix, PairBatch
from ..data.words import Frames
from .attention import plain_attention
from .guide import Guide
from .optimisers import build_optimizers
from .transformer_recipe import Recipe

logger = logging.getLogger(__name__)


TEXT_STEP = 32
"""Tokens that compiled prompts are padded to a multiple of."""


class Noise(NamedTuple):
    """Random sources of one worker: condition dropping and bit flips; the generator is on the device."""

    generator: torch.Generator
    numpy_rng: np.random.Generator


class _Share(NamedTuple):
    """One worker's part of a step; lost: nats by which guided heads looked elsewhere (0: not guided)."""

    gradients: tuple[Tensor | None, ...]
    loss: float
    accuracy: list[float]
    lost: float


@dataclass
class Parts:
    """The modules of a bundle; tokenizer, semantic and content encoder stay as they are, as in the paper.

    Trained along, a content encoder forgot two thirds of what could be read from its latents in 200 steps.
    """

    transformer: EchoGenTransformer
    text: TextEncoder
    content: ContentEncoder
    semantic: SemanticEncoder
    tokenizer: BitTokenizer
    schedule: ScaleSchedule

    def trained(self) -> nn.ModuleDict:
        return nn.ModuleDict({"transformer": self.transformer, "text": self.text})

    def frozen(self) -> tuple[nn.Module, ...]:
        return self.tokenizer, self.semantic, self.content


class Trainer:
    """One process, one device; state lives in `out` and is picked up again."""

    def __init__(
        self, parts: Parts, data: Path, out: Path, recipe: Recipe, device: torch.device | str = "cpu"
    ) -> None:
        self.parts, self.recipe, self.out = parts, recipe, out
        self.device = torch.device(device)
        out.mkdir(parents=True, exist_ok=True)
        self.trained = parts.trained().to(self.device)
        if recipe.compiler:
            for block in parts.transformer.blocks:
                block.compile(backend=recipe.compiler)
        for module in parts.frozen():
            module.to(self.device).eval().requires_grad_(False)
        self.average = {name: p.detach().clone() for name, p in self.trained.named_parameters()}
        self.optimizers = build_optimizers(self.trained, recipe)
        self.step, self.seconds = 0, 0.0
        self.data = Compositor(data, "train", seed=recipe.seed, device=self.device)
        self.heldout = Compositor(data, "heldout", seed=recipe.seed, device=self.device)
        self._resume()
        # a resumed run draws new pictures instead of repeating the first ones
        self.data.generator.manual_seed(recipe.seed * 1_000_003 + self.step)
        self.noise = [_noise(recipe.seed, self.step, worker, self.device) for worker in range(recipe.workers)]
        # a CPU is many times slower on numbers too small for full precision: workers count them as zero
        self.pool = ThreadPoolExecutor(recipe.workers, initializer=torch.set_flush_denormal, initargs=(True,))
        self.loader = ThreadPoolExecutor(1)
        self.upcoming: Future[PairBatch] | None = None

    def run(self, at_most: float = math.inf) -> None:
        """Train until the recipe's minutes are used up; checkpoints and a log of JSON lines go to `out`.

        at_most: minutes before this call saves and returns, whatever is left: the next one goes on.
        """
        self.trained.train()
        saved = started = time.monotonic()
        compiling = bool(self.recipe.compiler)  # the first step: minutes that teach nothing do not count
        log_path = self.out / "log.jsonl"
        attention = plain_attention() if self.device.type == "cpu" else nullcontext()
        with attention:
            while self.progress() < 1 and time.monotonic() - started < at_most * 60:
                began = time.monotonic()
                record = self._train_step()
                if not compiling:
                    self.seconds += time.monotonic() - began
                compiling = False
                if self.step % self.recipe.validate_every == 0:
                    record |= self._validate()
                if self.step % 20 == 0:
                    record |= {"step": self.step, "minutes": round(self.seconds / 60, 2)}
                    append_line(log_path, json.dumps(record))
                if time.monotonic() - saved > self.recipe.checkpoint_minutes * 60:
                    self.save()
                    saved = time.monotonic()
        self.save()

    def progress(self) -> float:
        return min(1.0, self.seconds / (self.recipe.minutes * 60))

    def save(self) -> None:
        """Write the state atomically."""
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
        """The moving average in place of the trained weights, for looking and for shipping."""
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
        state = torch.load(path, weights_only=True, map_location=self.device)
        self.trained.load_state_dict(state["trained"])
        self.average = state["average"]
        if len(state["optimizers"]) == len(self.optimizers):
            go_on(self.optimizers, state["optimizers"])
        else:
            logger.warning("Another number of workers: the optimisers start afresh from the saved weights.")
        self.step, self.seconds = state["step"], state["seconds"]
        logger.info("Resumed at step %d, %.1f minutes.", self.step, self.seconds / 60)

    def _train_step(self) -> dict[str, Any]:
        progress = self.progress()
        rate = min(1.0, (self.step + 1) / self.recipe.warmup) * min(
            1.0, (1 - progress) / self.recipe.cooldown
        )
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * rate
        pairs = self._next_pairs()
        shares = list(self.pool.map(self._share, split_pairs(pairs, self.recipe.workers), self.noise))
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
        lost = float(np.mean([share.lost for share in shares]))
        bits = [round(float(a), 4) for a in accuracy]
        return {"loss": loss, "lost": lost, "lr": rate, "bits": bits}

    def _next_pairs(self) -> PairBatch:
        """The batch that was drawn beside the last step; the one after it is begun."""

        def begin() -> Future[PairBatch]:
            recipe = self.recipe
            return self.loader.submit(self._pairs, self.data, recipe.batch, recipe.mix, recipe.targets)

        pairs = (self.upcoming or begin()).result()
        self.upcoming = begin()
        return pairs

    def _pairs(self, source: Compositor, count: int, mix: Mix, targets: int = 1) -> PairBatch:
        """A batch, its references as large as the encoders want them."""
        pairs, size = source.batch(count, mix, targets), self.parts.content.config.reference_size
        if pairs.references_B3HW.shape[-1] == size:
            return pairs
        return pairs._replace(references_B3HW=reference_picture(pairs.references_B3HW, size))

    def _share(self, pairs: PairBatch, noise: Noise) -> _Share:
        schedule = self.parts.schedule
        kept_K = self._kept(noise)
        logits, forced, lost = self._forward(pairs, noise, self.recipe.drop, self.recipe.flips, kept_K)
        emphasis_BT = subject_emphasis(pairs.subject_masks_B1HW, schedule, self.recipe.subject)
        start, end = schedule.spans[-1]
        emphasis_BT[:, start:] *= (end - start) / (len(kept_K) - start)
        margins_BKd = forced.margins_BLD[:, kept_K] if self.recipe.margins else None
        labels_BKd = forced.labels_BLD[:, kept_K]
        loss = bit_loss(logits, labels_BKd, schedule, emphasis_BT[:, kept_K], margins_BKd, kept_K)
        # the last layer's content stream has dead weights, without a gradient
        gradients = torch.autograd.grad(
            loss + self._guidance() * lost, list(self.trained.parameters()), allow_unused=True
        )
        accuracy = scale_accuracy(logits.detach(), labels_BKd, schedule)
        return _Share(gradients, float(loss.detach()), accuracy, float(lost.detach()))

    def _kept(self, noise: Noise) -> Tensor:
        """The tokens that a step computes: all, or of the last scale a random part."""
        start, end = self.parts.schedule.spans[-1]
        share = 1.0 if self.progress() >= self.recipe.whole else self.recipe.thinned
        drawn = torch.randperm(end - start, generator=noise.generator, device=self.device)
        some = drawn[: round((end - start) * share)].sort().values
        return torch.cat((torch.arange(start, device=self.device), some + start))

    def _guidance(self) -> float:
        """Weight of the guide, falling to nothing."""
        return self.recipe.guide * max(0.0, 1 - self.progress() / self.recipe.guided)

    def _validate(self) -> dict[str, Any]:
        """Loss and bit accuracy on held-out subjects, nothing dropped or flipped."""
        self.heldout.generator.manual_seed(self.recipe.seed)
        # other shapes than the training's: compiled once more they would crowd those out
        eager = torch.compiler.set_stance("force_eager") if self.recipe.compiler else nullcontext()
        with torch.no_grad(), self.averaged(), eager:
            logits, forced, _ = self._forward(
                self._pairs(self.heldout, 96, self.recipe.mix), self.noise[0], drop=0.0, flips=0.0
            )
        accuracy = scale_accuracy(logits, forced.labels_BLD, self.parts.schedule)
        loss = float(bit_loss(logits, forced.labels_BLD, self.parts.schedule))
        return {"heldout_loss": loss, "heldout_bits": [round(a, 4) for a in accuracy]}

    def _forward(
        self, pairs: PairBatch, noise: Noise, drop: float, flips: float, kept_K: Tensor | None = None
    ) -> tuple[Tensor, TeacherForcing, Tensor]:
        """Logits (of kept tokens; None: all), what they should be, how far guided heads looked elsewhere."""
        parts = self.parts
        with torch.autocast(self.device.type, torch.bfloat16):
            with torch.no_grad():
                latent = parts.tokenizer.latent(pairs.targets_B3HW)
            forced = quantize_with_bit_flips(
                latent,
                parts.schedule.scales,
                strength=flips,
                numpy_rng=noise.numpy_rng,
                generator=noise.generator,
            )
            shape = (3, len(pairs.prompts))
            keep_3B = torch.rand(shape, generator=noise.generator, device=self.device) >= drop
            inputs = self._conditions(pairs, keep_3B)
            guide = None if kept_K is None else self._guide(pairs, keep_3B[2], kept_K)
            logits = parts.transformer.teacher_forced(
                inputs, forced.inputs_BLD, parts.schedule, guide, kept_K
            )
        return logits, forced, logits.new_zeros(()) if guide is None else guide.loss()

    def _guide(self, pairs: PairBatch, given_B: Tensor, kept_K: Tensor) -> Guide | None:
        if pairs.frames is None or not self._guidance():
            return None
        grid = self.parts.content.config.grid
        return Guide(pairs.frames, pairs.subject_masks_B1HW, given_B, self.parts.schedule, grid, kept_K)

    def _conditions(self, pairs: PairBatch, keep_3B: Tensor) -> Conditions:
        """keep_3B: whether text, semantic and content stay, per reference."""
        multiple = TEXT_STEP if self.recipe.compiler else 1
        given = encode_pairs(self.parts, pairs.prompts, pairs.references_B3HW, multiple)
        return drop_conditions(self.parts.transformer, given, keep_3B)


def split_pairs(pairs: PairBatch, parts: int) -> list[PairBatch]:
    """Equal shares of a batch, each reference with its own targets."""
    prompts = [pairs.prompts[i::parts] for i in range(parts)]
    owned = (len(pairs.prompts), -1)
    targets = pairs.targets_B3HW.unflatten(0, owned)
    masks = pairs.subject_masks_B1HW.unflatten(0, owned)
    frames = pairs.frames
    return [
        PairBatch(
            pairs.references_B3HW[i::parts],
            targets[i::parts].flatten(0, 1),
            masks[i::parts].flatten(0, 1),
            prompts[i],
            pairs.scenes_B[i::parts],
            pairs.subjects_B[i::parts],
            frames and Frames(*(values.unflatten(0, owned)[i::parts].flatten() for values in frames)),
        )
        for i in range(parts)
    ]


def _noise(seed: int, step: int, worker: int, device: torch.device) -> Noise:
    mixed = (seed * 1_000_003 + step) * 101 + worker
    return Noise(torch.Generator(device).manual_seed(mixed), np.random.default_rng(mixed))


def _apply(optimizer: torch.optim.Optimizer) -> None:
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
