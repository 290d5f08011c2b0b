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

from .state import write_state

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Optimisation:
    """AdamW's settings. warmup: share of the run; the rate then falls by a cosine to a fiftieth."""

    learning_rate: float = 1.5e-3
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
        self.trainee = trainee.to(self.device).train()
        decayed = [p for p in trainee.parameters() if p.ndim > 1]
        others = [p for p in trainee.parameters() if p.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": optimisation.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=optimisation.learning_rate, betas=(0.9, 0.98))
        self.step, self.spent = 0, 0.0
        if self.checkpoint.exists():
            saved = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
            self.trainee.load_state_dict(saved["trainee"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.step, self.spent = saved["step"], saved["spent"]
            logger.info("Going on at step %d, %.1f minutes spent.", self.step, self.spent / 60)

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
        for group in self.optimizer.param_groups:
            group["lr"] = (
                self.optimisation.learning_rate * rise * (0.51 + 0.49 * math.cos(math.pi * progress))
            )
        with torch.autocast(self.device.type, torch.bfloat16):
            loss = objective(self.step)
        self.optimizer.zero_grad(set_to_none=True)
        loss.total.backward()
        nn.utils.clip_grad_norm_(self.trainee.parameters(), 1.0)
        self.optimizer.step()
        return loss.parts

    def _save(self) -> None:
        state = {
            "trainee": self.trainee.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "spent": self.spent,
        }
        write_state(self.checkpoint, state)

    def _log(self, record: dict[str, Any]) -> None:
        line = {"step": self.step, "minutes": round(self.spent / 60, 2), **record}
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        logger.info("%s", line)
