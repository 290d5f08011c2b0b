"""The phases of a run (prefill, sampling, decoding), each with its weights loaded and room to work."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from echogen_core.sampling import Branches, RunConditions
from echogen_core.sampling.memory import (
    MemoryEstimate,
    Run,
    decoding_bytes,
    estimate_memory,
    smallest_change,
)
from echogen_core.scales import ScaleSchedule
from echogen_core.utils.disk import format_size

from . import memory_checks, runtime


def prefill(
    model: runtime.ManagedModel,
    runs: Sequence[RunConditions],
    schedule: ScaleSchedule,
    pictures: int,
    tokenizer: runtime.Managed | None = None,
) -> list[Branches]:
    """The prefilled branches, with the weights for sampling (and the tokenizer) loaded.

    runs: the picture's conditions, then those of its regions. Branches in the cache are reused.
    Raises MemoryError, with the smallest change that makes the run fit, where it does not fit even with all
    weights offloaded.
    """
    run = run_shape(model, runs, schedule, pictures)
    estimate = estimate_memory(model.module.config, run)
    _make_room(model, runs, run, estimate)
    cache = model.prefill_cache
    if cache.branches_to_compute(*runs):
        runtime.load(model.prefill_patcher, model.prefill_cache_patcher, working_bytes=estimate.prefill)
    branches = cache.prefill(runs)
    working = estimate.kv_cache + estimate.sampling_work
    patchers = [model.patcher, model.prefill_cache_patcher]
    if tokenizer is not None:
        patchers.append(tokenizer.patcher)
        height, width = schedule.pixels_hw
        picture = decoding_bytes(tokenizer.module.config, height * width, runtime.weights_dtype(tokenizer))
        working = max(working, picture)  # the KV cache is freed before
    runtime.load(*patchers, working_bytes=working)
    return branches


def decode(tokenizer: runtime.Managed, codes_BDHW: Tensor) -> Tensor:
    """Pictures [B, 3, H, W] on the CPU, with the tokenizer loaded.

    Raises MemoryError where they do not fit into main memory.
    """
    config = tokenizer.module.config
    pixels = codes_BDHW.shape[-2] * codes_BDHW.shape[-1] * config.patch**2
    memory_checks.require_for_decoding(len(codes_BDHW), pixels * config.super_resolution**2)
    working = decoding_bytes(config, pixels, runtime.weights_dtype(tokenizer))
    runtime.loaded(tokenizer, working_bytes=working)
    return runtime.decode(tokenizer, codes_BDHW)


def encode(tokenizer: runtime.Managed, images_B3HW: Tensor) -> Tensor:
    """Latents [B, D, h, w] of pictures on the CPU, one by one, with the tokenizer loaded."""
    height, width = images_B3HW.shape[-2:]
    working = decoding_bytes(tokenizer.module.config, height * width, runtime.weights_dtype(tokenizer))
    module = runtime.loaded(tokenizer, working_bytes=working)
    with torch.inference_mode():
        return torch.cat([latent.cpu() for latent in module.latent_each(images_B3HW.to(tokenizer.device))])


def run_shape(
    model: runtime.ManagedModel, runs: Sequence[RunConditions], schedule: ScaleSchedule, pictures: int
) -> Run:
    """All that the memory of a run depends on."""
    longest = model.module.config.text_length
    texts = [text for run in runs for text in (run.text, run.negative or run.text)]
    prompts = [longest if text is None else len(text.tokens_LC) for text in texts]
    views = [len(part[0]) for run in runs for part in (run.semantic, run.content) if part is not None]
    return Run(
        schedule,
        pictures,
        branches=model.prefill_cache.branches_needed(*runs),
        dtype=model.module.stored_dtype,
        compute_dtype=model.module.dtype,
        cache_dtype=runs[0].cache_dtype,
        prompt_tokens=max(prompts),
        views=max(views, default=1),
        subjects=len(runs),
    )


def _make_room(
    model: runtime.ManagedModel, runs: Sequence[RunConditions], run: Run, estimate: MemoryEstimate
) -> None:
    """Drops the cached branches of other runs where memory is short; MemoryError if that is not enough."""
    held = model.prefill_cache.nbytes
    without = runtime.available_memory(model.patcher) - (
        held if runtime.offloads(model.prefill_cache_patcher) else 0
    )
    available = without + held  # cached branches that this run does not need can be dropped on any device
    if available < estimate.streamed:
        change = smallest_change(model.module.config, run, available, runtime.supports_fp8())
        raise MemoryError(
            f"Not enough memory: this picture needs about {format_size(estimate.streamed)} besides the "
            f"model's weights, and {format_size(available)} is free. To make it fit, {change}."
        )
    needed = estimate.resident if runtime.offloads(model.patcher) else estimate.streamed
    if without < needed:
        model.prefill_cache.keep_only(*runs)
