"""Memory in the graph: phases, cancelling, giving back, and what is said when there is no room."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from live_bytes import LiveBytes
from test_execution import SAMPLER, run, same_bits


@pytest.fixture
def conditions(pack: dict[str, Any], models: Any) -> dict[str, Any]:
    """Features that no other test has prefilled."""
    image = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(3))
    encode = {"image": image, "strength": 1.0}
    (text,) = run(pack, "EchoGenEncodeText", text_encoder=models.text_encoder, prompt="a car on a beach")
    (semantic,) = run(pack, "EchoGenEncodeSemantic", semantic_encoder=models.semantic_encoder, **encode)
    (content,) = run(pack, "EchoGenEncodeContent", content_encoder=models.content_encoder, **encode)
    return {"text": text, "semantic": semantic, "content": content}


def live_bytes(models: Any) -> LiveBytes:
    modules = (models.model, models.tokenizer, models.text_encoder)
    return LiveBytes(*(managed.module for managed in modules))


def test_both_phases_and_the_prefills_are_under_the_memory_manager(
    pack: dict[str, Any], models: Any, conditions: dict[str, Any]
) -> None:
    import comfy.model_management as mm

    mm.unload_all_models()
    run(pack, "EchoGenSampler", model=models.model, **SAMPLER, **conditions)
    known = mm.loaded_models()
    assert (
        all(patcher in known for patcher in models.model.get_models()) and len(models.model.get_models()) == 3
    )
    mm.unload_all_models()
    assert models.model.prefill_cache.nbytes == 0, "giving everything back includes the prefills"
    before = models.model.prefill_cache.computed
    run(pack, "EchoGenSampler", model=models.model, **SAMPLER, **conditions)
    assert models.model.prefill_cache.computed == before + 3


def test_weights_that_leave_cost_no_prefill(
    pack: dict[str, Any], models: Any, conditions: dict[str, Any]
) -> None:
    bits, _ = run(pack, "EchoGenSampler", model=models.model, **SAMPLER, **conditions)
    held, computed = models.model.prefill_cache.nbytes, models.model.prefill_cache.computed
    models.model.prefill_patcher.detach()
    models.model.patcher.detach()
    assert models.model.prefill_cache.nbytes == held > 0
    again, _ = run(pack, "EchoGenSampler", model=models.model, **SAMPLER, **conditions)
    assert same_bits(again, bits) and models.model.prefill_cache.computed == computed


def test_a_run_cancelled_in_each_phase_leaves_nothing(
    pack: dict[str, Any], models: Any, conditions: dict[str, Any]
) -> None:
    import comfy.model_management as mm

    sampler = dict(model=models.model, **SAMPLER, **conditions)

    def cancelled(node: str, **inputs: Any) -> None:
        mm.interrupt_current_processing()
        with pytest.raises(mm.InterruptProcessingException):
            run(pack, node, **inputs)

    with live_bytes(models) as counted:
        bits, _ = run(pack, "EchoGenSampler", **sampler)
        run(pack, "EchoGenDecodeBits", bits=bits, tokenizer=models.tokenizer)
        known = counted.live
        cancelled("EchoGenSampler", **sampler)
        cancelled("EchoGenDecodeBits", bits=bits, tokenizer=models.tokenizer)
        assert counted.live == known, "drawing, decoding"
        models.model.prefill_cache.clear()
        empty = counted.live
        cancelled("EchoGenSampler", **sampler)
        assert counted.live == empty < known, "the prefill"
        again, _ = run(pack, "EchoGenSampler", **sampler)
    assert same_bits(again, bits)


def test_twenty_runs_in_a_row_leave_nothing(
    pack: dict[str, Any], models: Any, conditions: dict[str, Any]
) -> None:
    def once(seed: int) -> None:
        choice = {**SAMPLER, "seed": seed, "gamma_t": 1.0 + seed % 3, "top_k": seed % 2}
        bits, _ = run(pack, "EchoGenSampler", model=models.model, **choice, **conditions)
        run(pack, "EchoGenDecodeBits", bits=bits, tokenizer=models.tokenizer)

    with live_bytes(models) as counted:
        for seed in range(3):
            once(seed)
        settled = counted.live
        for seed in range(3, 20):
            once(seed)
        assert counted.live == settled


def test_no_room_is_said_with_the_smallest_change(
    pack: dict[str, Any], models: Any, conditions: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import comfy.model_management as mm

    from echogen_core.sampling.memory import Run, estimate_memory
    from echogen_core.scales import find_schedule

    models.model.prefill_cache.clear()
    whole = Run(find_schedule("nano"), pictures=4, branches=3, dtype=torch.float32)
    packed = estimate_memory(
        models.model.module.config, replace(whole, cache_dtype=torch.float8_e4m3fn)
    ).streamed
    monkeypatch.setattr(mm, "get_free_memory", lambda *_, **__: int(packed * 1.05))
    with pytest.raises(MemoryError, match="To make it fit, set KV cache to fp8"):
        run(pack, "EchoGenSampler", model=models.model, **{**SAMPLER, "batch": 4}, **conditions)
    assert models.model.prefill_cache.nbytes == 0, "nothing was begun"
    assert run(pack, "EchoGenSampler", model=models.model, **SAMPLER, **conditions)[0].complete


def test_the_cache_in_fp8_makes_nearly_the_same_choices(
    pack: dict[str, Any], models: Any, conditions: dict[str, Any]
) -> None:
    greedy = dict(model=models.model, **{**SAMPLER, "top_k": 1}, **conditions)
    full, _ = run(pack, "EchoGenSampler", **greedy)
    models.model.prefill_cache.clear()
    packed, _ = run(pack, "EchoGenSampler", **greedy, cache="fp8")
    nbytes = models.model.prefill_cache.nbytes
    models.model.prefill_cache.clear()
    run(pack, "EchoGenSampler", **greedy)
    assert models.model.prefill_cache.nbytes == 4 * nbytes, "nano computes in float32"
    first = full.scales[0] == packed.scales[0]
    assert float(first.float().mean()) > 0.9
