"""SAM's original checkpoints: their sizes, and their tensors in the hub's names.

Published as one flat mapping (sam_vit_b_01ec64.pth, sam_vit_l_0b3195.pth, sam_vit_h_4b8939.pth). The hub's
names are those of facebook/sam-vit-base, -large and -huge; facts from transformers' conversion script.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import transformers  # its attributes are imported when they are first used, which takes 0.3 s
from torch import Tensor

SIGNATURE_KEY = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
IGNORED_KEYS = ("pixel_mean", "pixel_std")
DECODER_HEADS = 8
"""Of every published model; no shape shows them."""

RENAMES: tuple[tuple[str, str], ...] = (
    # part of an original name (pattern) -> the hub's; all that fit are applied, in this order
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d+)\.layers\.0\.", r"\1.proj_in."),
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d+)\.layers\.2\.", r"\1.proj_out."),
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d+)\.layers\.1\.", r"\1.layers.0."),
    (r"output_upscaling\.0\.", "upscale_conv1."),
    (r"output_upscaling\.1\.", "upscale_layer_norm."),
    (r"output_upscaling\.3\.", "upscale_conv2."),
    (r"mask_downscaling\.0\.", "mask_embed.conv1."),
    (r"mask_downscaling\.1\.", "mask_embed.layer_norm1."),
    (r"mask_downscaling\.3\.", "mask_embed.conv2."),
    (r"mask_downscaling\.4\.", "mask_embed.layer_norm2."),
    (r"mask_downscaling\.6\.", "mask_embed.conv3."),
    (r"point_embeddings\.", "point_embed."),
    (r"pe_layer\.positional_encoding_gaussian_matrix", "shared_embedding.positional_embedding"),
    (r"^image_encoder\.", "vision_encoder."),
    (r"neck\.0\.", "neck.conv1."),
    (r"neck\.1\.", "neck.layer_norm1."),
    (r"neck\.2\.", "neck.conv2."),
    (r"neck\.3\.", "neck.layer_norm2."),
    (r"patch_embed\.proj\.", "patch_embed.projection."),
    (r"\.norm", ".layer_norm"),
    (r"\.blocks\.", ".layers."),
)


def original_state(tree: Mapping[str, Any]) -> dict[str, Tensor] | None:
    """The tensors of an original checkpoint without its constants; None when it is no such file."""
    if SIGNATURE_KEY not in tree:
        return None
    return {
        name: value for name, value in tree.items() if isinstance(value, Tensor) and name not in IGNORED_KEYS
    }


def to_hub_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of `original_state` in the hub's names."""
    hub: dict[str, Tensor] = {}
    for name, tensor in state.items():
        for pattern, replacement in RENAMES:
            name = re.sub(pattern, replacement, name)
        hub[name] = tensor
    # one table, used on both sides
    shared = "shared_embedding.positional_embedding"
    hub["shared_image_embedding.positional_embedding"] = hub[f"prompt_encoder.{shared}"]
    return hub


def infer_segmenter(state: Mapping[str, Tensor]) -> transformers.SamConfig:
    """The sizes that the tensors of `original_state` show. KeyError names a tensor that is missing."""
    width, _, patch, _ = state["image_encoder.patch_embed.proj.weight"].shape
    grid = state["image_encoder.pos_embed"].shape[1]
    # A block that sees the whole picture has a relative position for each row apart.
    tables = {
        int(match[1]): tensor.shape
        for name, tensor in state.items()
        if (match := re.fullmatch(r"image_encoder\.blocks\.(\d+)\.attn\.rel_pos_h", name))
    }
    wholes = [index for index, (rows, _) in sorted(tables.items()) if rows == 2 * grid - 1]
    windows = [(rows + 1) // 2 for index, (rows, _) in tables.items() if index not in wholes]
    channels = state["image_encoder.neck.0.weight"].shape[0]
    decoder = "mask_decoder.transformer.layers"
    config: transformers.SamConfig = transformers.SamConfig(
        vision_config=transformers.SamVisionConfig(
            hidden_size=width,
            num_hidden_layers=len(tables),
            num_attention_heads=width // tables[0][1],
            global_attn_indexes=wholes,
            window_size=max(windows, default=14),
            mlp_dim=state["image_encoder.blocks.0.mlp.lin1.bias"].shape[0],
            output_channels=channels,
            image_size=grid * patch,
            patch_size=patch,
            num_pos_feats=state[SIGNATURE_KEY].shape[1],
        ),
        prompt_encoder_config=transformers.SamPromptEncoderConfig(
            hidden_size=channels,
            image_size=grid * patch,
            patch_size=patch,
            mask_input_channels=state["prompt_encoder.mask_downscaling.3.bias"].shape[0],
        ),
        mask_decoder_config=transformers.SamMaskDecoderConfig(
            hidden_size=channels,
            mlp_dim=state[f"{decoder}.0.mlp.lin1.bias"].shape[0],
            num_hidden_layers=sum(name.startswith(decoder) and name.endswith("norm1.bias") for name in state),
            num_attention_heads=DECODER_HEADS,
            iou_head_hidden_dim=state["mask_decoder.iou_prediction_head.layers.0.bias"].shape[0],
        ),
    )
    return config
