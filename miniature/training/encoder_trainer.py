"""The training loop of the small encoders: time-boxed, and resumable at any moment."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from echogen_core.training.state_file import write_state
from echogen_core.utils.writing import append_line

from .optimisers import conv_kernels, muon, set_rates
from .precision import mixed_precision
from .restore import load_optimizer_states, load_state
from .run_time import LOG_SECONDS, checkpoint_seconds, total_seconds

logger = logging.getLogger(__name__)

_FORMER_NAMES = {"trainee": "model", "spent": "elapsed"}  # of an earlier version's checkpoints


@dataclass(frozen=True)
class OptimiserSettings:
    """AdamW's settings, and Muon's rate for convolution kernels (0: AdamW trains them too).

    warmup: share of the run; the rates then follow a cosine down to a fiftieth.
    """

    learning_rate: float = 1.5e-3
    muon: float = 0.0
    weight_decay: float = 0.05
    warmup: float = 0.04


class Stateful(Protocol):
    """A module or an optimiser."""

    def state_dict(self) -> dict[str, Any]:
        """What it has to keep."""
        ...

    def load_state_dict(self, state_dict: Any) -> Any:
        """Takes it back."""
        ...


class StepLoss(NamedTuple):
    """The loss of a step, and its parts for the log."""

    total: Tensor
    parts: Mapping[str, Tensor]


class EncoderTrainer:
    """Trains `model` (an encoder with its heads); keeps checkpoint.pt and log.jsonl in `out`.

    minutes: of processor time on a CPU, so that other load does not count; of wall-clock time on a GPU.
    deadline: time.monotonic() at which it ends instead. beside: what else a checkpoint keeps, by name.
    """

    def __init__(
        self,
        out: Path,
        model: nn.Module,
        optimisation: OptimiserSettings,
        minutes: float,
        device: torch.device,
        deadline: float | None = None,
        beside: Mapping[str, Stateful] | None = None,
    ) -> None:
        self.beside = dict(beside or {})
        self.out, self.optimisation, self.seconds, self.device = out, optimisation, minutes * 60, device
        self.deadline = deadline
        out.mkdir(parents=True, exist_ok=True)
        by_processor = device.type == "cpu" and deadline is None
        self.clock: Callable[[], float] = time.process_time if by_processor else time.monotonic
        model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model = model.train()
        self.kernels = conv_kernels(model) if optimisation.muon else []
        self.optimizers = self._optimizers({id(pair.kernel) for pair in self.kernels})
        self.step, self.elapsed = 0, 0.0
        if self.checkpoint.exists():
            saved = load_state(self.checkpoint)
            saved = {_FORMER_NAMES.get(name, name): value for name, value in saved.items()}
            self.model.load_state_dict(saved["model"])
            load_optimizer_states(self.optimizers, saved["optimizers"])
            for name, part in self.beside.items():
                part.load_state_dict(saved["beside"][name])
            self.step, self.elapsed = saved["step"], saved["elapsed"]
            logger.info("Continuing at step %d, after %.1f minutes.", self.step, self.elapsed / 60)

    def _optimizers(self, by_muon: set[int]) -> list[torch.optim.Optimizer]:
        """AdamW for all parameters except (by id) those that Muon trains."""
        chosen = self.optimisation
        rest = [p for p in self.model.parameters() if id(p) not in by_muon]
        decayed, others = ([p for p in rest if (p.ndim > 1) == large] for large in (True, False))
        groups = [
            {"params": decayed, "weight_decay": chosen.weight_decay, "peak": chosen.learning_rate},
            {"params": others, "weight_decay": 0.0, "peak": chosen.learning_rate},
        ]
        optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, betas=(0.9, 0.98))]
        if self.kernels:
            matrices = [pair.matrix for pair in self.kernels]
            optimizers.append(muon(matrices, chosen.muon, chosen.weight_decay))
        return optimizers

    @property
    def checkpoint(self) -> Path:
        """The file that a run is continued from."""
        return self.out / "checkpoint.pt"

    def train(
        self,
        objective: Callable[[int], StepLoss],
        figures: Callable[[], dict[str, float]],
        log_every: int = 50,
    ) -> dict[str, float]:
        """Trains until the time is up; returns the final figures.

        objective: the loss of step n, with random numbers that depend on n alone, so that a continued run
        draws the same sequence. figures: measured on held-out subjects.
        """
        self.seconds = total_seconds(self.seconds / 60, self.elapsed, self.deadline)
        began = self.clock() - self.elapsed
        saved = logged = time.monotonic()
        while self.elapsed < self.seconds:
            parts = self._one_step(objective)
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            self.step += 1
            self.elapsed = self.clock() - began
            if self.step % log_every == 0 and time.monotonic() - logged >= LOG_SECONDS:
                self._log({name: round(float(value), 4) for name, value in parts.items()} | figures())
                logged = time.monotonic()
            if time.monotonic() - saved >= checkpoint_seconds(self.device):
                self._save()
                saved = time.monotonic()
        self._save()
        found = figures()
        self._log(found)
        return found

    def _one_step(self, objective: Callable[[int], StepLoss]) -> Mapping[str, Tensor]:
        progress = min(1.0, self.elapsed / max(self.seconds, 1e-9))
        rise = min(1.0, progress / self.optimisation.warmup + 0.02)
        rate = rise * (0.51 + 0.49 * math.cos(math.pi * progress))
        set_rates(self.optimizers, rate)
        with mixed_precision(self.device):
            loss = objective(self.step)
        loss.total.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for kernel in self.kernels:
            kernel.take_gradient()
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return loss.parts

    def _save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "beside": {name: part.state_dict() for name, part in self.beside.items()},
            "step": self.step,
            "elapsed": self.elapsed,
        }
        write_state(self.checkpoint, state)

    def _log(self, record: dict[str, Any]) -> None:
        line = {"step": self.step, "minutes": round(self.elapsed / 60, 4), **record}
        append_line(self.out / "log.jsonl", json.dumps(line))
        logger.info("%s", line)
