"""Phases of a run: which layers each uses, by a table written out and by what a run really reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from random_models import SMALL, random_conditions, random_transformer
from torch import Tensor, nn

from echogen_core.config import PRESETS, TransformerConfig
from echogen_core.dtypes import FP8
from echogen_core.model import EchoGenTransformer, split_phases, unused_names
from echogen_core.sampling import PrefillCache, SamplingSettings, sample
from echogen_core.sampling.memory import Run
from echogen_core.scales import find_schedule

SAMPLING = ("level_embed", "bits_embed", "head.adaln.1", "head.linear")
SAMPLING_IN_BLOCK = (
    "adaln", "cross_norm", "ffn.up", "ffn.down", "cross.to_q", "cross.proj", "attn.to_qkv", "attn.q_bias",
    "attn.v_bias", "attn.log_scale", "attn.proj", "attn.content_to_image",
)  # fmt: skip
PREFILL = (
    "null_text", "start", "text_norm", "text_pool.query", "text_pool.to_kv", "text_pool.v_bias",
    "text_pool.proj", "text_mlp.0", "text_mlp.2", "text_adaln.1", "null_semantic", "null_content",
    "semantic_start", "semantic_cls", "semantic_mlp.0", "semantic_mlp.2", "semantic_adaln.1",
    "content_mlp.0", "content_mlp.2", "content_text_adaln.1", "content_semantic_adaln.1",
)  # fmt: skip
PREFILL_IN_BLOCK = (
    "cross.to_kv", "cross.v_bias", "cross.semantic_to_kv", "cross.semantic_v_bias", "content_adaln",
    "attn.content_to_kv", "attn.content_v_bias",
)  # fmt: skip
STREAM_IN_BLOCK = (
    "content_cross.to_q", "content_cross.to_kv", "content_cross.v_bias", "content_cross.proj",
    "content_cross_norm", "content_ffn.up", "content_ffn.down", "attn.content_to_q", "attn.content_q_bias",
    "attn.content_log_scale", "attn.content_proj",
)  # fmt: skip
"""What carries the content stream on: prefill in every block but the last, where nothing reads it."""

SIZES = {"small": SMALL, **{name: preset.transformer for name, preset in PRESETS.items()}}


def expected(name: str, depth: int) -> str:
    """The phase of a parameter, from the tables above."""
    layer = name.removesuffix("_scale") if name.endswith("weight_scale") else name
    layer = layer.removesuffix(".weight").removesuffix(".bias")
    if not layer.startswith("blocks."):
        assert (layer in SAMPLING) != (layer in PREFILL), name
        return "sampling" if layer in SAMPLING else "prefill"
    _, index, layer = layer.split(".", 2)
    tables = {"sampling": SAMPLING_IN_BLOCK, "prefill": PREFILL_IN_BLOCK, "stream": STREAM_IN_BLOCK}
    (phase,) = [phase for phase, layers in tables.items() if layer in layers]
    if phase == "stream":
        return "unused" if int(index) == depth - 1 else "prefill"
    return phase


@pytest.mark.parametrize("subject", [True, False], ids=["subject", "plain"])
@pytest.mark.parametrize("dtype", [torch.float32, FP8], ids=str)
@pytest.mark.parametrize("config", SIZES.values(), ids=SIZES.keys())
def test_every_parameter_is_in_the_phase_of_the_table(
    config: TransformerConfig, dtype: torch.dtype, subject: bool
) -> None:
    model = EchoGenTransformer(replace(config, subject=subject), dtype=dtype, device="meta")
    parameters = dict(model.named_parameters())
    phases = split_phases(model)
    found = {name: "unused" for name in unused_names(model)}
    for phase, half in zip(("prefill", "sampling"), phases, strict=True):
        held = dict(half.named_parameters())
        assert all(parameters[name] is parameter for name, parameter in held.items())
        assert not found.keys() & held.keys(), "in two phases"
        found |= dict.fromkeys(held, phase)
    assert found == {name: expected(name, config.depth) for name in parameters}


def test_a_run_reads_exactly_the_layers_of_its_phase() -> None:
    config, run = replace(SMALL, depth=2, content_length=64), Run(find_schedule("nano"), branches=3)
    model = random_transformer(config)
    conditions = random_conditions(config, run)
    assert conditions.guidance is not None
    read: set[int] = set()
    names = {id(parameter): name for name, parameter in model.named_parameters()}

    class Reading(torch.overrides.TorchFunctionMode):
        def __torch_function__(
            self, function: Callable[..., object], types: object, args: object = (), kwargs: object = None
        ) -> object:
            inputs = [*args, *(kwargs or {}).values()]  # type: ignore[misc, attr-defined]
            read.update(id(value) for value in inputs if isinstance(value, Tensor))
            return function(*args, **(kwargs or {}))  # type: ignore[misc, arg-type]

    def names_read(half: nn.Module) -> tuple[set[str], set[str]]:
        found = {names[key] for key in read & names.keys()}
        read.clear()
        return found, {name for name, _ in half.named_parameters()}

    phases = split_phases(model)
    with Reading():
        branches = PrefillCache(model).branches(*conditions)
        found, declared = names_read(phases.prefill)
        assert found == declared
        list(sample(model, branches, run.schedule, [1], SamplingSettings(conditions.guidance)))
        found, declared = names_read(phases.sampling)
        assert found == declared
