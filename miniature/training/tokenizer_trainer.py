"""The training loop of the miniature's BSQ tokenizer: time-boxed, resumable, in two phases.

Encoder and decoder are trained together through the quantiser, with straight-through gradients, then the
decoder alone on frozen codes. Muon trains the convolutions: in the same time it gains more than two decibels
over AdamW.
Shapes: B batch, H W pixels or tokens, D bits per token.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from echogen_core.checkpoints.save import save_part
from echogen_core.config import TokenizerConfig
from echogen_core.tokenizer import BitTokenizer, Scale, quantize_multiscale
from echogen_core.training.state_file import write_state
from echogen_core.utils.writing import append_line

from ..data.compose import MaskedImages
from ..data.image_sources import CodedImages, ImageSource
from ..psnr import psnr
from .group_norm import TrainingOperations
from .optimisers import ConvKernel, conv_kernels, muon, set_rates
from .perceptual import Perceptual
from .precision import mixed_precision
from .restore import load_optimizer_states, load_state
from .run_time import checkpoint_seconds, total_seconds
from .tokenizer_recipe import TokenizerRecipe

logger = logging.getLogger(__name__)

WEIGHTS = "tokenizer.safetensors"
"""The finished file in a run's folder."""
HELDOUT = 64
"""Held-out pictures that a run is evaluated on."""


class _WorkerResult(NamedTuple):
    """One worker's part of a step."""

    gradients: tuple[Tensor, ...]
    terms: dict[str, float]


def _optimizers(
    model: nn.Module, kernels: Sequence[ConvKernel], recipe: TokenizerRecipe
) -> tuple[torch.optim.Optimizer, ...]:
    """Muon for the kernels, AdamW for the rest."""
    rest = [parameter for parameter in model.parameters() if parameter.ndim != 4]
    adam = torch.optim.AdamW(
        [{"params": rest, "peak": recipe.lr}], betas=(0.9, 0.98), weight_decay=recipe.weight_decay
    )
    return muon([kernel.matrix for kernel in kernels], recipe.muon, recipe.weight_decay), adam


def pixel_terms(
    output_B3HW: Tensor, pictures: MaskedImages | CodedImages, subject_weight: float
) -> dict[str, Tensor]:
    """Absolute, squared and gradient errors in -1..1, with more weight on the subject's pixels; scalars."""
    error_B3HW = (output_B3HW - pictures.images_B3HW) * 2
    weight_B1HW = 1 + subject_weight * pictures.subject_B1HW
    weight_B1HW = weight_B1HW / weight_B1HW.mean()
    across = (error_B3HW.diff(dim=-1).abs() * weight_B1HW[..., 1:]).mean()
    down = (error_B3HW.diff(dim=-2).abs() * weight_B1HW[..., 1:, :]).mean()
    return {
        "l1": (error_B3HW.abs() * weight_B1HW).mean(),
        "mse": (error_B3HW.square() * weight_B1HW).mean(),
        "edges": across + down,
    }


class TokenizerTrainer:
    """Model, optimisers, clock and log of one run; keeps checkpoint.pt and log.jsonl in `out`."""

    def __init__(
        self,
        config: TokenizerConfig,
        scales: Sequence[Scale],
        recipe: TokenizerRecipe,
        out: Path,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, self.scales, self.recipe, self.out = config, tuple(scales), recipe, out
        self.device = torch.device(device)
        out.mkdir(parents=True, exist_ok=True)
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)
            model = BitTokenizer(config, operations=TrainingOperations)
        self.model: BitTokenizer = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.kernels = conv_kernels(self.model)
        self.optimizers = _optimizers(self.model, self.kernels, recipe)
        self.perceptual = Perceptual.lite0(self.device) if recipe.perceptual_weight else None
        self.step = 0
        self.elapsed = 0.0
        self._workers = ThreadPoolExecutor(recipe.workers)

    @property
    def progress(self) -> float:
        """Share of the run that is done, 0..1."""
        return min(1.0, max(self.elapsed / (60 * self.recipe.minutes), self.step / self.recipe.steps))

    @property
    def frozen(self) -> bool:
        """Whether the codes are final and only the decoder is trained."""
        return self.recipe.decoder_phase > 0 and self.progress >= 1 - self.recipe.decoder_phase

    def rate(self) -> float:
        """Share of the peak learning rates: in each phase a warm-up, then a cosine to zero."""
        border = 1 - self.recipe.decoder_phase
        if self.frozen:
            part, peak = (self.progress - border) / self.recipe.decoder_phase, self.recipe.decoder_lr
        else:
            part, peak = self.progress / border, 1.0
        warm = min(1.0, (part + 1e-3) / max(self.recipe.warmup, 1e-9))
        return peak * warm * 0.5 * (1 + math.cos(math.pi * min(part, 1.0)))

    def train_step(self, pictures: MaskedImages | CodedImages) -> dict[str, float]:
        """One optimiser step on pictures [B, 3, H, W]; returns the loss terms."""
        self.model.train()
        set_rates(self.optimizers, self.rate())
        chunks = zip(*(tensor.chunk(self.recipe.workers) for tensor in pictures), strict=True)
        shares = [type(pictures)(*part) for part in chunks]
        parts = list(self._workers.map(self._gradients, shares))
        for parameter, *gradients in zip(self._trained(), *(part.gradients for part in parts), strict=True):
            parameter.grad = sum(gradients[1:], gradients[0]) / len(gradients)
        record = {name: sum(part.terms[name] for part in parts) / len(parts) for name in parts[0].terms}
        nn.utils.clip_grad_norm_(self._trained(), self.recipe.clip)
        for kernel in self.kernels:
            kernel.take_gradient()
        for optimizer in self.optimizers:
            optimizer.step()
        for parameter in (*self.model.parameters(), *(kernel.matrix for kernel in self.kernels)):
            parameter.grad = None
        self.step += 1
        return record

    def _trained(self) -> list[nn.Parameter]:
        return list((self.model.decoder if self.frozen else self.model).parameters())

    def _reconstruct(self, pictures: MaskedImages | CodedImages) -> tuple[Tensor, dict[str, Tensor]]:
        """Decoded pictures [B, 3, H, W], and the commitment loss while the encoder is trained."""
        if isinstance(pictures, CodedImages):
            return self.model.reconstruct(pictures.codes_BDHW), {}
        with torch.set_grad_enabled(not self.frozen):
            latent_BDHW = self.model.latent(pictures.images_B3HW)
        codes_BDHW = quantize_multiscale(latent_BDHW.detach(), self.scales).codes_BDHW
        if self.frozen:
            return self.model.reconstruct(codes_BDHW), {}
        # One straight-through step over all scales: less noise than the sum of each scale's gradients.
        quantizer_warmup = (
            min(1.0, self.progress / self.recipe.quantizer_warmup) if self.recipe.quantizer_warmup else 1.0
        )
        straight_BDHW = latent_BDHW + quantizer_warmup * (codes_BDHW - latent_BDHW).detach()
        commitment = (latent_BDHW - codes_BDHW).square().sum(1).mean()
        return self.model.reconstruct(straight_BDHW), {"commitment": commitment}

    def _gradients(self, pictures: MaskedImages | CodedImages) -> _WorkerResult:
        recipe = self.recipe
        with mixed_precision(self.device):
            output_B3HW, more = self._reconstruct(pictures)
        terms = pixel_terms(output_B3HW, pictures, recipe.subject_weight)
        loss = terms["l1"] + recipe.mse_weight * terms["mse"] + recipe.gradient_weight * terms["edges"]
        if more:
            terms |= more
            loss = loss + recipe.commitment_weight * more["commitment"]
        if self.perceptual is not None and self.progress >= recipe.perceptual_start:
            some = max(1, round(len(output_B3HW) * recipe.perceptual_share))
            with mixed_precision(self.device):
                perceptual = self.perceptual.distance(output_B3HW[-some:], pictures.images_B3HW[-some:])
            terms["perceptual"] = perceptual
            loss = loss + recipe.perceptual_weight * perceptual
        gradients = torch.autograd.grad(loss, self._trained())
        return _WorkerResult(
            gradients, {name: round(float(value.detach()), 5) for name, value in terms.items()}
        )

    @torch.no_grad()
    def evaluate(self, pictures: MaskedImages | CodedImages) -> dict[str, float]:
        """PSNR in dB, of pictures and of the subject's pixels alone (means over pictures), and bit_entropy.

        bit_entropy: mean entropy of the bits, 0..1; left out where codes are given.
        """
        self.model.eval()
        with mixed_precision(self.device):
            if isinstance(pictures, CodedImages):
                return self._psnr(self.model.decode(pictures.codes_BDHW), pictures)
            encoded = self.model.encode(pictures.images_B3HW, self.scales)
            output_B3HW = self.model.decode(encoded.quantized_BDHW)
        ones = [bits.flatten(0, 2).float().mean(0) for bits in encoded.bits]
        entropy = torch.stack([(torch.special.entr(p) + torch.special.entr(1 - p)).mean() for p in ones])
        evenness = round(float(entropy.mean() / math.log(2)), 3)
        return {**self._psnr(output_B3HW, pictures), "bit_entropy": evenness}

    @staticmethod
    def _psnr(output_B3HW: Tensor, pictures: MaskedImages | CodedImages) -> dict[str, float]:
        error_B1HW = (output_B3HW - pictures.images_B3HW).square().mean(1, keepdim=True)
        subject_B1HW = pictures.subject_B1HW
        subject_B = (error_B1HW * subject_B1HW).sum((1, 2, 3)) / subject_B1HW.sum((1, 2, 3)).clamp_min(1)
        return {"psnr": _mean_psnr(error_B1HW.mean((1, 2, 3))), "subject_psnr": _mean_psnr(subject_B)}

    def save(self) -> None:
        """Writes checkpoint.pt atomically."""
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "elapsed": self.elapsed,
        }
        write_state(self.out / "checkpoint.pt", state)

    def resume(self) -> bool:
        """Loads the last checkpoint; returns whether there is one."""
        path = self.out / "checkpoint.pt"
        if not path.exists():
            return False
        state = load_state(path)
        self.model.load_state_dict(state["model"])
        load_optimizer_states(self.optimizers, state["optimizers"])
        self.step, self.elapsed = state["step"], state["elapsed"]
        return True

    def log(self, record: dict[str, Any]) -> None:
        """Appends a JSON line to log.jsonl."""
        record = {"step": self.step, "seconds": round(self.elapsed, 1), "frozen": self.frozen, **record}
        append_line(self.out / "log.jsonl", json.dumps(record))
        logger.info("%s", record)


def _mean_psnr(error_B: Tensor) -> float:
    return round(float(psnr(error_B).mean()), 3)


def train(
    trainer: TokenizerTrainer, source: ImageSource, heldout: MaskedImages | CodedImages
) -> dict[str, float]:
    """Trains to the end of the recipe; returns the last evaluation.

    The weights are written as soon as the codes are final, so that training a transformer can start. Pictures
    are drawn in a thread meanwhile.
    """
    with ThreadPoolExecutor(1) as loader:
        return _train(trainer, source, heldout, loader)


def _train(
    trainer: TokenizerTrainer,
    source: ImageSource,
    heldout: MaskedImages | CodedImages,
    loader: ThreadPoolExecutor,
) -> dict[str, float]:
    recipe = trainer.recipe
    seconds = total_seconds(recipe.minutes, trainer.elapsed, recipe.deadline)
    trainer.recipe = replace(recipe, minutes=seconds / 60)
    last_eval = last_save = trainer.elapsed
    began = time.monotonic() - trainer.elapsed
    save_seconds = checkpoint_seconds(trainer.device)
    eval_seconds = min(recipe.eval_seconds, save_seconds)
    was_frozen = trainer.frozen
    recent: list[dict[str, float]] = []
    prefetched = loader.submit(source.draw, trainer.recipe.batch)
    while trainer.progress < 1:
        pictures, prefetched = prefetched.result(), loader.submit(source.draw, trainer.recipe.batch)
        recent.append(trainer.train_step(pictures))
        trainer.elapsed = time.monotonic() - began
        if trainer.elapsed - last_eval >= eval_seconds:
            terms = recent[-1]  # a term can set in between two evaluations
            means = {n: round(sum(r.get(n, terms[n]) for r in recent) / len(recent), 5) for n in terms}
            trainer.log({**means, **trainer.evaluate(heldout), "rate": round(trainer.rate(), 4)})
            last_eval, recent = trainer.elapsed, []
        if trainer.frozen and not was_frozen:
            was_frozen = True
            trainer.log({"codes": "final", **trainer.evaluate(heldout)})
            export(trainer, trainer.out / WEIGHTS)
        if trainer.elapsed - last_save >= save_seconds:
            trainer.save()
            last_save = trainer.elapsed
    trainer.save()
    result = trainer.evaluate(heldout)
    trainer.log({"final": True, **result})
    return result


def export(trainer: TokenizerTrainer, path: Path) -> BitTokenizer:
    """Writes the weights in fp16; returns the model as it will be loaded."""
    save_part(path, "tokenizer", trainer.model, trainer.config)
    stored = BitTokenizer(trainer.config)
    stored.load_state_dict({name: t.half().float() for name, t in trainer.model.state_dict().items()})
    return stored.eval()
