"""Trains the miniature's BSQ tokenizer on pictures that the compositor makes.

Two phases share the time: encoder and decoder together through the quantiser (straight-through gradients),
then the decoder alone on frozen codes. Muon moves the convolutions' kernels, as matrices: in the same time it
gains more than two decibels over AdamW. Stops at any moment and resumes from the last checkpoint.
Shapes: B batch, H W pixels or tokens, D bits per token.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from echogen_core.checkpoints import load_part
from echogen_core.checkpoints.save import save_part
from echogen_core.config import Preset, TokenizerConfig, find_preset
from echogen_core.scales import find_schedule
from echogen_core.tokenizer import BitTokenizer, Scale, quantize_multiscale
from echogen_core.training.run_folder import only_run
from echogen_core.training.state import go_on, write_state
from echogen_core.writing import append_line, write_picture

from ..data.compose import Masked
from ..data.pictures import Coded, CompositorPictures, PictureSource
from .group_norm import TrainingOperations
from .kernels import Kernel
from .options import check_size, device_of
from .perceptual import Perceptual
from .pixel_unshuffle import refolded
from .tokenizer_recipe import TokenizerRecipe, add_recipe, given_recipe

logger = logging.getLogger(__name__)

WEIGHTS = "tokenizer.safetensors"
"""Name of the finished file in a run's folder."""


class _Part(NamedTuple):
    """One worker's share of a step."""

    gradients: tuple[Tensor, ...]
    terms: dict[str, float]


def _optimizers(
    model: nn.Module, kernels: Sequence[Kernel], recipe: TokenizerRecipe
) -> tuple[torch.optim.Optimizer, ...]:
    """Muon for the kernels, AdamW for the rest; each group knows its peak learning rate."""
    rest = [parameter for parameter in model.parameters() if parameter.ndim != 4]
    matrices = [{"params": [kernel.matrix for kernel in kernels], "peak": recipe.muon}]
    muon = torch.optim.Muon(matrices, lr=recipe.muon, momentum=0.95, weight_decay=recipe.weight_decay)
    adam = torch.optim.AdamW(
        [{"params": rest, "peak": recipe.lr}], betas=(0.9, 0.98), weight_decay=recipe.weight_decay
    )
    return muon, adam


def _pixel_terms(output_B3HW: Tensor, pictures: Masked | Coded, subject_weight: float) -> dict[str, Tensor]:
    """Absolute, squared and edge errors, on the scale -1..1, the subject's pixels counted more."""
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


class Run:
    """One training run: model, optimiser, clock and log, all in the directory `out`."""

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
        self.kernels = [Kernel.of(p) for p in self.model.parameters() if p.ndim == 4]
        self.optimizers = _optimizers(self.model, self.kernels, recipe)
        self.perceptual = Perceptual.lite0(self.device) if recipe.perceptual_weight else None
        self.step = 0
        self.elapsed = 0.0
        self._workers = ThreadPoolExecutor(recipe.workers)

    @property
    def progress(self) -> float:
        """Part of the run that is done, 0..1."""
        return min(1.0, max(self.elapsed / (60 * self.recipe.minutes), self.step / self.recipe.steps))

    @property
    def frozen(self) -> bool:
        """Whether the codes are final and only the decoder learns."""
        return self.recipe.decoder_phase > 0 and self.progress >= 1 - self.recipe.decoder_phase

    def rate(self) -> float:
        """Share of the peak learning rates: warm-up, then a cosine to zero, in each phase."""
        border = 1 - self.recipe.decoder_phase
        if self.frozen:
            part, peak = (self.progress - border) / self.recipe.decoder_phase, self.recipe.decoder_lr
        else:
            part, peak = self.progress / border, 1.0
        warm = min(1.0, (part + 1e-3) / max(self.recipe.warmup, 1e-9))
        return peak * warm * 0.5 * (1 + math.cos(math.pi * min(part, 1.0)))

    def train_step(self, pictures: Masked | Coded) -> dict[str, float]:
        """One optimiser step; returns the loss terms."""
        started = time.monotonic()
        self.model.train()
        rate = self.rate()
        for group in (group for optimizer in self.optimizers for group in optimizer.param_groups):
            group["lr"] = group["peak"] * rate
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
        self.elapsed += time.monotonic() - started
        return record

    def _trained(self) -> list[nn.Parameter]:
        return list((self.model.decoder if self.frozen else self.model).parameters())

    def _reconstruct(self, pictures: Masked | Coded) -> tuple[Tensor, dict[str, Tensor]]:
        """Decoded pictures [B, 3, H, W], and the commitment while the encoder still learns."""
        if isinstance(pictures, Coded):
            return self.model.reconstruct(pictures.codes_BDHW), {}
        with torch.set_grad_enabled(not self.frozen):
            latent_BDHW = self.model.latent(pictures.images_B3HW)
        codes_BDHW = quantize_multiscale(latent_BDHW.detach(), self.scales).codes_BDHW
        if self.frozen:
            return self.model.reconstruct(codes_BDHW), {}
        # One straight-through step over all scales: less noise than the scales' own gradients added up.
        easing = min(1.0, self.progress / self.recipe.easing) if self.recipe.easing else 1.0
        straight_BDHW = latent_BDHW + easing * (codes_BDHW - latent_BDHW).detach()
        commitment = (latent_BDHW - codes_BDHW).square().sum(1).mean()
        return self.model.reconstruct(straight_BDHW), {"commitment": commitment}

    def _gradients(self, pictures: Masked | Coded) -> _Part:
        recipe = self.recipe
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            output_B3HW, more = self._reconstruct(pictures)
        terms = _pixel_terms(output_B3HW, pictures, recipe.subject_weight)
        loss = terms["l1"] + recipe.mse_weight * terms["mse"] + recipe.gradient_weight * terms["edges"]
        if more:
            terms |= more
            loss = loss + recipe.commitment_weight * more["commitment"]
        if self.perceptual is not None and self.progress >= recipe.perceptual_start:
            some = max(1, round(len(output_B3HW) * recipe.perceptual_share))
            with torch.autocast(self.device.type, dtype=torch.bfloat16):
                looks = self.perceptual.distance(output_B3HW[-some:], pictures.images_B3HW[-some:])
            terms["looks"] = looks
            loss = loss + recipe.perceptual_weight * looks
        gradients = torch.autograd.grad(loss, self._trained())
        return _Part(gradients, {name: round(float(value.detach()), 5) for name, value in terms.items()})

    @torch.no_grad()
    def evaluate(self, pictures: Masked | Coded) -> dict[str, float]:
        """PSNR (dB, mean of the pictures' own; the subject's pixels alone) and how evenly each bit is used.

        bit_entropy: 1 means half zeros, half ones; left out where codes are given.
        """
        self.model.eval()
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            if isinstance(pictures, Coded):
                return self._likeness(self.model.decode(pictures.codes_BDHW), pictures)
            encoded = self.model.encode(pictures.images_B3HW, self.scales)
            output_B3HW = self.model.decode(encoded.quantized_BDHW)
        ones = [bits.flatten(0, 2).float().mean(0) for bits in encoded.bits]
        entropy = torch.stack([(torch.special.entr(p) + torch.special.entr(1 - p)).mean() for p in ones])
        evenness = round(float(entropy.mean() / math.log(2)), 3)
        return {**self._likeness(output_B3HW, pictures), "bit_entropy": evenness}

    @staticmethod
    def _likeness(output_B3HW: Tensor, pictures: Masked | Coded) -> dict[str, float]:
        error_B1HW = (output_B3HW - pictures.images_B3HW).square().mean(1, keepdim=True)
        subject_B1HW = pictures.subject_B1HW
        subject_B = (error_B1HW * subject_B1HW).sum((1, 2, 3)) / subject_B1HW.sum((1, 2, 3)).clamp_min(1)
        return {"psnr": _decibels(error_B1HW.mean((1, 2, 3))), "subject_psnr": _decibels(subject_B)}

    def save(self) -> None:
        """Everything needed to go on, written whole or not at all."""
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "elapsed": self.elapsed,
        }
        write_state(self.out / "checkpoint.pt", state)

    def resume(self) -> bool:
        """Loads the last checkpoint, if there is one."""
        path = self.out / "checkpoint.pt"
        if not path.exists():
            return False
        state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        go_on(self.optimizers, state["optimizers"])
        self.step, self.elapsed = state["step"], state["elapsed"]
        return True

    def log(self, record: dict[str, Any]) -> None:
        """Appends a JSON line to log.jsonl."""
        record = {"step": self.step, "seconds": round(self.elapsed, 1), "frozen": self.frozen, **record}
        append_line(self.out / "log.jsonl", json.dumps(record))
        logger.info("%s", record)


def _decibels(error_B: Tensor) -> float:
    return round(float((-10 * error_B.clamp_min(1e-10).log10()).mean()), 3)


def train(run: Run, source: PictureSource, heldout: Masked | Coded) -> dict[str, float]:
    """Trains until the recipe's end; returns the last evaluation.

    The weights are written as soon as the codes are final, so that a transformer can begin to learn them.
    Pictures are made beside the training steps.
    """
    with ThreadPoolExecutor(1) as maker:
        return _train(run, source, heldout, maker)


def _train(
    run: Run, source: PictureSource, heldout: Masked | Coded, maker: ThreadPoolExecutor
) -> dict[str, float]:
    last_eval = last_save = run.elapsed
    was_frozen = run.frozen
    recent: list[dict[str, float]] = []
    upcoming = maker.submit(source.pictures, run.recipe.batch)
    while run.progress < 1:
        pictures, upcoming = upcoming.result(), maker.submit(source.pictures, run.recipe.batch)
        recent.append(run.train_step(pictures))
        if run.elapsed - last_eval >= run.recipe.eval_seconds:
            terms = recent[-1]  # a term can set in between two reports
            means = {n: round(sum(r.get(n, terms[n]) for r in recent) / len(recent), 5) for n in terms}
            run.log({**means, **run.evaluate(heldout), "rate": round(run.rate(), 4)})
            last_eval, recent = run.elapsed, []
        if run.frozen and not was_frozen:
            was_frozen = True
            run.log({"codes": "final", **run.evaluate(heldout)})
            export(run, run.out / WEIGHTS)
        if run.elapsed - last_save >= run.recipe.save_seconds:
            run.save()
            last_save = run.elapsed
    run.save()
    result = run.evaluate(heldout)
    run.log({"final": True, **result})
    return result


@torch.no_grad()
def write_sheet(model: BitTokenizer, scales: Sequence[Scale], pictures_B3HW: Tensor, path: Path) -> None:
    """A PNG with rows of eight pictures, each above its reconstruction; small ones enlarged to 256 px."""
    decoded_B3HW = model.decode(model.encode(pictures_B3HW, scales).quantized_BDHW)
    rows = [
        torch.cat(list(part), dim=2)
        for start in range(0, len(pictures_B3HW), 8)
        for part in (pictures_B3HW[start : start + 8], decoded_B3HW[start : start + 8])
    ]
    sheet_HW3 = torch.cat(rows, dim=1).permute(1, 2, 0)
    array = (sheet_HW3.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    times = max(1, 256 // pictures_B3HW.shape[-1])
    write_picture(path, Image.fromarray(np.repeat(np.repeat(array, times, 0), times, 1)), "PNG")


def export(run: Run, path: Path) -> BitTokenizer:
    """Writes the weights in fp16 as a file of ours, and returns the model as a reader will have it."""
    save_part(path, "tokenizer", run.model, run.config)
    stored = BitTokenizer(run.config)
    stored.load_state_dict({name: t.half().float() for name, t in run.model.state_dict().items()})
    return stored.eval()


def main(argv: Sequence[str] | None = None) -> None:
    """Command line: `python -m miniature tokenizer --data DATA --out OUT`."""
    defaults = TokenizerRecipe()
    parser = argparse.ArgumentParser(prog="python -m miniature tokenizer", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder made by `prepare`")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; an earlier run goes on")
    parser.add_argument(
        "--start",
        type=Path,
        help="tokenizer.safetensors to begin with, also one for smaller pictures; give it again to go on",
    )
    parser.add_argument("--decoder-phase", type=float, default=defaults.decoder_phase)
    add_recipe(parser, defaults)
    options = parser.parse_args(argv)
    torch.set_num_threads(1)  # the workers are the parallelism
    device = device_of(options.device)
    recipe = replace(given_recipe(options, defaults, device), decoder_phase=options.decoder_phase)
    if options.start:  # it knows its codes and its pixels: nothing has to set in
        recipe = replace(recipe, easing=0.0, perceptual_start=0.0)
    with only_run(options.out):
        run_recipe(find_preset(options.preset), recipe, options.data, options.out, device, options.start)


def run_recipe(
    preset: Preset,
    recipe: TokenizerRecipe,
    data: Path,
    out: Path,
    device: torch.device,
    start: Path | None = None,
) -> None:
    """The whole of a run: train (`start`: on), export, and the figures and pictures to judge it by."""
    check_size(data, preset)
    run = Run(preset.tokenizer, find_schedule(preset.budget).scales, recipe, out, device)
    resumed = run.resume()
    if start and not resumed:
        run.model.load_state_dict(refolded(load_part(start, "tokenizer"), preset.tokenizer))
    run.log({"resumed": resumed, "recipe": asdict(recipe), "config": asdict(run.config)})
    heldout = CompositorPictures(data, "heldout", 1, device).pictures(64)
    train(run, CompositorPictures(data, "train", recipe.seed + run.step, device), heldout)
    stored = export(run, out / WEIGHTS)
    write_sheet(stored, run.scales, heldout.images_B3HW[:32].cpu(), out / "sheet.png")
