"""Names of the transformer's tensors in published checkpoints, and their translation to ours.

Published EchoGen names = Infinity names plus the subject path's (those containing `control`). Leading axes of
length one differ between the two forms and are dropped. Source: key tables of the official state dicts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from ..config import TransformerConfig
from .empty_state import empty_state
from .mismatches import describe_mismatches

WRAPPER_PATHS = (("trainer", "gpt_fsdp"), ("gpt_fsdp",), ("module",))
"""Paths under which training checkpoints hold the model's state dict, in the order of the search."""

MODEL_NAMES: dict[str, str] = {
    "null_text": "cfg_uncond",
    "null_semantic": "control_features_uncond",
    "null_content": "control_features_refer_uncond",
    "start": "pos_start",
    "semantic_start": "control_pos_start",
    "text_norm.weight": "text_norm.weight",
    "text_pool.query": "text_proj_for_sos.ca.mat_q",
    "text_pool.v_bias": "text_proj_for_sos.ca.v_bias",
    "text_pool.to_kv": "text_proj_for_sos.ca.mat_kv",
    "text_pool.proj": "text_proj_for_sos.ca.proj",
    "text_mlp": "text_proj_for_ca",
    "text_adaln": "shared_ada_lin",
    "level_embed": "lvl_embed",
    "bits_embed": "word_embed",
    "head.adaln": "head_nm.ada_lin",
    "head.linear": "head",
    "semantic_cls": "control_proj_for_sos",
    "semantic_mlp": "control_proj_for_ca",
    "semantic_adaln": "control_shared_ada_lin",
    "content_mlp": "control_proj_for_ca_refer",
    "content_text_adaln": "control_shared_ada_lin_refer",
    "content_semantic_adaln": "control_shared_ada_lin_refer_dino",
}
"""Our module or parameter -> the published one, outside the blocks."""

BLOCK_NAMES: dict[str, str] = {
    "adaln": "ada_gss",
    "content_adaln": "control_ada_gss",
    "attn.to_qkv": "sa.mat_qkv",
    "attn.q_bias": "sa.q_bias",
    "attn.v_bias": "sa.v_bias",
    "attn.log_scale": "sa.scale_mul_1H11",
    "attn.proj": "sa.proj",
    "attn.content_to_q": "sa.control_mat_q",
    "attn.content_to_kv": "sa.control_mat_kv",
    "attn.content_q_bias": "sa.control_q_bias",
    "attn.content_v_bias": "sa.control_v_bias",
    "attn.content_log_scale": "sa.control_scale_mul_1H11",
    "attn.content_proj": "sa.control_proj",
    "attn.content_to_image": "sa.control_attn",
    "cross.to_q": "ca.mat_q",
    "cross.to_kv": "ca.mat_kv",
    "cross.v_bias": "ca.v_bias",
    "cross.semantic_to_kv": "ca.control_mat_kv",
    "cross.semantic_v_bias": "ca.control_v_bias",
    "cross.proj": "ca.proj",
    "cross_norm": "ca_norm",
    "ffn.up": "ffn.fc1",
    "ffn.down": "ffn.fc2",
    "content_cross.to_q": "control_ca.mat_q",
    "content_cross.to_kv": "control_ca.mat_kv",
    "content_cross.v_bias": "control_ca.v_bias",
    "content_cross.proj": "control_ca.proj",
    "content_cross_norm": "control_ca_norm",
    "content_ffn.up": "control_ffn.fc1",
    "content_ffn.down": "control_ffn.fc2",
}
"""Our module or parameter -> the published one, inside a block."""

IGNORED_KEYS = re.compile(
    r"lvl_1L|attn_bias_for_masking|Infinity_(in)?visible_(kvlen|qlen)|(.*\.)?(control_)?zero_k_bias|.*\.rope2d_freqs_grid.*"
)
"""Buffers of the official code: masks, and key biases that are always zero."""

PADDED = ("cfg_uncond", "control_features_uncond", "control_features_refer_uncond")
"""Learned nulls, one row a token; the official loader cuts longer ones and keeps a shorter one's rows."""

_CHUNKED = re.compile(r"block_chunks\.(\d+)\.module\.(\d+)\.(.+)")
_FLAT = re.compile(r"blocks\.(\d+)\.(.+)")


def translate_transformer(checkpoint: Mapping[str, Any], config: TransformerConfig) -> dict[str, Tensor]:
    """State dict under our names, every key and shape checked; tensors are viewed, not copied.

    Args:
        checkpoint: published state dict (nested or not).
    Raises:
        ValueError: names the keys that are unknown, missing or of another shape than `config` asks for.
    """
    state = flatten_blocks(_tensors(checkpoint))
    found: dict[str, Tensor] = {}
    missing, wrong = [], []
    for name, ours in empty_state(config).items():
        key = published_name(name)
        if key not in state:
            missing.append(key)
            continue
        tensor = state.pop(key)
        if key in PADDED and tensor.ndim:
            tensor = tensor[: ours.shape[0]]
        shape = _without_leading_ones(tensor)
        if shape != _without_leading_ones(ours):
            wrong.append(f"{key} {list(tensor.shape)} instead of {list(ours.shape)}")
            continue
        found[name] = tensor.reshape(ours.shape)
    unknown = [key for key in state if not IGNORED_KEYS.fullmatch(key)]
    _raise_mismatches(unknown, missing, wrong, config)
    return found


def infer_config(checkpoint: Mapping[str, Any]) -> TransformerConfig:
    """The configuration that a published state dict was made with, read from its shapes.

    KeyError where this is no Infinity or EchoGen transformer.
    """
    state = flatten_blocks(_tensors(checkpoint))
    width, bits = state["word_embed.weight"].shape
    text_length, text_width = state["cfg_uncond"].shape
    config = TransformerConfig(
        depth=1 + max(int(match[1]) for key in state if (match := _FLAT.fullmatch(key))),
        width=width,
        heads=state["blocks.0.sa.scale_mul_1H11"].numel(),
        bits=bits,
        text_width=text_width,
        text_length=text_length,
        mlp_ratio=state["blocks.0.ffn.fc1.weight"].shape[0] / width,
        levels=state["lvl_embed.weight"].shape[0],
        pool_head_width=text_width // state["text_proj_for_sos.ca.mat_q"].shape[-2],
        subject=False,
    )
    if "control_features_uncond" not in state:
        return config
    semantic_length, semantic_width = state["control_features_uncond"].shape
    content_length, content_width = state["control_features_refer_uncond"].shape
    return replace(
        config,
        subject=True,
        semantic_length=semantic_length,
        semantic_width=semantic_width,
        content_length=content_length,
        content_width=content_width,
    )


def published_name(name: str) -> str:
    """Published name of one of our tensors, blocks numbered flat.

    Raises:
        ValueError: no such tensor.
    """
    block = _FLAT.fullmatch(name)
    table, rest, head = (BLOCK_NAMES, block[2], f"blocks.{block[1]}.") if block else (MODEL_NAMES, name, "")
    parts = rest.split(".")
    for cut in range(len(parts), 0, -1):
        published = table.get(".".join(parts[:cut]))
        if published is not None:
            return head + ".".join((published, *parts[cut:]))
    raise ValueError(f"Expected a name from the transformer's state dict, got {name!r}.")


def unnest(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """The model's own state dict inside a training checkpoint, or the checkpoint itself."""
    for path in WRAPPER_PATHS:
        inner: Any = checkpoint
        for key in path:
            inner = inner.get(key) if isinstance(inner, Mapping) else None
        if isinstance(inner, Mapping):
            return inner
    return checkpoint


def _tensors(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of `unnest`, without what a training checkpoint keeps beside them."""
    return {key: value for key, value in unnest(checkpoint).items() if isinstance(value, Tensor)}


def flatten_blocks(state: Mapping[str, Any]) -> dict[str, Any]:
    """Chunked block names (`block_chunks.I.module.J.`) as flat ones (`blocks.N.`); others unchanged."""
    matches = {key: _CHUNKED.fullmatch(key) for key in state}
    chunk = 1 + max((int(m[2]) for m in matches.values() if m), default=0)
    return {
        f"blocks.{int(m[1]) * chunk + int(m[2])}.{m[3]}" if m else key: state[key]
        for key, m in matches.items()
    }


def _without_leading_ones(tensor: Tensor) -> tuple[int, ...]:
    shape = tuple(tensor.shape)
    while shape and shape[0] == 1:
        shape = shape[1:]
    return shape


def _raise_mismatches(
    unknown: list[str], missing: list[str], wrong: list[str], config: TransformerConfig
) -> None:
    if mismatches := describe_mismatches(missing, unknown, wrong):
        kind = "EchoGen" if config.subject else "Infinity"
        raise ValueError(
            f"not an {kind} transformer of depth {config.depth} and width {config.width}; tensors "
            f"{mismatches}. "
            "Choose the model file that belongs to this slot."
        )
