"""A small encoder's training as a run in a folder: stopped at any moment, it goes on where it was."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from echogen_core.training.state import go_on, write_state
from echogen_core.writing import append_line

from .kernels import Kernel

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Optimisation:
    """AdamW's settings, and Muon's rate for convolutions' kernels (0: AdamW moves them too).

    warmup: share of the run; the rates then fall by a cosine to a fiftieth.
    """

    learning_rate: float = 1.5e-3
    muon: float = 0.0
    weight_decay: float = 0.05
    warmup: float = 0.04


class Objective(NamedTuple):
    """A step's loss, and the parts of it that the log shows."""

    total: Tensor
    parts: Mapping[str, Tensor]


class EncoderRun:
    """`trainee` (the encoder with the heads that only training needs), checkpoint.pt and log.jsonl in `out`.

    minutes: processor time on a CPU, which others may share; a GPU is waited for.
    """

    def __init__(
        self,
        out: Path,
        trainee: nn.Module,
        optimisation: Optimisation,
        minutes: float,
        device: torch.device,
    ) -> None:
        self.out, self.optimisation, self.seconds, self.device = out, optimisation, minutes * 60, device
        out.mkdir(parents=True, exist_ok=True)
        self.clock: Callable[[], float] = time.monotonic if self.device.type == "cuda" else time.process_time
        trainee.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.trainee = trainee.train()
        moved = [p for p in trainee.parameters() if p.ndim == 4] if optimisation.muon else []
        self.kernels = [Kernel.of(p) for p in moved]
        self.optimizers = self._optimizers({id(p) for p in moved})
        self.step, self.spent = 0, 0.0
        if self.checkpoint.exists():
            saved = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
            self.trainee.load_state_dict(saved["trainee"])
            go_on(self.optimizers, saved["optimizers"])
            self.step, self.spent = saved["step"], saved["spent"]
            logger.info("Going on at step %d, %.1f minutes spent.", self.step, self.spent / 60)

    def _optimizers(self, moved: set[int]) -> list[torch.optim.Optimizer]:
        """AdamW for all but the kernels that Muon moves; each group knows its peak rate."""
        chosen = self.optimisation
        rest = [p for p in self.trainee.parameters() if id(p) not in moved]
        decayed, others = ([p for p in rest if (p.ndim > 1) == large] for large in (True, False))
        groups = [
            {"params": decayed, "weight_decay": chosen.weight_decay, "peak": chosen.learning_rate},
            {"params": others, "weight_decay": 0.0, "peak": chosen.learning_rate},
        ]
        optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, betas=(0.9, 0.98))]
        if self.kernels:
            matrices = [{"params": [kernel.matrix for kernel in self.kernels], "peak": chosen.muon}]
            optimizers.append(torch.optim.Muon(matrices, momentum=0.95, weight_decay=chosen.weight_decay))
        return optimizers

    @property
    def checkpoint(self) -> Path:
        return self.out / "checkpoint.pt"

    def train(
        self,
        objective: Callable[[int], Objective],
        figures: Callable[[], dict[str, float]],
        log_every: int = 50,
        save_every: int = 100,
    ) -> dict[str, float]:
        """Trains until the time is spent; returns the figures on unseen subjects.

        objective: the loss of step n, drawn from random numbers of its own, so that a run that goes on
        continues the same sequence.
        """
        while self.spent < self.seconds:
            start = self.clock()
            parts = self._one_step(objective)
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            self.step += 1
            self.spent += self.clock() - start
            if self.step % log_every == 0:
                self._log({name: round(float(value), 4) for name, value in parts.items()} | figures())
            if self.step % save_every == 0:
                self._save()
        self._save()
        found = figures()
        self._log(found)
        return found

    def _one_step(self, objective: Callable[[int], Objective]) -> Mapping[str, Tensor]:
        progress = min(1.0, self.spent / max(self.seconds, 1e-9))
        rise = min(1.0, progress / self.optimisation.warmup + 0.02)
        rate = rise * (0.51 + 0.49 * math.cos(math.pi * progress))
        for group in (group for optimizer in self.optimizers for group in optimizer.param_groups):
            group["lr"] = group["peak"] * rate
        with torch.autocast(self.device.type, torch.bfloat16):
            loss = objective(self.step)
        loss.total.backward()
        nn.utils.clip_grad_norm_(self.trainee.parameters(), 1.0)
        for kernel in self.kernels:
            kernel.take_gradient()
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return loss.parts

    def _save(self) -> None:
        state = {
            "trainee": self.trainee.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "spent": self.spent,
        }
        write_state(self.checkpoint, state)

    def _log(self, record: dict[str, Any]) -> None:
        line = {"step": self.step, "minutes": round(self.spent / 60, 2), **record}
        append_line(self.out / "log.jsonl", json.dumps(line))
        logger.info("%s", line)
