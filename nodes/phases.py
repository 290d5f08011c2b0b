"""The phases of a run (prefill, sampling, decoding), each with its weights loaded and room to work."""

from __future__ import annotations

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
    conditions: RunConditions,
    schedule: ScaleSchedule,
    pictures: int,
    tokenizer: runtime.Managed | None = None,
) -> Branches:
    """The run's prefilled branches, with the weights for sampling (and the tokenizer) loaded.

    Branches in the cache are reused. Raises MemoryError, with the smallest change that makes the run fit,
    where it does not fit even with all weights offloaded.
    """
    run = run_shape(model, conditions, schedule, pictures)
    estimate = estimate_memory(model.module.config, run)
    _make_room(model, conditions, run, estimate)
    cache = model.prefill_cache
    if cache.branches_to_compute(conditions):
        runtime.load(model.prefill_patcher, model.prefill_cache_patcher, working_bytes=estimate.prefill)
    branches = cache.branches(*conditions)
    working = estimate.kv_cache + estimate.sampling_work
    patchers = [model.patcher, model.prefill_cache_patcher]
    if tokenizer is not None:
        patchers.append(tokenizer.patcher)
        height, width = schedule.pixels_hw
        picture = decoding_bytes(tokenizer.module.config, height * width, runtime.weights_dtype(tokenizer))
        working = max(working, picture)  # previews are smaller, and the KV cache is freed before the last
    runtime.load(*patchers, working_bytes=working)
    return branches


def decode(tokenizer: runtime.Managed, codes_BDHW: Tensor) -> Tensor:
    """Pictures [B, 3, H, W] on the CPU, with the tokenizer loaded.

    Raises MemoryError where they do not fit into main memory.
    """
    config = tokenizer.module.config
    pixels = codes_BDHW.shape[-2] * codes_BDHW.shape[-1] * config.patch**2
    memory_checks.require_for_decoding(len(codes_BDHW), pixels)
    working = decoding_bytes(config, pixels, runtime.weights_dtype(tokenizer))
    runtime.loaded(tokenizer, working_bytes=working)
    return runtime.decode(tokenizer, codes_BDHW)


def run_shape(
    model: runtime.ManagedModel, conditions: RunConditions, schedule: ScaleSchedule, pictures: int
) -> Run:
    """All that the memory of a run depends on."""
    text, semantic, content = conditions[:3]
    views = [len(features[0]) for features in (semantic, content) if features is not None]
    return Run(
        schedule,
        pictures,
        branches=model.prefill_cache.branches_needed(conditions),
        dtype=model.module.stored_dtype,
        compute_dtype=model.module.dtype,
        cache_dtype=conditions.cache_dtype,
        prompt_tokens=len(text.tokens_LC) if text is not None else model.module.config.text_length,
        views=max(views, default=1),
    )


def _make_room(
    model: runtime.ManagedModel, conditions: RunConditions, run: Run, estimate: MemoryEstimate
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
        model.prefill_cache.keep_only(conditions)
