"""GroundingDINO and SAM as folders of the hub: small and random, their classes, processors and files real."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn


def write_detector(folder: Path) -> Path:
    """Finds about twenty boxes in any picture, none of them sure."""
    from transformers import (
        BertConfig,
        BertTokenizerFast,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        SwinConfig,
    )

    config = GroundingDinoConfig(
        backbone_config=SwinConfig(
            embed_dim=16, depths=[1, 1, 2, 1], num_heads=[1, 2, 4, 8], window_size=7, image_size=224,
            out_indices=[2, 3, 4],
        ),
        text_config=BertConfig(
            vocab_size=1040, hidden_size=64, num_hidden_layers=1, num_attention_heads=1, intermediate_size=64
        ),
        num_queries=20, encoder_layers=1, decoder_layers=2, encoder_ffn_dim=32, decoder_ffn_dim=32,
    )  # fmt: skip
    folder.mkdir(parents=True)
    _write_words(folder / "vocab.txt")
    images = GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    GroundingDinoProcessor(images, BertTokenizerFast(str(folder / "vocab.txt"))).save_pretrained(folder)
    _randomised(GroundingDinoForObjectDetection(config), 0).save_pretrained(folder)
    return folder


def write_segmenter(folder: Path) -> Path:
    """Outlines something in any box."""
    from transformers import (
        SamConfig,
        SamImageProcessor,
        SamMaskDecoderConfig,
        SamModel,
        SamProcessor,
        SamPromptEncoderConfig,
        SamVisionConfig,
    )

    config = SamConfig(
        vision_config=SamVisionConfig(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=2, global_attn_indexes=[1],
            window_size=3, mlp_dim=64, output_channels=32, image_size=128, patch_size=16, num_pos_feats=16,
        ),
        prompt_encoder_config=SamPromptEncoderConfig(hidden_size=32, image_size=128, patch_size=16),
        mask_decoder_config=SamMaskDecoderConfig(hidden_size=32, mlp_dim=32),
    )  # fmt: skip
    images = SamImageProcessor(
        size={"longest_edge": 128}, pad_size={"height": 128, "width": 128},
        mask_size={"longest_edge": 32}, mask_pad_size={"height": 32, "width": 32},
    )  # fmt: skip
    SamProcessor(images).save_pretrained(folder)
    _randomised(SamModel(config), 1).save_pretrained(folder)
    return folder


def _randomised(network: nn.Module, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        bound = 0.1 if parameter.ndim > 1 else 0.3
        parameter.data.uniform_(-bound, bound, generator=generator)
    return network


def _write_words(path: Path) -> None:
    """BERT's own ids for its special words, which the model knows by number."""
    words = [f"[unused{index}]" for index in range(1030)]
    for index, word in ((0, "[PAD]"), (100, "[UNK]"), (101, "[CLS]"), (102, "[SEP]"), (103, "[MASK]")):
        words[index] = word
    words[1012], words[1029] = ".", "?"
    words += ["a", "cat", "dog", "red", "ball", "##s", "teddy", "bear", "in", "the"]
    path.write_text("\n".join(words), encoding="utf-8")
