"""GroundingDINO's original checkpoints: their sizes, and their tensors in the hub's names.

Published as {"model": {"module.backbone.0...": tensor}} (groundingdino_swint_ogc.pth, _swinb_cogcoor.pth).
The hub's names are those of IDEA-Research/grounding-dino-tiny and -base, which every version of transformers
reads; facts from transformers' conversion script.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import transformers  # its attributes are imported when they are first used, which takes 0.3 s
from torch import Tensor

from .keymap_semantic import thirds

SIGNATURE_KEY = "transformer.encoder.fusion_layers.0.gamma_v"
POINTS = 4
"""Sampling points of every published model; no shape tells them from the number of heads."""

IGNORED_KEYS = ("label_enc.weight", "bert.embeddings.position_ids", "bert.pooler.")
"""Parts of names: what only training used, and a table that the model computes."""

_SWIN = "model.backbone.conv_encoder.model."
_SWIN_BLOCK = _SWIN + r"encoder.layers.\1.blocks.\2."
_ENCODER = r"model.encoder.layers.\1."
_DECODER = r"model.decoder.layers.\1."

RENAMES: tuple[tuple[str, str], ...] = (
    # original name (pattern) -> the hub's; the first that fits is taken
    (r"backbone\.0\.patch_embed\.proj\.", _SWIN + "embeddings.patch_embeddings.projection."),
    (r"backbone\.0\.patch_embed\.norm\.", _SWIN + "embeddings.norm."),
    (r"backbone\.0\.layers\.(\d+)\.downsample\.", _SWIN + r"encoder.layers.\1.downsample."),
    (r"backbone\.0\.layers\.(\d+)\.blocks\.(\d+)\.norm1\.", _SWIN_BLOCK + "layernorm_before."),
    (r"backbone\.0\.layers\.(\d+)\.blocks\.(\d+)\.norm2\.", _SWIN_BLOCK + "layernorm_after."),
    (r"backbone\.0\.layers\.(\d+)\.blocks\.(\d+)\.attn\.proj\.", _SWIN_BLOCK + "attention.output.dense."),
    (r"backbone\.0\.layers\.(\d+)\.blocks\.(\d+)\.attn\.", _SWIN_BLOCK + "attention.self."),
    (r"backbone\.0\.layers\.(\d+)\.blocks\.(\d+)\.mlp\.fc1\.", _SWIN_BLOCK + "intermediate.dense."),
    (r"backbone\.0\.layers\.(\d+)\.blocks\.(\d+)\.mlp\.fc2\.", _SWIN_BLOCK + "output.dense."),
    # stages are counted from 1 there
    (r"backbone\.0\.norm1\.", _SWIN + "hidden_states_norms.stage2."),
    (r"backbone\.0\.norm2\.", _SWIN + "hidden_states_norms.stage3."),
    (r"backbone\.0\.norm3\.", _SWIN + "hidden_states_norms.stage4."),
    (r"transformer\.encoder\.layers\.(\d+)\.self_attn\.", _ENCODER + "deformable_layer.self_attn."),
    (r"transformer\.encoder\.layers\.(\d+)\.norm1\.", _ENCODER + "deformable_layer.self_attn_layer_norm."),
    (r"transformer\.encoder\.layers\.(\d+)\.norm2\.", _ENCODER + "deformable_layer.final_layer_norm."),
    (r"transformer\.encoder\.layers\.(\d+)\.linear(\d)\.", _ENCODER + r"deformable_layer.fc\2."),
    (
        r"transformer\.encoder\.text_layers\.(\d+)\.norm1\.",
        _ENCODER + "text_enhancer_layer.layer_norm_before.",
    ),
    (
        r"transformer\.encoder\.text_layers\.(\d+)\.norm2\.",
        _ENCODER + "text_enhancer_layer.layer_norm_after.",
    ),
    (r"transformer\.encoder\.text_layers\.(\d+)\.linear(\d)\.", _ENCODER + r"text_enhancer_layer.fc\2."),
    (r"transformer\.encoder\.text_layers\.(\d+)\.", _ENCODER + "text_enhancer_layer."),
    (r"transformer\.encoder\.fusion_layers\.(\d+)\.gamma_v", _ENCODER + "fusion_layer.vision_param"),
    (r"transformer\.encoder\.fusion_layers\.(\d+)\.gamma_l", _ENCODER + "fusion_layer.text_param"),
    (
        r"transformer\.encoder\.fusion_layers\.(\d+)\.layer_norm_v\.",
        _ENCODER + "fusion_layer.layer_norm_vision.",
    ),
    (
        r"transformer\.encoder\.fusion_layers\.(\d+)\.layer_norm_l\.",
        _ENCODER + "fusion_layer.layer_norm_text.",
    ),
    (
        r"transformer\.encoder\.fusion_layers\.(\d+)\.attn\.((?:values_|out_)?)v_proj\.",
        _ENCODER + r"fusion_layer.attn.\2vision_proj.",
    ),
    (
        r"transformer\.encoder\.fusion_layers\.(\d+)\.attn\.((?:values_|out_)?)l_proj\.",
        _ENCODER + r"fusion_layer.attn.\2text_proj.",
    ),
    (r"transformer\.decoder\.layers\.(\d+)\.cross_attn\.", _DECODER + "encoder_attn."),
    (r"transformer\.decoder\.layers\.(\d+)\.norm1\.", _DECODER + "encoder_attn_layer_norm."),
    (r"transformer\.decoder\.layers\.(\d+)\.ca_text\.", _DECODER + "encoder_attn_text."),
    (r"transformer\.decoder\.layers\.(\d+)\.catext_norm\.", _DECODER + "encoder_attn_text_layer_norm."),
    (r"transformer\.decoder\.layers\.(\d+)\.norm2\.", _DECODER + "self_attn_layer_norm."),
    (r"transformer\.decoder\.layers\.(\d+)\.norm3\.", _DECODER + "final_layer_norm."),
    (r"transformer\.decoder\.layers\.(\d+)\.linear(\d)\.", _DECODER + r"fc\2."),
    (r"transformer\.decoder\.layers\.(\d+)\.", _DECODER),
    (r"transformer\.decoder\.norm\.", "model.decoder.layer_norm."),
    (r"transformer\.decoder\.ref_point_head\.", "model.decoder.reference_points_head."),
    (r"transformer\.decoder\.bbox_embed\.", "model.decoder.bbox_embed."),
    (r"transformer\.enc_out_bbox_embed\.", "model.encoder_output_bbox_embed."),
    (r"transformer\.enc_output", "model.enc_output"),
    (r"transformer\.level_embed", "model.level_embed"),
    (r"transformer\.tgt_embed\.", "model.query_position_embeddings."),
    (r"input_proj\.", "model.input_proj_vision."),
    (r"feat_map\.", "model.text_projection."),
    (r"bert\.", "model.text_backbone."),
)

_FUSED = re.compile(r"(.+)\.(?:qkv\.|in_proj_)(weight|bias)")


def original_state(tree: Mapping[str, Any]) -> dict[str, Tensor] | None:
    """The tensors of an original checkpoint without its nest and prefix; None when it is no such file."""
    nested = tree.get("model")
    inner: Mapping[str, Any] = nested if isinstance(nested, Mapping) else tree
    state = {
        name.removeprefix("module."): value for name, value in inner.items() if isinstance(value, Tensor)
    }
    if SIGNATURE_KEY not in state:
        return None
    return {name: value for name, value in state.items() if not any(part in name for part in IGNORED_KEYS)}


def to_hub_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of `original_state` in the hub's names; fused query, key and value become three views.

    Names that the table does not know stay as they are, for the strict load to complain about.
    """
    hub: dict[str, Tensor] = {}
    for name, tensor in state.items():
        renamed = _renamed(name)
        fused = _FUSED.fullmatch(renamed)
        if fused is None or not thirds(tensor):
            hub[renamed] = tensor
            continue
        for part, view in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
            hub[f"{fused[1]}.{part}.{fused[2]}"] = view
    return hub


def _renamed(name: str) -> str:
    for pattern, replacement in RENAMES:
        renamed, found = re.subn("^" + pattern, replacement, name)
        if found:
            return renamed
    return name


def infer_detector(state: Mapping[str, Tensor]) -> transformers.GroundingDinoConfig:
    """The sizes that the tensors of `original_state` show. KeyError names a tensor that is missing."""
    depths = [_count(state, rf"backbone\.0\.layers\.{stage}\.blocks\.(\d+)\.") for stage in range(4)]
    tables = [
        state[f"backbone.0.layers.{stage}.blocks.0.attn.relative_position_bias_table"] for stage in range(4)
    ]
    window = (int(tables[0].shape[0] ** 0.5) + 1) // 2
    levels, width = state["transformer.level_embed"].shape
    heads = state["transformer.encoder.layers.0.self_attn.attention_weights.bias"].shape[0] // (
        levels * POINTS
    )
    swin_config: Any = transformers.SwinConfig
    config: transformers.GroundingDinoConfig = transformers.GroundingDinoConfig(
        backbone_config=swin_config(
            window_size=window,
            image_size=384 if window == 12 else 224,
            embed_dim=state["backbone.0.patch_embed.proj.bias"].shape[0],
            depths=depths,
            num_heads=[table.shape[1] for table in tables],
            out_indices=[2, 3, 4],
        ),
        text_config=_infer_text(state),
        num_queries=state["transformer.tgt_embed.weight"].shape[0],
        d_model=width,
        num_feature_levels=levels,
        encoder_layers=_count(state, r"transformer\.encoder\.layers\.(\d+)\."),
        decoder_layers=_count(state, r"transformer\.decoder\.layers\.(\d+)\."),
        encoder_ffn_dim=state["transformer.encoder.layers.0.linear1.bias"].shape[0],
        decoder_ffn_dim=state["transformer.decoder.layers.0.linear1.bias"].shape[0],
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
    )
    return config


def _infer_text(state: Mapping[str, Tensor]) -> transformers.BertConfig:
    words, width = state["bert.embeddings.word_embeddings.weight"].shape
    config: transformers.BertConfig = transformers.BertConfig(
        vocab_size=words,
        hidden_size=width,
        num_hidden_layers=_count(state, r"bert\.encoder\.layer\.(\d+)\."),
        num_attention_heads=max(1, width // 64),
        intermediate_size=state["bert.encoder.layer.0.intermediate.dense.bias"].shape[0],
        max_position_embeddings=state["bert.embeddings.position_embeddings.weight"].shape[0],
    )
    return config


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    found = [int(match[1]) for match in (re.match(pattern, name) for name in state) if match]
    return max(found, default=-1) + 1
