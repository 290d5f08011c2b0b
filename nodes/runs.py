"""A run of the transformer: is there room, and the weights of each phase on the device when it needs them."""

from __future__ import annotations

from torch import Tensor

from echogen_core.disk import in_words
from echogen_core.sampling import Branches, RunConditions
from echogen_core.sampling.memory import (
    MemoryEstimate,
    Run,
    decoding_bytes,
    estimate_memory,
    smallest_change,
)
from echogen_core.scales import ScaleSchedule

from . import room, runtime


def prepare(
    model: runtime.ManagedModel,
    conditions: RunConditions,
    schedule: ScaleSchedule,
    pictures: int,
    tokenizer: runtime.Managed | None = None,
) -> Branches:
    """The run's branches, with the sampling weights (and the tokenizer) loaded, and room for the picture.

    What is known of subject and prompt is not computed again. Raises MemoryError, with the smallest change
    that helps, when the run cannot fit however the weights are moved.
    """
    run = describe(model, conditions, schedule, pictures)
    estimate = estimate_memory(model.module.config, run)
    _check_room(model, conditions, run, estimate)
    prefills = model.prefills
    if prefills.missing(conditions):
        runtime.load(model.prefill_patcher, model.prefills_patcher, working_bytes=estimate.prefill)
    branches = prefills.branches(*conditions)
    working = estimate.arena + estimate.sampling_work
    patchers = [model.patcher, model.prefills_patcher]
    if tokenizer is not None:
        patchers.append(tokenizer.patcher)
        height, width = schedule.pixels_hw
        picture = decoding_bytes(tokenizer.module.config, height * width, runtime.weights_dtype(tokenizer))
        working = max(working, picture)  # previews are smaller, and the keys are gone before the last
    runtime.load(*patchers, working_bytes=working)
    return branches


def decode(tokenizer: runtime.Managed, codes_BDHW: Tensor) -> Tensor:
    """Pictures [B, 3, H, W] on the CPU; brings the tokenizer to the device, with room to work.

    Raises MemoryError where main memory has no room for them.
    """
    config = tokenizer.module.config
    pixels = codes_BDHW.shape[-2] * codes_BDHW.shape[-1] * config.patch**2
    room.check_decoded(len(codes_BDHW), pixels)
    # as many at once as fit into the limit, at least one
    at_once = max(pixels, min(len(codes_BDHW) * pixels, runtime.DECODED_AT_ONCE))
    working = decoding_bytes(config, at_once, runtime.weights_dtype(tokenizer))
    runtime.loaded(tokenizer, working_bytes=working)
    return runtime.decode(tokenizer, codes_BDHW)


def describe(
    model: runtime.ManagedModel, conditions: RunConditions, schedule: ScaleSchedule, pictures: int
) -> Run:
    """What the memory of a run depends on."""
    text, semantic, content = conditions[:3]
    views = [len(features[0]) for features in (semantic, content) if features is not None]
    return Run(
        schedule,
        pictures,
        branches=model.prefills.needed(conditions),
        dtype=model.module.stored_dtype,
        computed=model.module.dtype,
        kept=conditions.kept,
        prompt_tokens=len(text.tokens_LC) if text is not None else model.module.config.text_length,
        views=max(views, default=1),
    )


def _check_room(
    model: runtime.ManagedModel, conditions: RunConditions, run: Run, estimate: MemoryEstimate
) -> None:
    """Drops what other runs left where room is short; MemoryError when that is not enough."""
    held = model.prefills.nbytes
    without = runtime.room(model.patcher) - (held if runtime.offloads(model.prefills_patcher) else 0)
    available = without + held  # what this run does not need of them can go, wherever they are
    if available < estimate.streamed:
        change = smallest_change(model.module.config, run, available, runtime.keeps_fp8())
        raise MemoryError(
            f"This picture takes about {in_words(estimate.streamed)} besides the model's weights, and there "
            f"is room for {in_words(available)}. To make it fit, {change}."
        )
    wanted = estimate.resident if runtime.offloads(model.patcher) else estimate.streamed
    if without < wanted:
        model.prefills.keep_only(conditions)
