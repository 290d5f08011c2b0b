"""Trains the miniature's BSQ tokenizer on pictures that the compositor makes.

Two phases share the time: encoder and decoder together through the quantiser (straight-through gradients),
then the decoder alone on frozen codes. Stops at any moment and resumes from the last checkpoint.
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
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ..checkpoints.save import save_part
from ..config import PRESETS, TokenizerConfig
from ..scales import find_schedule
from ..tokenizer import BitTokenizer, Scale, quantize_multiscale
from .norm import TrainingOperations

logger = logging.getLogger(__name__)

WEIGHTS = "tokenizer.safetensors"
"""Name of the finished file in a run's folder."""


@dataclass(frozen=True)
class TokenizerRecipe:
    """How the tokenizer is trained. The run ends at whichever of `minutes` and `steps` comes first."""

    minutes: float = 25.0
    steps: int = 1_000_000
    batch: int = 32
    workers: int = 2  # threads that share a batch: one meeting a step, where OpenMP has one a layer
    lr: float = 1.5e-3
    decoder_lr: float = 6e-4
    warmup: float = 0.03  # part of the run
    decoder_phase: float = 0.25  # last part of the run, codes frozen
    easing: float = 0.1  # first part of the run, in which quantisation sets in: colours are learnt sooner
    weight_decay: float = 0.01
    clip: float = 1.0
    mse_weight: float = 2.0
    gradient_weight: float = 1.0
    commitment_weight: float = 0.1
    seed: int = 0
    eval_seconds: float = 60.0
    save_seconds: float = 120.0


class PictureSource(Protocol):
    """Where training pictures come from."""

    def pictures(self, count: int) -> Tensor:
        """fp32 [count, 3, H, W], RGB 0..1."""
        ...


class CompositorPictures:
    """Composites and, every fourth, the subject on white, as the transformer will see them."""

    def __init__(self, data: Path, split: str, seed: int) -> None:
        from .dataset import Compositor

        self._compositor = Compositor(data, split, seed)

    def pictures(self, count: int) -> Tensor:
        batch = self._compositor.batch(count)
        pictures_B3HW = batch.targets_B3HW.clone()
        pictures_B3HW[::4] = batch.references_B3HW[::4]
        return pictures_B3HW


class _Part(NamedTuple):
    """One worker's share of a step."""

    gradients: tuple[Tensor, ...]
    terms: dict[str, float]


class Run:
    """One training run: model, optimiser, clock and log, all in the directory `out`."""

    def __init__(
        self, config: TokenizerConfig, scales: Sequence[Scale], recipe: TokenizerRecipe, out: Path
    ) -> None:
        self.config, self.scales, self.recipe, self.out = config, tuple(scales), recipe, out
        out.mkdir(parents=True, exist_ok=True)
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)
            model = BitTokenizer(config, operations=TrainingOperations)
        self.model: BitTokenizer = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=recipe.lr, betas=(0.9, 0.98), weight_decay=recipe.weight_decay
        )
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

    def learning_rate(self) -> float:
        """Warm-up, then a cosine to zero, in each phase."""
        border = 1 - self.recipe.decoder_phase
        if self.frozen:
            part, peak = (self.progress - border) / self.recipe.decoder_phase, self.recipe.decoder_lr
        else:
            part, peak = self.progress / border, self.recipe.lr
        warm = min(1.0, (part + 1e-3) / max(self.recipe.warmup, 1e-9))
        return peak * warm * 0.5 * (1 + math.cos(math.pi * min(part, 1.0)))

    def train_step(self, pictures_B3HW: Tensor) -> dict[str, float]:
        """One optimiser step; returns the loss terms and the fraction of bits that are 1."""
        started = time.monotonic()
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        parts = list(self._workers.map(self._gradients, pictures_B3HW.chunk(self.recipe.workers)))
        for parameter, *gradients in zip(self._trained(), *(part.gradients for part in parts), strict=True):
            parameter.grad = sum(gradients[1:], gradients[0]) / len(gradients)
        record = {name: sum(part.terms[name] for part in parts) / len(parts) for name in parts[0].terms}
        nn.utils.clip_grad_norm_(self._trained(), self.recipe.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.elapsed += time.monotonic() - started
        return record

    def _trained(self) -> list[nn.Parameter]:
        return list((self.model.decoder if self.frozen else self.model).parameters())

    def _gradients(self, pictures_B3HW: Tensor) -> _Part:
        loss, terms = self._loss(pictures_B3HW)
        return _Part(torch.autograd.grad(loss, self._trained()), terms)

    def _loss(self, pictures_B3HW: Tensor) -> tuple[Tensor, dict[str, float]]:
        device = pictures_B3HW.device.type
        frozen = self.frozen
        with torch.autocast(device, dtype=torch.bfloat16):
            with torch.set_grad_enabled(not frozen):
                latent_BDHW = self.model.latent(pictures_B3HW)
            codes_BDHW = quantize_multiscale(latent_BDHW.detach(), self.scales).codes_BDHW
            # One straight-through step over all scales: less noise than the scales' own gradients added up.
            easing = min(1.0, self.progress / max(self.recipe.easing, 1e-9))
            straight_BDHW = latent_BDHW + easing * (codes_BDHW - latent_BDHW).detach()
            output_B3HW = self.model.reconstruct(codes_BDHW if frozen else straight_BDHW)
        error_B3HW = (output_B3HW - pictures_B3HW) * 2
        l1, mse = error_B3HW.abs().mean(), error_B3HW.square().mean()
        edges = error_B3HW.diff(dim=-1).abs().mean() + error_B3HW.diff(dim=-2).abs().mean()
        commitment = (latent_BDHW - codes_BDHW).square().sum(1).mean()
        loss = l1 + self.recipe.mse_weight * mse + self.recipe.gradient_weight * edges
        if not frozen:
            loss = loss + self.recipe.commitment_weight * commitment
        terms = {"loss": loss, "l1": l1, "mse": mse, "edges": edges, "commitment": commitment}
        return loss, {name: round(float(value.detach()), 5) for name, value in terms.items()}

    @torch.no_grad()
    def evaluate(self, pictures_B3HW: Tensor) -> dict[str, float]:
        """PSNR (dB, mean of the pictures' own) and how evenly each bit is used (1: half zeros, half ones)."""
        self.model.eval()
        with torch.autocast(pictures_B3HW.device.type, dtype=torch.bfloat16):
            encoded = self.model.encode(pictures_B3HW, self.scales)
            output_B3HW = self.model.decode(encoded.quantized_BDHW)
        error_B = (output_B3HW - pictures_B3HW).square().flatten(1).mean(1)
        ones = [bits.flatten(0, 2).float().mean(0) for bits in encoded.bits]
        entropy = torch.stack([(torch.special.entr(p) + torch.special.entr(1 - p)).mean() for p in ones])
        return {
            "psnr": round(float((-10 * error_B.clamp_min(1e-10).log10()).mean()), 3),
            "bit_entropy": round(float(entropy.mean() / math.log(2)), 3),
        }

    def save(self) -> None:
        """Everything needed to go on, written whole or not at all."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "elapsed": self.elapsed,
        }
        partial = self.out / "checkpoint.partial"
        torch.save(state, partial)
        partial.replace(self.out / "checkpoint.pt")

    def resume(self) -> bool:
        """Loads the last checkpoint, if there is one."""
        path = self.out / "checkpoint.pt"
        if not path.exists():
            return False
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.elapsed = state["step"], state["elapsed"]
        return True

    def log(self, record: dict[str, Any]) -> None:
        """Appends a JSON line to log.jsonl."""
        record = {"step": self.step, "seconds": round(self.elapsed, 1), "frozen": self.frozen, **record}
        with (self.out / "log.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")
        logger.info("%s", record)


def train(run: Run, source: PictureSource, heldout_B3HW: Tensor) -> dict[str, float]:
    """Trains until the recipe's end; returns the last evaluation.

    The weights are written as soon as the codes are final, so that a transformer can begin to learn them.
    """
    last_eval = last_save = run.elapsed
    was_frozen = run.frozen
    recent: list[dict[str, float]] = []
    while run.progress < 1:
        recent.append(run.train_step(source.pictures(run.recipe.batch)))
        if run.elapsed - last_eval >= run.recipe.eval_seconds:
            means = {name: round(sum(r[name] for r in recent) / len(recent), 5) for name in recent[0]}
            run.log({**means, **run.evaluate(heldout_B3HW), "lr": run.learning_rate()})
            last_eval, recent = run.elapsed, []
        if run.frozen and not was_frozen:
            was_frozen = True
            run.log({"codes": "final", **run.evaluate(heldout_B3HW)})
            export(run, run.out / WEIGHTS)
        if run.elapsed - last_save >= run.recipe.save_seconds:
            run.save()
            last_save = run.elapsed
    run.save()
    result = run.evaluate(heldout_B3HW)
    run.log({"final": True, **result})
    return result


@torch.no_grad()
def write_sheet(model: BitTokenizer, scales: Sequence[Scale], pictures_B3HW: Tensor, path: Path) -> None:
    """A PNG with rows of eight pictures, each above its reconstruction, four times enlarged."""
    decoded_B3HW = model.decode(model.encode(pictures_B3HW, scales).quantized_BDHW)
    rows = [
        torch.cat(list(part), dim=2)
        for start in range(0, len(pictures_B3HW), 8)
        for part in (pictures_B3HW[start : start + 8], decoded_B3HW[start : start + 8])
    ]
    sheet_HW3 = torch.cat(rows, dim=1).permute(1, 2, 0)
    array = (sheet_HW3.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    Image.fromarray(np.repeat(np.repeat(array, 4, 0), 4, 1)).save(path)


def export(run: Run, path: Path) -> BitTokenizer:
    """Writes the weights in fp16 as a file of ours, and returns the model as a reader will have it."""
    save_part(path, "tokenizer", run.model, run.config)
    stored = BitTokenizer(run.config)
    stored.load_state_dict({name: t.half().float() for name, t in run.model.state_dict().items()})
    return stored.eval()


def main(argv: Sequence[str] | None = None) -> None:
    """Command line: `python -m echogen_core.training tokenizer --data DATA --out OUT`."""
    defaults = TokenizerRecipe()
    parser = argparse.ArgumentParser(prog="tokenizer", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder made by `prepare`")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; an earlier run goes on")
    parser.add_argument("--minutes", type=float, default=defaults.minutes)
    parser.add_argument("--decoder-phase", type=float, default=defaults.decoder_phase)
    parser.add_argument("--lr", type=float, default=defaults.lr)
    parser.add_argument("--batch", type=int, default=defaults.batch)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--workers", type=int, default=defaults.workers, help="threads that share a batch")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)  # the workers are the parallelism
    recipe = replace(
        defaults,
        minutes=options.minutes,
        decoder_phase=options.decoder_phase,
        lr=options.lr,
        batch=options.batch,
        workers=options.workers,
        seed=options.seed,
    )
    run_recipe(recipe, options.data, options.out)


def run_recipe(recipe: TokenizerRecipe, data: Path, out: Path) -> None:
    """The whole of a run: train, export, and the figures and pictures to judge it by."""
    preset = PRESETS["nano"]
    run = Run(preset.tokenizer, find_schedule(preset.budget).scales, recipe, out)
    resumed = run.resume()
    run.log({"resumed": resumed, "recipe": asdict(recipe), "config": asdict(run.config)})
    heldout_B3HW = CompositorPictures(data, "heldout", seed=1).pictures(64)
    train(run, CompositorPictures(data, "train", seed=recipe.seed + run.step), heldout_B3HW)
    stored = export(run, out / WEIGHTS)
    write_sheet(stored, run.scales, heldout_B3HW[:32], out / "sheet.png")


if __name__ == "__main__":
    main()
