"""GroundingDINO by its authors' package (groundingdino-py 0.4.0), used as it is installed.

The package was written for transformers 4 and builds its text encoder from the hub. Nothing in it is changed:
only while a model is built, the names that it looks up stand for the installed transformers' BertModel, in a
wrapper that needs none of the methods that transformers 5 took away.
Shape suffixes: L tokens, C channels, Q queries, T text positions.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from ..detect import GroundingDino, on_cpu

INSTALL = "pip install --no-deps groundingdino-py==0.4.0 timm addict yapf platformdirs"
"""Without its requirements: they replace OpenCV and bring an old `supervision`, only to draw."""

_DRAWING = "groundingdino.util.visualizer"
_TEMPERATURE = 20  # of the position encoding, in every published configuration


class OriginalGroundingDino(GroundingDino):
    """The package's network between the same processor and post-processing."""

    def run(self, inputs: Any, caption: str) -> Any:
        """As `GroundingDino.run`; the package makes its own tokens of the caption."""
        pictures = _package("util.misc").nested_tensor_from_tensor_list(list(inputs["pixel_values"]))
        outputs = self.model(pictures, captions=[caption])
        return on_cpu(outputs["pred_logits"], outputs["pred_boxes"])


class TextTokens(nn.Module):
    """BertModel with a mask of which token sees which; parameters named as in the package's own wrapper."""

    def __init__(self, bert_model: Any) -> None:
        super().__init__()
        self.config = bert_model.config
        self.embeddings = bert_model.embeddings
        self.encoder = bert_model.encoder

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor, position_ids: Tensor
    ) -> dict[str, Tensor]:
        """attention_mask: [1, L, L] bool. The last features [1, L, C], under the name that is asked for."""
        x_1LC = self.embeddings(input_ids=input_ids, token_type_ids=token_type_ids, position_ids=position_ids)
        hidden_1LL = torch.zeros_like(attention_mask, dtype=x_1LC.dtype)
        hidden_1LL.masked_fill_(~attention_mask, torch.finfo(x_1LC.dtype).min)
        return {"last_hidden_state": self.encoder(x_1LC, attention_mask=hidden_1LL[:, None])[0]}


def build_grounding_dino(config: Any, tokenizer: Any) -> nn.Module:
    """The package's GroundingDINO with the sizes of a transformers GroundingDinoConfig.

    Raises ImportError, saying how to install it, when the package is absent.
    """
    module = _package("models.GroundingDINO.groundingdino")
    stand_ins = {
        "get_tokenlizer": SimpleNamespace(
            get_tokenlizer=lambda _: tokenizer,
            get_pretrained_language_model=lambda _: transformers.BertModel(config.text_config),
        ),
        "BertModelWarper": TextTokens,
    }
    with _standing_in(module, stand_ins):
        model: nn.Module = module.GroundingDINO(
            _build_backbone(config),
            _build_transformer(config),
            num_queries=config.num_queries,
            aux_loss=True,
            iter_update=True,
            query_dim=4,
            num_feature_levels=config.num_feature_levels,
            nheads=config.encoder_attention_heads,
            two_stage_type="standard",
            two_stage_bbox_embed_share=False,
            two_stage_class_embed_share=False,
            max_text_len=config.max_text_len,
        )
    return model


def _build_backbone(config: Any) -> Any:
    swin = config.backbone_config
    network = _package("models.GroundingDINO.backbone.swin_transformer").SwinTransformer(
        pretrain_img_size=swin.image_size,
        embed_dim=swin.embed_dim,
        depths=list(swin.depths),
        num_heads=list(swin.num_heads),
        window_size=swin.window_size,
        out_indices=(1, 2, 3),
    )
    positions = _package("models.GroundingDINO.backbone.position_encoding").PositionEmbeddingSineHW(
        config.d_model // 2, temperatureH=_TEMPERATURE, temperatureW=_TEMPERATURE, normalize=True
    )
    joined = _package("models.GroundingDINO.backbone.backbone").Joiner(network, positions)
    joined.num_channels = network.num_features[1:]
    return joined


def _build_transformer(config: Any) -> Any:
    return _package("models.GroundingDINO.transformer").Transformer(
        d_model=config.d_model,
        nhead=config.encoder_attention_heads,
        num_queries=config.num_queries,
        num_encoder_layers=config.encoder_layers,
        num_decoder_layers=config.decoder_layers,
        dim_feedforward=config.encoder_ffn_dim,
        return_intermediate_dec=True,
        num_feature_levels=config.num_feature_levels,
        enc_n_points=config.encoder_n_points,
        dec_n_points=config.decoder_n_points,
        learnable_tgt_init=True,
        two_stage_type="standard",
        embed_init_tgt=True,
        use_text_enhancer=True,
        use_fusion_layer=True,
        use_text_cross_attention=True,
    )


def _package(name: str) -> Any:
    """A module of the package. Its drawing part, which wants OpenCV and Matplotlib, is left out."""
    drawing = ModuleType(_DRAWING)
    drawing.COCOVisualizer = None  # type: ignore[attr-defined]
    absent = _DRAWING not in sys.modules
    if absent:
        sys.modules[_DRAWING] = drawing
    try:
        return importlib.import_module(f"groundingdino.{name}")
    except ImportError as error:
        raise ImportError(
            f"The original GroundingDINO cannot be imported ({error}). Install it with `{INSTALL}`, or "
            "choose the transformers backend, which reads the same file."
        ) from error
    finally:
        if absent:
            del sys.modules[_DRAWING]


@contextlib.contextmanager
def _standing_in(module: ModuleType, names: dict[str, Any]) -> Iterator[None]:
    """The module's names mean something else inside the block."""
    before = {name: getattr(module, name) for name in names}
    for name, value in names.items():
        setattr(module, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)
