"""The training loop, spread over processes by accelerate; a step's result doesn't depend on their number.

No random state is saved: a step's draws follow from the seed and its number, so weights, moving average and
optimiser are enough to resume.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.utils.data import DataLoader

from ..checkpoints.format import BASE_NAME, BASE_SHA256
from ..utils.printable import counted
from .batch_encoder import BatchEncoder
from .batch_sampler import BucketBatchSampler
from .dataset import Example, SubjectDataset, as_list, begin_worker
from .initialise import subject_names
from .loss import bit_loss, scale_means, token_accuracy, token_losses
from .manifest import Fault
from .moving_average import replaced, update_average
from .recipe import Recipe, peak_rate, rate_share
from .resume import check_same_step, check_state
from .run_log import RunLog, progress, sheet_path
from .sample_sheet import draw_sheet
from .state_file import options_kept, write_state
from .subject_model import (
    SUBJECT_FILE,
    BaseIdentity,
    TeacherForcedModel,
    parameter_groups,
    save_subject_weights,
)

logger = logging.getLogger(__name__)

STATE_FILE = "state.pt"
FULL = StateDictOptions(full_state_dict=True, cpu_offload=True)


class SubjectTrainer:
    """Trains the subject parameters of a model; its state is saved in `out` and resumed from there.

    Attributes:
        step: steps done. faults: where -> fault of every broken row so far. trained: name -> parameter.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        model: TeacherForcedModel,
        base: BaseIdentity,
        dataset: SubjectDataset,
        batch_encoder: BatchEncoder,
        recipe: Recipe,
        out: Path,
    ) -> None:
        self.accelerator, self.base, self.recipe, self.out = accelerator, base, recipe, out
        self.batch_encoder, self.dataset = batch_encoder, dataset
        self.sheet_rows = SubjectDataset(dataset.manifest, dataset.reference_size, recipe.seed, 0.0, None)
        self.subject = subject_names(model.model)
        self.per_step = recipe.batch * recipe.accumulate * accelerator.num_processes
        peak = peak_rate(recipe, self.per_step)
        named = {name: p for name, p in model.model.named_parameters() if p.requires_grad}
        groups = parameter_groups(model.model, peak, recipe.weight_decay, recipe.slow)
        optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.97))
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        self.whole: TeacherForcedModel = accelerator.unwrap_model(self.model)
        self._register_block_entries()
        own = dict(self.whole.model.named_parameters())
        self.trained = {name: own[name] for name in named}
        self.average = {n: p.detach().clone() for n, p in self.trained.items()} if recipe.ema else {}
        self.faults: dict[str, Fault] = {}
        self._new_faults: list[Fault] = []
        self.step, self.seconds = 0, 0.0
        self._resume()

    def run(self) -> None:
        """Train to the last step. Whatever stops it, the state and the log on disk stay usable."""
        accelerator, recipe = self.accelerator, self.recipe
        missing = self._sheet_is_missing()
        if self.step >= recipe.steps and not missing:
            logger.info("Nothing to do: %s done. Raise --steps to train on.", counted(self.step, "step"))
            return
        run_log = RunLog(self.out, self.step) if accelerator.is_main_process else None
        self._report_faults(self.dataset.manifest.faults)
        sums: Tensor | None = None
        try:
            if missing:
                self._pictures(run_log)
            began, recorded = time.monotonic(), self.step
            for examples in self._loader():
                metrics, norm = self._micro_step(examples)
                sums = metrics if sums is None else sums + metrics
                if not accelerator.sync_gradients:
                    continue
                saves = self.step == recipe.steps or self.step % recipe.save_every == 0
                if saves or self.step % recipe.log_every == 0:
                    record = self._record(sums / (recipe.accumulate * (self.step - recorded)), norm)
                    spent = time.monotonic() - began
                    self.seconds += spent
                    record["seconds"] = round(self.seconds, 3)
                    if run_log is not None:
                        run_log.record(self.step, record)
                        pace = spent / (self.step - recorded)
                        logger.info("%s", progress(self.step, recipe.steps, record, pace))
                    began, recorded, sums = time.monotonic(), self.step, None
                if saves:
                    self.save()
                if self._has_sheet():
                    self._pictures(run_log)
        finally:
            if run_log is not None:
                run_log.close()

    def save(self) -> None:
        """Write the state, and the subject parameters (their moving average, if there is one)."""
        accelerator, keep = self.accelerator, self.accelerator.is_main_process
        optimizer = get_optimizer_state_dict(self.model, self.optimizer.optimizer, options=FULL)
        trained = {name: _full(p, keep) for name, p in self.trained.items()}
        average = {name: _full(tensor, keep) for name, tensor in self.average.items()}
        frozen = {
            name: _full(p, keep)
            for name, p in self.whole.model.named_parameters()
            if name in self.subject and name not in trained
        }
        if accelerator.is_main_process:
            state = {
                "step": self.step,
                "seconds": self.seconds,
                "processes": accelerator.num_processes,
                "recipe": asdict(self.recipe),
                "trained": trained,
                "average": average,
                "optimizer": optimizer,
                "faults": self._picture_faults(),
                BASE_NAME: self.base.base_name,
                BASE_SHA256: self.base.base_sha256,
            }
            # this first: a state that says all steps are done needs it beside it
            save_subject_weights(self.out / SUBJECT_FILE, self.base, {**trained, **average, **frozen})
            write_state(self.out / STATE_FILE, state)
            logger.info("Saved step %d.", self.step)
        accelerator.wait_for_everyone()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Puts the moving average, if there is one, in place of the trained weights."""
        with replaced({name: self.trained[name] for name in self.average}, self.average):
            yield

    @contextmanager
    def gathered_outside_blocks(self) -> Iterator[None]:
        """Gathers what FSDP shards outside the blocks; a block gathers its own weights when called."""
        sharded = self.accelerator.distributed_type == "FSDP"
        if sharded:
            self.model.unshard()
        try:
            yield
        finally:
            if sharded:
                self.model.reshard()

    def _register_block_entries(self) -> None:
        """Has FSDP gather a block's weights for its other entry points too."""
        accelerator = self.accelerator
        if accelerator.distributed_type != "FSDP":
            return
        if not accelerator.is_fsdp2:
            raise ValueError(
                "Expected FSDP version 2: set fsdp_version: 2 in accelerate's configuration "
                "(accelerate launch --use_fsdp --fsdp_version 2)."
            )
        from torch.distributed.fsdp import register_fsdp_forward_method

        for block in self.whole.model.blocks:
            for method in ("condition", "constants"):
                register_fsdp_forward_method(block, method)

    def _resume(self) -> None:
        """Resumes from the state in `out`, if there is one, with the recipe's rates and weight decay.

        Raises ValueError when it belongs to another run, or differs between processes.
        """
        path, state = self.out / STATE_FILE, self._read_state()
        check_same_step(path, gather_object([state["step"] if state else 0]))
        if state is None:
            return
        check_state(path, state, self.recipe, self.per_step, self.base, self.trained)
        _load(self.trained, state["trained"])
        _load(self.average, state["average"])
        optimizer = self.optimizer.optimizer
        with options_kept(optimizer):
            set_optimizer_state_dict(self.model, optimizer, state["optimizer"], options=FULL)
        self.faults = {where: Fault(where, *rest) for where, *rest in state.get("faults", [])}
        self.step, self.seconds = state["step"], state["seconds"]
        logger.info("Resuming at step %d.", self.step)

    def _read_state(self) -> dict[str, Any] | None:
        path = self.out / STATE_FILE
        if not path.is_file():
            return None
        # on a CPU loaded tensors are used in place, and this file will be replaced
        mapped = self.accelerator.device.type != "cpu"
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu", mmap=mapped)
        return state

    def _loader(self) -> Any:
        recipe, accelerator = self.recipe, self.accelerator
        plan = BucketBatchSampler(
            self.dataset.manifest.buckets,
            recipe.batch * accelerator.num_processes,
            recipe.accumulate,
            recipe.seed,
            range(self.step, recipe.steps),
        )
        loader = DataLoader(
            self.dataset,
            batch_sampler=plan,
            num_workers=recipe.workers,
            collate_fn=as_list,
            worker_init_fn=begin_worker if recipe.workers else None,
        )
        return accelerator.prepare_data_loader(loader, device_placement=False)

    def _micro_step(self, examples: list[Example]) -> tuple[Tensor, float]:
        """The batch's loss, then loss and bit accuracy per scale [1 + 2 * scales]; and the gradient norm.

        The norm is 0 except in a step's last batch. Raises ValueError if it isn't finite, before the update.
        """
        accelerator, recipe = self.accelerator, self.recipe
        self._new_faults += [fault for example in examples for fault in example.faults]
        batch = self.batch_encoder.batch(examples)
        norm = 0.0
        with accelerator.accumulate(self.model):
            logits = self.model(batch.given, batch.keep_3B, batch.forced.inputs_BLD, batch.schedule)
            loss = bit_loss(logits, batch.forced.labels_BLD, batch.schedule)
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                total = accelerator.clip_grad_norm_(list(self.trained.values()), recipe.clip)
                # before the update: NaN must reach neither the weights nor a saved state
                norm = _finite("norm of the gradient", float(_full(total)), self.step + 1)
                for group in self.optimizer.param_groups:
                    group["lr"] = group["peak"] * rate_share(self.step, recipe)
            self.optimizer.step()
            self.optimizer.zero_grad()
        if accelerator.sync_gradients:
            self.step += 1
            if self.average:
                update_average(self.average, self.trained.items(), self.step, recipe.ema)
        with torch.no_grad():
            losses = token_losses(logits, batch.forced.labels_BLD)
            right = token_accuracy(logits, batch.forced.labels_BLD)
            scales = [scale_means(values, batch.schedule) for values in (losses, right)]
        return torch.cat((loss.detach()[None], *scales)), norm

    def _record(self, metrics: Tensor, norm: float) -> dict[str, Any]:
        """The log record of a step, averaged over processes. Raises ValueError for a loss of NaN."""
        loss, *rest = self.accelerator.reduce(metrics, "mean").tolist()
        _finite("loss", loss, self.step)
        self._report_faults(gather_object(self._new_faults))
        self._new_faults = []
        scales = len(rest) // 2
        return {
            "loss": loss,
            "lr": self.optimizer.param_groups[0]["peak"] * rate_share(self.step - 1, self.recipe),
            "grad_norm": norm,
            "scale_loss": [round(value, 5) for value in rest[:scales]],
            "bit_accuracy": [round(value, 5) for value in rest[scales:]],
            "faults": dict(Counter(fault.kind for fault in self.faults.values())),
        }

    def _picture_faults(self) -> list[tuple[str, ...]]:
        """Faults found in training; those of the manifest are found again at every start."""
        in_manifest = {fault.where for fault in self.dataset.manifest.faults}
        return [tuple(fault) for where, fault in self.faults.items() if where not in in_manifest]

    def _report_faults(self, faults: list[Fault]) -> None:
        """Logs each broken row once per start."""
        for fault in faults:
            if fault.where not in self.faults and self.accelerator.is_main_process:
                logger.warning("Left out: %s, %s (%s)", *fault)
            self.faults[fault.where] = fault

    def _has_sheet(self) -> bool:
        """Whether this step gets a sample sheet."""
        every = self.recipe.pictures_every
        return bool(every) and (self.step % every == 0 or self.step == self.recipe.steps)

    def _sheet_is_missing(self) -> bool:
        """Whether an earlier run was stopped after saving this step, before its sample sheet."""
        if not (self.step and self._has_sheet()):
            return False
        missing = not sheet_path(self.out, self.step).is_file()
        return bool(gather_object([missing])[0])  # on every machine, what the first one sees

    def _pictures(self, run_log: RunLog | None) -> None:
        """A sample sheet of the (averaged) weights; under FSDP every process has to take part."""
        if run_log is not None or self.accelerator.distributed_type == "FSDP":
            with self.averaged(), self.gathered_outside_blocks():
                sheet = draw_sheet(self.whole.model, self.batch_encoder, self.sheet_rows)
            if run_log is not None:
                run_log.pictures(self.step, sheet)
        self.accelerator.wait_for_everyone()


def _finite(what: str, value: float, step: int) -> float:
    """The value. Raises ValueError if it isn't finite: training on would ruin the weights."""
    if not math.isfinite(value):
        raise ValueError(
            f"The {what} is {value} at step {step}: lower --base-rate, or look for the data that causes it. "
            f"{STATE_FILE} holds the last good state."
        )
    return value


def _full(tensor: Tensor, keep: bool = True) -> Tensor:
    """A copy of a tensor on the CPU, gathered where it is sharded: every process has to call this.

    keep: False returns an empty tensor instead, since one copy per machine is enough.
    """
    gathered = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return gathered.detach().cpu().clone() if keep else torch.empty(0)


@torch.no_grad()
def _load(targets: dict[str, Any], values: dict[str, Tensor]) -> None:
    """Copies whole tensors into parameters, each process its own shard."""
    for name, target in targets.items():
        value = values[name].to(target.device)
        if hasattr(target, "device_mesh"):
            from torch.distributed.tensor import distribute_tensor

            value = distribute_tensor(value, target.device_mesh, target.placements)
        target.copy_(value)
