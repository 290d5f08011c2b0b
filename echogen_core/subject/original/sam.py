"""SAM by its authors' package (segment-anything 1.0)."""

from __future__ import annotations

import importlib
from functools import partial
from types import SimpleNamespace
from typing import Any

from torch import nn

from ..segment import Sam

INSTALL = "pip install segment-anything"


class OriginalSam(Sam):
    """The package's network between the same processor and post-processing."""

    def run(self, inputs: Any) -> Any:
        """As `Sam.run`."""
        sparse, dense = self.model.prompt_encoder(points=None, boxes=inputs["input_boxes"][0], masks=None)
        masks_1PHW, scores_1P = self.model.mask_decoder(
            image_embeddings=self.model.image_encoder(inputs["pixel_values"]),
            image_pe=self.model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
        return SimpleNamespace(pred_masks=masks_1PHW[None].float(), iou_scores=scores_1P[None].float())


def build_sam(config: Any) -> nn.Module:
    """The package's Sam with the sizes of a transformers SamConfig.

    Raises ImportError, saying how to install it, when the package is absent.
    """
    try:
        modeling: Any = importlib.import_module("segment_anything.modeling")
    except ImportError as error:
        raise ImportError(
            f"The original SAM cannot be imported ({error}). Install it with `{INSTALL}`, or choose the "
            "transformers backend, which reads the same file."
        ) from error
    vision, prompt, decoder = config.vision_config, config.prompt_encoder_config, config.mask_decoder_config
    grid = (vision.image_size // vision.patch_size,) * 2
    model: nn.Module = modeling.Sam(
        image_encoder=modeling.ImageEncoderViT(
            img_size=vision.image_size,
            patch_size=vision.patch_size,
            embed_dim=vision.hidden_size,
            depth=vision.num_hidden_layers,
            num_heads=vision.num_attention_heads,
            mlp_ratio=vision.mlp_dim / vision.hidden_size,
            out_chans=vision.output_channels,
            norm_layer=partial(nn.LayerNorm, eps=vision.layer_norm_eps),
            use_rel_pos=True,
            window_size=vision.window_size,
            global_attn_indexes=tuple(vision.global_attn_indexes),
        ),
        prompt_encoder=modeling.PromptEncoder(
            embed_dim=prompt.hidden_size,
            image_embedding_size=grid,
            input_image_size=(vision.image_size,) * 2,
            mask_in_chans=prompt.mask_input_channels,
        ),
        mask_decoder=modeling.MaskDecoder(
            transformer_dim=decoder.hidden_size,
            transformer=modeling.TwoWayTransformer(
                depth=decoder.num_hidden_layers,
                embedding_dim=decoder.hidden_size,
                num_heads=decoder.num_attention_heads,
                mlp_dim=decoder.mlp_dim,
            ),
            num_multimask_outputs=decoder.num_multimask_outputs,
            iou_head_depth=decoder.iou_head_depth,
            iou_head_hidden_dim=decoder.iou_head_hidden_dim,
        ),
    )
    return model
