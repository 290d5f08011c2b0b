"""Memory per process and time per step of a run, from the sizes of its model.

Activations are counted from the code of model/block.py and what it calls; a test compares them with the bytes
that a pass keeps. Only the process itself (Python, libraries) is measured.
"""

from __future__ import annotations

import importlib
import multiprocessing
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import Unigram

from ..config import TokenizerConfig, TransformerConfig
from ..encoders import ContentEncoder, EncoderConfigs, SemanticEncoder, TextEncoder, wrap_tokenizer
from ..model import EchoGenTransformer, split_phases, unused_names
from ..scales import ScaleSchedule
from ..tokenizer import BitTokenizer
from ..utils.printable import counted
from .initialise import subject_names
from .recipe import Recipe
from .subject_model import OPERATIONS

PROMPT = 128  # tokens of a usual caption
IMAGE_BYTES, IMAGE_HALVES = 48, 10
CONTENT_BYTES, CONTENT_HALVES = 40, 14
"""What a block keeps for its gradients per token and channel: bytes in float32, and numbers of the compute
type; besides, the feed-forward's hidden numbers (twice where its weights learn)."""

FORKED_READER = 200_000_000
"""Bytes that a forked reader of pictures adds; pages that it shares with its parent count once, there.
Measured: 83 MB of its own in a short run, 200 MB at most."""

REACHED = 0.5
"""Share of a large matrix product's speed that training reaches."""


@dataclass(frozen=True)
class Machine:
    """What a run has to work with.

    processes: in all; sharded: whether they share the weights (FSDP). half: whether blocks compute in bf16.
    cuda: whether each has a GPU. flops: operations per second of a large matrix product on one of them.
    """

    processes: int
    sharded: bool
    half: bool
    cuda: bool
    flops: float

    def __str__(self) -> str:
        shared = ", weights shared" if self.sharded else ""
        device = "GPU" if self.cuda else "CPU"
        return (
            f"machine: {device}, {counted(self.processes, 'process', 'processes')}{shared}, "
            f"{self.flops / 1e12:.3g} TFLOP/s measured"
        )


@dataclass(frozen=True)
class Estimate:
    """What a run takes.

    memory: part -> bytes per process, on the GPU if there is one. trained, frozen: numbers of parameters.
    flops: operations of a step, per process. host: part -> bytes of main memory, see `host_memory`.
    """

    memory: Mapping[str, int]
    trained: int
    frozen: int
    flops: float
    seconds_a_step: float
    cuda: bool = False
    host: Mapping[str, int] = field(default_factory=dict)

    @property
    def tables(self) -> dict[str, dict[str, int]]:
        """Kind of memory -> part -> bytes per process. A GPU's is apart from the main memory."""
        if self.cuda:
            return {"GPU memory": dict(self.memory), "main memory": dict(self.host)}
        return {"memory": {**self.host, **self.memory}}

    def lines(self, steps: int) -> Iterator[str]:
        """The estimate in words."""
        yield f"parameters: {self.trained:,} trained, {self.frozen:,} frozen"
        for kind, parts in self.tables.items():
            if parts:
                yield f"{kind} on each process, about {sum(parts.values()) / 1e9:.1f} GB:"
            for name, size in parts.items():
                yield f"  {name:34} {size / 1e9:8.2f} GB"
        yield (
            f"time: {self.flops / 1e12:,.3f} TFLOP per step and process, about {self.seconds_a_step:,.2f} s "
            f"per step, {self.seconds_a_step * steps / 3600:,.2f} h for {counted(steps, 'step')} (without "
            "encoders and reading)"
        )


def estimate(
    config: TransformerConfig,
    encoders: EncoderConfigs,
    tokenizer: TokenizerConfig,
    schedule: ScaleSchedule,
    recipe: Recipe,
    machine: Machine,
) -> Estimate:
    """The estimate of a training run, without `host`. schedule: the one with the most tokens."""
    model = EchoGenTransformer(replace(config, subject=True), OPERATIONS, device="meta")
    counts = {name: p.numel() for name, p in model.named_parameters()}
    learns = subject_names(model) - unused_names(model)
    trained = sum(counts[name] for name in learns)
    frozen = sum(counts.values()) - trained
    share = machine.processes if machine.sharded else 1
    # only a step's last gradients are written straight into the buckets that processes exchange
    copies = machine.processes > 1 and not machine.sharded and recipe.accumulate > 1
    memory = {
        "frozen weights": 4 * frozen // share,
        "trained weights": 4 * trained // share,
        "their gradients": 4 * trained // share,
        "gradients to exchange": 4 * trained if copies else 0,
        "AdamW": 8 * trained // share,
        "moving average": 4 * trained // share if recipe.ema else 0,
        "encoders and tokenizer": _encoder_bytes(encoders, tokenizer, machine.cuda),
        f"activations of {counted(recipe.batch, 'picture')}": activation_bytes(
            model, schedule, recipe, machine.half
        ),
    }
    flops = recipe.batch * recipe.accumulate * picture_flops(model, schedule, recipe.checkpointing)
    return Estimate(memory, trained, frozen, flops, flops / (machine.flops * REACHED), machine.cuda)


def host_memory(found: Estimate, workers: int) -> dict[str, int]:
    """Part -> bytes of main memory besides what is trained: this process, measured now, and its readers.

    With a GPU, also the whole model, which is read into main memory first.
    """
    psutil: Any = importlib.import_module("psutil")  # accelerate brings it
    resident = int(psutil.Process().memory_info().rss)
    reader = FORKED_READER if multiprocessing.get_start_method() == "fork" else resident
    parts = {"Python and its libraries": resident}
    if workers:
        parts[counted(workers, "process that reads pictures", "processes that read pictures")] = (
            workers * reader
        )
    if found.cuda:
        parts["the model while it is loaded"] = 4 * (found.trained + found.frozen)
    return parts


def activation_bytes(model: EchoGenTransformer, schedule: ScaleSchedule, recipe: Recipe, half: bool) -> int:
    """Peak bytes that the training pass of a batch keeps for its gradients."""
    config, e = model.config, 2 if half else 4
    c, tokens = config.width, schedule.tokens + model.prefix
    image = tokens * (c * (IMAGE_BYTES + IMAGE_HALVES * e) + config.hidden * e)
    content = config.content_length * (c * (CONTENT_BYTES + CONTENT_HALVES * e) + 2 * config.hidden * e)
    cast = e * sum(p.numel() for p in model.blocks[0].parameters()) if half else 0
    attended = config.content_length + config.semantic_length + PROMPT
    kept = c * (4 * (tokens + config.content_length) + 2 * e * attended)
    around = 12 * c * attended + 32 * tokens * config.bits  # projections of the features; logits
    if recipe.checkpointing:
        return int(recipe.batch * (config.depth * kept + max(image, content) + around) + cast)
    # in the last block the content stream ends with its keys and values
    inside = config.depth * (image + 2 * c * e * attended) + (config.depth - 1) * content
    return int(recipe.batch * (inside + around) + config.depth * cast)


def picture_flops(model: EchoGenTransformer, schedule: ScaleSchedule, checkpointing: bool) -> float:
    """Operations per picture and step: a frozen matrix takes half the backward pass of a trained one."""
    config = model.config
    c, t, s = config.width, schedule.tokens + model.prefix, config.content_length
    sampling = _matrices(split_phases(model).sampling)
    prefill = _matrices(split_phases(model).prefill)
    beside = config.semantic_length + PROMPT
    attention = 4 * config.depth * c * (t * (t + s + beside) + s * (s + PROMPT))
    again = 1 if checkpointing else 0
    return (2 + again) * 2 * t * sampling + (3 + again) * (2 * s * prefill + attention)


def measure_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations per second of a large matrix product on this machine.

    Sides grow until a product takes a twentieth of a second: processors without instructions for bfloat16
    would take seconds for what others do in hundredths.
    """
    sides = (8192,) if device.type == "cuda" else (192, 384, 768)
    for side in sides:
        a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
        best = float("inf")
        for _ in range(4):
            began = time.perf_counter()
            float((a @ b)[0, 0])  # reading a number waits for the device
            best = min(best, time.perf_counter() - began)
        if best > 0.05:
            break
    return 2 * side**3 / best


def _matrices(phase: torch.nn.Module) -> int:
    """Number of parameters in the matrices of a phase's blocks."""
    return sum(p.numel() for p in phase.get_submodule("blocks").parameters() if p.ndim == 2)


def _encoder_bytes(encoders: EncoderConfigs, tokenizer: TokenizerConfig, cuda: bool) -> int:
    words = wrap_tokenizer(Tokenizer(Unigram()))  # none: they have no part in the sizes
    text: int = sum(p.numel() for p in TextEncoder(encoders.text, words, device="meta").parameters())
    others = (
        SemanticEncoder(encoders.semantic, device="meta"),
        ContentEncoder(encoders.content, device="meta"),
        BitTokenizer(tokenizer, device="meta"),
    )
    return text * (2 if cuda else 4) + 4 * sum(p.numel() for module in others for p in module.parameters())
