"""Transformers and features with random numbers: for what does not depend on the pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from live_bytes import LiveBytes
from torch import nn

from echogen_core.checkpoints import Bundle
from echogen_core.checkpoints.quantised import match_scales
from echogen_core.config import Preset, TransformerConfig
from echogen_core.encoders import (
    ENCODERS,
    ContentEncoder,
    SemanticEncoder,
    TextEncoder,
    build_tokenizer,
    wrap_tokenizer,
)
from echogen_core.features import ContentFeatures, SemanticFeatures, TextFeatures
from echogen_core.model import EchoGenTransformer
from echogen_core.model.rope import sequence_rope
from echogen_core.sampling import Guidance, PrefillCache, RunConditions, SamplingSettings, sample
from echogen_core.sampling.memory import Run
from echogen_core.tokenizer import BitTokenizer
from echogen_core.training.initialise import initialise

SMALL = TransformerConfig(
    depth=3, width=256, heads=4, bits=16, text_width=256, text_length=64,
    semantic_length=257, content_length=1024,
)  # fmt: skip
"""Large enough that activations, keys and weights all count."""

GUIDANCE = {1: (1.0, 1.0), 2: (2.5, 2.5), 3: (3.0, 2.0)}
"""γ_t and γ_I that need so many branches."""


def random_transformer(
    config: TransformerConfig,
    dtype: torch.dtype = torch.float32,
    operations: Any = nn,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> EchoGenTransformer:
    """Drawn on the device as for training, then stored in `dtype`."""
    drawn = EchoGenTransformer(config, device=device)
    initialise(drawn, torch.Generator(device).manual_seed(seed))
    model = EchoGenTransformer(config, operations, dtype, device="meta")
    wanted = model.state_dict()
    state = match_scales(drawn.state_dict(), wanted)
    model.load_state_dict({name: state[name].to(t.dtype) for name, t in wanted.items()}, assign=True)
    return model.eval().requires_grad_(False)


def random_bundle(preset: Preset, prompts: Sequence[str], spread: float) -> Bundle:
    """All parts of a miniature, random; its tokenizer knows the prompts' words.

    spread: standard deviation of the transformer's parameters.
    """
    torch.manual_seed(3)
    encoders = ENCODERS[preset.name]
    words = wrap_tokenizer(build_tokenizer(list(prompts), vocabulary=300))
    transformer = EchoGenTransformer(preset.transformer)
    for parameter in transformer.parameters():
        nn.init.normal_(parameter, std=spread)
    return Bundle(
        preset,
        transformer,
        BitTokenizer(preset.tokenizer),
        TextEncoder(replace(encoders.text, vocabulary=len(words)), words),
        SemanticEncoder(encoders.semantic),
        ContentEncoder(encoders.content),
    )


def random_conditions(config: TransformerConfig, run: Run, seed: int = 0) -> RunConditions:
    """Features of a prompt and (with a subject path) of a subject, for guidance with `run.branches`."""
    noise: Callable[..., torch.Tensor] = torch.randn
    generator = torch.Generator().manual_seed(seed)
    side = math.isqrt(config.content_length)
    text = TextFeatures(noise(run.prompt_tokens, config.text_width, generator=generator))
    guidance = Guidance.constant(*GUIDANCE[run.branches], len(run.schedule.scales))
    if not config.subject:
        return RunConditions(text, None, None, guidance, run.cache_dtype)
    patches = (run.views, config.semantic_length - 1, config.semantic_width)
    return RunConditions(
        text,
        SemanticFeatures(
            noise(patches[0], patches[2], generator=generator), noise(patches, generator=generator)
        ),
        ContentFeatures(noise(run.views, config.content_width, side, side, generator=generator)),
        guidance,
        run.cache_dtype,
    )


def measured_peaks(model: EchoGenTransformer, conditions: RunConditions, run: Run) -> tuple[int, int]:
    """Peak bytes of prefill and of sampling, with all of the model's weights."""
    assert conditions.guidance is not None
    sequence_rope(run.schedule, model.config.head_width, model.prefix)  # kept for all runs
    with LiveBytes(model, device=model.null_text.device) as counted:
        branches = PrefillCache(model).branches(*conditions)
        prefill = counted.peak
        counted.restart()
        settings = SamplingSettings(conditions.guidance)
        for _ in sample(model, branches, run.schedule, list(range(run.pictures)), settings):
            pass
        return prefill, counted.peak


def without_subject(config: TransformerConfig) -> TransformerConfig:
    """The plain text-to-image model of these sizes."""
    return replace(config, subject=False)
