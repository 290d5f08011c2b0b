"""The same model run without this project's savings: what the benchmarks compare with, and the tests.

All three branches at every scale, a prefill for every picture and run, keys and values that grow by
concatenation, a dense mask in every self-attention, and conditions copied for each row.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from echogen_core.model import EchoGenTransformer
from echogen_core.model.attention import KeyValue
from echogen_core.model.branch import BranchBatch, LayerCondition
from echogen_core.model.rope import sequence_rope
from echogen_core.sampling import Guidance, RunConditions
from echogen_core.sampling.bits import draw_bits, picture_generators
from echogen_core.sampling.memory import Run
from echogen_core.tokenizer.bsq import add_scale, next_scale_input


class GrowingMemory:
    """Keys and values by concatenation, all of them allowed by a dense mask."""

    def __init__(self) -> None:
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}

    def extend(self, layer: int, k_BHLD: Tensor, v_BHLD: Tensor) -> KeyValue:
        if layer in self._layers:
            k, v = self._layers[layer]
            self._layers[layer] = torch.cat((k, k_BHLD), 2), torch.cat((v, v_BHLD), 2)
        else:
            self._layers[layer] = k_BHLD, v_BHLD
        k, v = self._layers[layer]
        mask = torch.ones(k_BHLD.shape[2], k.shape[2], dtype=torch.bool, device=k.device)
        return KeyValue(k, v, mask)


def naive_prefill(
    model: EchoGenTransformer, conditions: RunConditions, device: torch.device, pictures: int
) -> tuple[list[BranchBatch], Tensor, Tensor, Tensor]:
    """Rows of all branches, each with its own copy of the conditions; prefix, signals and pooled prompt."""
    text, semantic, content = conditions[:3]
    assert text is not None
    length = len(text.tokens_LC)
    rows, caches = [], []
    for branch in ((text, semantic, content), (text, None, None), (None, None, None)):
        for _ in range(pictures):
            cache = model.prefill(model.conditions(*branch, length, device))
            layers = [LayerCondition(layer.cross, layer.content) for layer in cache.layers]
            rows.append(BranchBatch(1, layers))
            caches.append(cache)
    prefix, signals, pooled = (
        torch.cat([getattr(cache, name) for cache in caches])
        for name in ("prefix_BPC", "signals_B6C", "pooled_BC")
    )
    return rows, prefix, signals, pooled


@torch.inference_mode()
def naive_sample(
    model: EchoGenTransformer,
    conditions: RunConditions,
    run: Run,
    seeds: Sequence[int],
    device: torch.device,
    guidance: Guidance,
    top_p: float = 0.97,
) -> Tensor:
    """Summed codes of the pictures, [B, d, H, W]; the same as `sample` gives, up to rounding."""
    rows, prefix, signals, pooled = naive_prefill(model, conditions, device, len(seeds))
    rope = sequence_rope(run.schedule, model.config.head_width, model.prefix).to(device)
    generators = picture_generators(seeds)
    memory = GrowingMemory()
    codes: Tensor | None = None
    for index, (grid, (start, end)) in enumerate(zip(run.schedule.scales, run.schedule.spans, strict=True)):
        level = model.levels(index + 1, device)[index]
        if codes is None:
            x, first = prefix + level, 0
        else:
            embedded = model.bits_embed(next_scale_input(codes, grid))
            x, first = (embedded + level).repeat(3, 1, 1), start + model.prefix
        places = rope[:, first : end + model.prefix]
        logits = model(x, places, rows, memory, model.constants(signals, pooled))[:, -(end - start) :]
        full, text, null = logits.chunk(3)
        gamma_t, gamma_i = guidance.gamma_t[index], guidance.gamma_i[index]
        guided = null + gamma_t * (text - null) + gamma_i * (full - text)
        codes = add_scale(
            codes, draw_bits(guided, generators, top_p).unflatten(1, grid), run.schedule.scales[-1]
        )
    assert codes is not None
    return codes
