"""Qwen2.5-VL, GroundingDINO and SAM as folders of the hub: small and random, their classes and files real."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip

# What the published chat template makes of one question with one picture.
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PREPROCESSOR = {
    "image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen2_5_VLProcessor",
    "min_pixels": 784, "max_pixels": 50176, "patch_size": 14, "temporal_patch_size": 2, "merge_size": 2,
    "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
}  # fmt: skip


def write_describer(folder: Path) -> Path:
    """Says the same meaningless words of a picture every time. A folder as Qwen publishes it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    from echogen_core.subject.describe import INSTRUCTION

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([INSTRUCTION], trainer)
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.save(str(folder / "tokenizer.json"))
    words = {word: tokenizer.token_to_id(word) for word in SPECIAL}
    settings = {
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "additional_special_tokens": list(SPECIAL),
    }
    for name, content in (
        ("tokenizer_config.json", settings),
        ("preprocessor_config.json", PREPROCESSOR),
        ("chat_template.json", {"chat_template": TEMPLATE}),
    ):
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    config = Qwen2_5_VLConfig(
        vision_config={
            "depth": 2, "hidden_size": 32, "num_heads": 2, "intermediate_size": 48, "out_hidden_size": 48,
            "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "fullatt_block_indexes": [1],
            "window_size": 56,
        },
        text_config={
            "vocab_size": tokenizer.get_vocab_size(), "hidden_size": 48, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 64,
            "rope_scaling": {"type": "mrope", "mrope_section": [4, 4, 4]}, "max_position_embeddings": 2048,
            "bos_token_id": words["<|endoftext|>"], "eos_token_id": words["<|im_end|>"],
        },
        vision_start_token_id=words["<|vision_start|>"], vision_end_token_id=words["<|vision_end|>"],
        image_token_id=words["<|image_pad|>"], video_token_id=words["<|video_pad|>"],
    )  # fmt: skip
    torch.manual_seed(0)
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(folder)
    return folder


def detector_config() -> Any:
    """A GroundingDinoConfig of small sizes."""
    from transformers import BertConfig, GroundingDinoConfig, SwinConfig

    return GroundingDinoConfig(
        backbone_config=SwinConfig(
            embed_dim=16, depths=[1, 1, 2, 1], num_heads=[1, 2, 4, 8], window_size=7, image_size=224,
            out_indices=[2, 3, 4],
        ),
        text_config=BertConfig(
            vocab_size=1040, hidden_size=64, num_hidden_layers=1, num_attention_heads=1, intermediate_size=64
        ),
        num_queries=20, encoder_layers=1, decoder_layers=2, encoder_ffn_dim=32, decoder_ffn_dim=32,
    )  # fmt: skip


def write_detector(folder: Path) -> Path:
    """Finds about twenty boxes in any picture, none of them sure."""
    from transformers import (
        BertTokenizerFast,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
    )

    folder.mkdir(parents=True)
    _write_words(folder / "vocab.txt")
    images = GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    GroundingDinoProcessor(images, BertTokenizerFast(str(folder / "vocab.txt"))).save_pretrained(folder)
    _randomised(GroundingDinoForObjectDetection(detector_config()), 0).save_pretrained(folder)
    return folder


def segmenter_config() -> Any:
    """A SamConfig of small sizes."""
    from transformers import SamConfig, SamMaskDecoderConfig, SamPromptEncoderConfig, SamVisionConfig

    return SamConfig(
        vision_config=SamVisionConfig(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=2, global_attn_indexes=[1],
            window_size=3, mlp_dim=64, output_channels=32, image_size=128, patch_size=16, num_pos_feats=16,
        ),
        prompt_encoder_config=SamPromptEncoderConfig(hidden_size=32, image_size=128, patch_size=16),
        mask_decoder_config=SamMaskDecoderConfig(hidden_size=32, mlp_dim=32),
    )  # fmt: skip


def write_segmenter(folder: Path) -> Path:
    """Outlines something in any box."""
    from transformers import SamImageProcessor, SamModel, SamProcessor

    images = SamImageProcessor(
        size={"longest_edge": 128}, pad_size={"height": 128, "width": 128},
        mask_size={"longest_edge": 32}, mask_pad_size={"height": 32, "width": 32},
    )  # fmt: skip
    SamProcessor(images).save_pretrained(folder)
    _randomised(SamModel(segmenter_config()), 1).save_pretrained(folder)
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
